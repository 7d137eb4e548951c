"""Keras' own callbacks act as Keras says or are refused before training; Keras' other arguments are answered."""

from __future__ import annotations

import re

import keras
import numpy as np
import pytest

from tf_nqs.ansatz import FermionAnsatz
from tf_nqs.physics.hamiltonian import TrappedFermions
from tf_nqs.sampling.metropolis import MetropolisHastings
from tf_nqs.training.keras_callbacks import LOGS, check_callbacks, flat_callbacks
from tf_nqs.training.vmc import VariationalMonteCarlo

callbacks = keras.callbacks


def make_trainer(optimizer):
    sampler = MetropolisHastings(n_walkers=8, n_steps=1, n_burn_in=1)
    vmc = VariationalMonteCarlo(FermionAnsatz(1, 2, 1), TrappedFermions(1), sampler, iterations_per_call=10)
    vmc.compile(optimizer, jit_compile=False)
    return vmc


@pytest.fixture(scope="module")
def shared():
    """Compiled once, with averages for SwapEMAWeights."""
    keras.utils.set_random_seed(0)
    return make_trainer(keras.optimizers.SGD(0.01, use_ema=True))


@pytest.fixture
def trainer(shared):
    """In the same state for each test."""
    variables = shared.variables + shared.optimizer.variables
    before = [variable.numpy() for variable in variables]
    yield shared
    for variable, value in zip(variables, before, strict=True):
        variable.assign(value)


class BrokenOffError(Exception):
    pass


class Break(callbacks.Callback):
    """Ends a training in the middle, before its second call."""

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 1:
            raise BrokenOffError


def test_backup_and_restore_goes_on_as_if_there_was_no_break(trainer, tmp_path):
    """25 iterations in all, ten per call, and the very same numbers."""
    variables = trainer.variables + trainer.optimizer.variables
    start = [variable.numpy() for variable in variables]

    def start_anew():
        for variable, value in zip(variables, start, strict=True):
            variable.assign(value)

    trainer.fit(25)
    expected = [variable.numpy() for variable in variables]
    start_anew()
    with pytest.raises(BrokenOffError):
        trainer.fit(25, callbacks=[callbacks.BackupAndRestore(tmp_path / "backup"), Break()])
    assert int(trainer.iteration) == 10
    start_anew()
    history = trainer.fit(25, callbacks=callbacks.BackupAndRestore(tmp_path / "backup"))
    assert history.epoch == [1, 2]
    for variable, value in zip(variables, expected, strict=True):
        assert variable.numpy().tobytes() == value.tobytes(), variable.path
    trainer.fit(5)
    assert int(trainer.iteration) == 30, "the next training starts with its first call"


def test_terminate_on_nan_terminates():
    vmc = make_trainer(keras.optimizers.Adam(1e30))
    history = vmc.fit(60, callbacks=callbacks.TerminateOnNaN())
    assert vmc.stop_reason == "callback"
    assert len(history.epoch) < 6 and np.isnan(history.history["loss"][-1])


def test_logs_hold_the_energy_and_its_parts(trainer):
    logs = trainer.fit(10).history
    rows = trainer.recent_iterations()
    assert set(logs) == set(LOGS)
    assert logs["loss"] == logs["energy"]
    for name in LOGS[1:]:
        assert logs[name][0] == pytest.approx(rows[name].mean(), rel=1e-12)


@pytest.mark.parametrize("wrapped", [lambda one: one, lambda one: (one,), lambda one: callbacks.CallbackList([one])])
def test_callbacks_may_be_one_or_many(trainer, wrapped):
    seen = []
    one = callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(epoch))
    trainer.fit(20, callbacks=wrapped(one))
    assert seen == [0, 1]


def test_patience_and_rates_count_calls(trainer):
    never = {"monitor": "loss", "min_delta": 1e9}
    history = trainer.fit(50, callbacks=callbacks.EarlyStopping(patience=2, **never))
    assert len(history.epoch) == 3 and trainer.stop_reason == "callback"
    trainer.fit(50, callbacks=callbacks.ReduceLROnPlateau(patience=2, factor=0.5, **never))
    assert float(trainer.optimizer.learning_rate) == pytest.approx(0.0025)
    history = trainer.fit(30, callbacks=callbacks.LearningRateScheduler(lambda epoch, rate: 0.1 / (1 + epoch)))
    assert history.history["learning_rate"] == pytest.approx([0.1, 0.05, 0.1 / 3])


def test_files_that_callbacks_write(trainer, tmp_path):
    trainer.fit(
        30,
        callbacks=[
            callbacks.ModelCheckpoint(tmp_path / "{epoch}.weights.h5", save_weights_only=True),
            callbacks.CSVLogger(tmp_path / "log.csv"),
            callbacks.TensorBoard(tmp_path / "events", histogram_freq=1),
        ],
    )
    assert {path.name for path in tmp_path.glob("*.h5")} == {"1.weights.h5", "2.weights.h5", "3.weights.h5"}
    assert len((tmp_path / "log.csv").read_text(encoding="utf-8").splitlines()) == 4  # with the header
    assert list((tmp_path / "events" / "train").iterdir())


def test_weights_are_swapped_for_their_averages_between_calls(trainer):
    """Keras ends with the averages; the ones kept between calls are the same as if nothing was swapped."""
    trainer.fit(20, callbacks=callbacks.SwapEMAWeights(swap_on_epoch=True))
    swapped = trainer.ansatz.get_weights()
    for average, weight in zip(trainer.optimizer._model_variables_moving_average, swapped, strict=True):
        np.testing.assert_array_equal(average, weight)


REFUSED = {
    "validation": (callbacks.EarlyStopping(), "EarlyStopping(monitor='val_loss'): there is no such value"),
    "direction": (callbacks.ReduceLROnPlateau("energy"), "mode must be 'min' or 'max'"),
    "best": (
        callbacks.ModelCheckpoint("best.weights.h5", save_weights_only=True, save_best_only=True),
        "ModelCheckpoint(monitor='val_loss')",
    ),
    "whole model": (callbacks.ModelCheckpoint("m.keras"), "must be save_weights_only=True"),
    "batches": (callbacks.BackupAndRestore("backup", save_freq=2), "must be save_freq='epoch'"),
    "evaluation": (callbacks.SwapEMAWeights(), "must be swap_on_epoch=True"),
}


@pytest.mark.parametrize(("callback", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_act_is_refused_before_training(trainer, callback, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        trainer.fit(10, callbacks=[callback])
    assert int(trainer.iteration) == 0


def test_callbacks_that_need_another_optimizer():
    scheduled = keras.optimizers.SGD(keras.optimizers.schedules.InverseTimeDecay(0.1, 10, 1.0))
    with pytest.raises(ValueError, match="LearningRateScheduler: the optimizer has a schedule of its own"):
        check_callbacks([callbacks.LearningRateScheduler(lambda _: 0.1)], scheduled)
    with pytest.raises(ValueError, match="SwapEMAWeights: the optimizer keeps no averages"):
        check_callbacks([callbacks.SwapEMAWeights(swap_on_epoch=True)], scheduled)


def test_a_callback_may_monitor_what_another_one_adds(trainer):
    class Validation(callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs["val_loss"] = 1.0

    history = trainer.fit(50, callbacks=[Validation(), callbacks.EarlyStopping(patience=2)])
    assert len(history.epoch) == 3
    with pytest.raises(ValueError, match="there is no such value"):
        trainer.fit(50, callbacks=[callbacks.EarlyStopping(patience=2), Validation()])


def test_what_is_no_callback():
    with pytest.raises(TypeError, match=r"callbacks = 3: must be a keras\.callbacks\.Callback"):
        flat_callbacks([3])


def test_every_callback_of_keras_is_in_the_guide(pytestconfig):
    guide = (pytestconfig.rootpath / "docs" / "keras.md").read_text(encoding="utf-8")
    names = [name for name in dir(callbacks) if name[0].isupper() and name not in ("Callback", "CallbackList")]
    assert [name for name in names if f"| `{name}` |" not in guide] == []


def test_progress_counts_iterations(trainer, capsys):
    trainer.fit(25, verbose=1)
    bar = capsys.readouterr().out
    assert "10/25" in bar and "25/25" in bar and "/iteration" in bar and "Epoch" not in bar
    trainer.fit(25, verbose=2)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" - ")[0] for line in lines] == [
        "iterations 1 to 10 of 25",
        "iterations 11 to 20 of 25",
        "iterations 21 to 25 of 25",
    ]


ANSWERED = {
    "epochs": (lambda vmc: vmc.fit(epochs=3), TypeError, "'epochs': use iterations="),
    "steps": (lambda vmc: vmc.fit(10, steps_per_epoch=3), TypeError, "'steps_per_epoch': use iterations="),
    "data": (lambda vmc: vmc.fit(x=np.zeros(3)), TypeError, "'x': training needs no data"),
    "array": (lambda vmc: vmc.fit(np.zeros((3, 1))), ValueError, "iterations = <ndarray>: must be an integer"),
    "validation": (lambda vmc: vmc.fit(10, validation_data=1), TypeError, "'validation_data': there is no data"),
    "unknown": (lambda vmc: vmc.fit(10, walkers=3), TypeError, "'walkers': it takes iterations, callbacks, done"),
    "nothing": (lambda vmc: vmc.fit(), ValueError, "iterations = None: must be an integer of at least 1"),
    "verbose": (lambda vmc: vmc.fit(10, verbose=3), ValueError, "verbose = 3: must be 0"),
    "evaluate": (lambda vmc: vmc.evaluate(np.zeros(3)), TypeError, "'x': it samples the wave function"),
    "loss": (lambda vmc: vmc.compile("adam", loss="mse"), TypeError, "'loss': the loss is the energy"),
    "metrics": (lambda vmc: vmc.compile("adam", metrics=["mae"]), TypeError, "'metrics': the loss is the energy"),
    "batch": (lambda vmc: vmc.train_on_batch(np.zeros(3)), TypeError, "use fit(iterations=1)"),
    "configuration": (lambda vmc: vmc.get_config(), NotImplementedError, "use ansatz.save('name.keras')"),
}


@pytest.mark.parametrize(("call", "kind", "message"), ANSWERED.values(), ids=ANSWERED)
def test_arguments_of_keras_are_answered_by_what_to_use(trainer, call, kind, message):
    with pytest.raises(kind, match=re.escape(message)) as error:
        call(trainer)
    assert "\n" not in str(error.value)


def test_saving_is_refused_before_a_file_is_made(trainer, tmp_path):
    with pytest.raises(NotImplementedError, match="save_weights"):
        trainer.save(tmp_path / "a.keras")
    with pytest.raises(NotImplementedError, match=r"tf_nqs\.export"):
        trainer.export(tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


def test_trainable_is_followed_without_a_new_compile(trainer):
    """And whatever was frozen comes back when it is released, as before."""
    layer = trainer.ansatz.equivariant_layers[0]
    before, others = layer.get_weights(), trainer.ansatz.orbital_layer.get_weights()
    layer.trainable = False
    trainer.fit(2)
    for old, new in zip(before, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert np.any(trainer.ansatz.orbital_layer.get_weights()[0] != others[0])
    trainer.ansatz.trainable = False
    with pytest.raises(ValueError, match="the ansatz has no trainable weights"):
        trainer.fit(2)
    trainer.ansatz.trainable = layer.trainable = True
    trainer.fit(2)
    assert np.any(layer.get_weights()[0] != before[0])
