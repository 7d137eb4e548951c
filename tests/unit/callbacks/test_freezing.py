"""Freezing and releasing: frozen weights never change and leave optimiser and natural gradient; the rest is kept."""

from __future__ import annotations

from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_nqs.analysis import ThesisCriterion
from tf_nqs.ansatz import FermionAnsatz
from tf_nqs.callbacks import EnergyEarlyStopping, FreezeLayers, IterationCallback, ReleaseLayers, set_trainable
from tf_nqs.physics.hamiltonian import TrappedFermions
from tf_nqs.sampling.metropolis import MetropolisHastings
from tf_nqs.training import make_optimizer
from tf_nqs.training.vmc import VariationalMonteCarlo

N_FROZEN, N_HEAD = 2 * 4 + 4, 4 * 2 + 2 + 2
"""Parameters of the one equivariant layer, and of orbitals and envelope, of the small ansatz."""

ANYTHING = ThesisCriterion(*[1e9] * 5, n_successes=1)
"""Passes every window but the first."""


def make_vmc(optimizer, n_particles=2, n_features=4, n_layers=1, frozen=False):
    keras.utils.set_random_seed(0)
    ansatz = FermionAnsatz(n_particles, n_features, n_layers)
    set_trainable(ansatz.equivariant_layers, not frozen)
    sampler = MetropolisHastings(n_walkers=16, n_steps=1, n_burn_in=2)
    vmc = VariationalMonteCarlo(ansatz, TrappedFermions(n_particles), sampler, iterations_per_call=25)
    vmc.compile(**make_optimizer(optimizer, learning_rate=0.05, decay_iterations=100), jit_compile=False)
    return vmc


def equivariant(vmc):
    """Copies of the weights of the equivariant layers."""
    return [weight.numpy() for layer in vmc.ansatz.equivariant_layers for weight in layer.weights]


def slots(optimizer):
    """Name -> value of the optimiser's variables that belong to weights."""
    return {v.name: v.numpy() for v in optimizer.variables if v.name not in ("iteration", "learning_rate")}


class Snapshot(IterationCallback):
    """Keeps the state after so many iterations of a fit, before the callbacks behind it act."""

    def __init__(self, at_iteration):
        super().__init__()
        self.call_period = self.at_iteration = at_iteration
        self.n_done = 0

    def on_iterations(self, rows):
        self.n_done += len(rows["iteration"])
        if self.n_done == self.at_iteration:
            gradient = self.model.natural_gradient
            self.slots = slots(self.model.optimizer)
            self.previous = gradient and gradient.previous.numpy()
            self.weights = equivariant(self.model)


class Later(Snapshot):
    """The same after the callbacks before it have acted; placed behind them."""


def same(ones, others):
    return all(np.array_equal(one, other) for one, other in zip(ones, others, strict=True))


@pytest.mark.parametrize("optimizer", [pytest.param("adam", marks=pytest.mark.slow), "spring"])
def test_frozen_for_100_iterations_then_released_then_frozen_again(optimizer):
    """Frozen weights stay bit for bit; released ones train; moments and last direction of the others are kept."""
    vmc = make_vmc(optimizer, frozen=True)
    start, head = equivariant(vmc), [weight.numpy() for weight in vmc.ansatz.trainable_variables]
    before, after = Snapshot(100), Later(100)
    release = ReleaseLayers(vmc.ansatz.equivariant_layers, at_iteration=100)
    assert sum(weight.size for weight in head) == N_HEAD
    vmc.fit(102, callbacks=[before, release, after])
    assert same(before.weights, start) and same(after.weights, start)
    assert not any(np.array_equal(old, new) for old, new in zip(start, equivariant(vmc), strict=True))
    assert release.switched_at == 100 and int(vmc.iteration) == 102
    # The schedules of learning rate and damping begin anew with the weights that are new.
    assert int(vmc.optimizer.iterations) == 2
    if optimizer == "adam":
        assert sum(value.size for value in before.slots.values()) == 2 * N_HEAD
        assert sum(value.size for value in after.slots.values()) == 2 * (N_HEAD + N_FROZEN)
        for name, value in after.slots.items():
            np.testing.assert_array_equal(value, before.slots.get(name, np.zeros_like(value)))
        assert all(np.any(value) for value in slots(vmc.optimizer).values())
    else:
        assert before.previous.shape == (N_HEAD,) and np.any(before.previous)
        np.testing.assert_array_equal(after.previous, np.concatenate([np.zeros(N_FROZEN), before.previous]))
        assert int(vmc.natural_gradient.iteration) == 2
        assert vmc.natural_gradient.previous.shape == (N_FROZEN + N_HEAD,)
    # Frozen in the middle of training: the head's part of all memories stays, counters go on, the body stops at once.
    before, after = Snapshot(2), Later(2)
    vmc.fit(4, callbacks=[before, FreezeLayers(vmc.ansatz.equivariant_layers, at_iteration=2), after])
    assert same(before.weights, equivariant(vmc)) and not same(before.weights, start)
    assert int(vmc.optimizer.iterations) == 6
    if optimizer == "adam":
        assert sum(value.size for value in after.slots.values()) == 2 * N_HEAD
        assert all(np.array_equal(value, before.slots[name]) for name, value in after.slots.items())
    else:
        np.testing.assert_array_equal(after.previous, before.previous[N_FROZEN:])
        assert int(vmc.natural_gradient.iteration) == 6
        ones = tf.ones(16)
        assert vmc.phases.derivatives(vmc.walkers.positions, ones, ones).shape == (16, N_HEAD)  # the kernel's rows


def test_264_of_8712():
    """Four particles, frozen: what is left in the optimiser's slots and in the natural gradient."""
    vmc = make_vmc("adam", 4, 64, 2, frozen=True)
    assert vmc.ansatz.count_params() == 8712
    assert sum(value.size for value in slots(vmc.optimizer).values()) == 2 * 264
    spring = make_optimizer("spring")
    vmc.compile(**spring, jit_compile=False)
    assert spring["natural_gradient"].previous.shape == (264,)
    set_trainable(vmc.ansatz.equivariant_layers, True)
    vmc.follow_trainable()
    assert spring["natural_gradient"].previous.shape == (8712,)
    assert sum(weight.shape.num_elements() for weight in vmc.ansatz.trainable_variables) == 8712


# When they act: on a trainer whose every move the test makes


class Model(SimpleNamespace):
    """A trainer without training: it can be told to stop."""

    stop, continue_training = VariationalMonteCarlo.stop, VariationalMonteCarlo.continue_training


class Training:
    """Stands for the trainer, and counts how often the trainable weights were laid out anew."""

    def __init__(self, *callbacks, reason="early_stopping"):
        self.callbacks, self.n_done, self.n_followed = callbacks, 0, 0
        self.model = Model(stop_training=False, stop_reason="iterations", follow_trainable=self.follow)
        self.model.recent_iterations = lambda: self.rows
        for callback in callbacks:
            callback.set_model(self.model)
            callback.on_train_begin()

    def follow(self):
        self.n_followed += 1

    def window(self, n=10):
        iterations = np.arange(self.n_done + 1.0, self.n_done + n + 1)
        self.n_done += n
        self.rows = {"iteration": iterations, "energy": np.ones(n), "variance": np.ones(n)}
        for callback in self.callbacks:
            callback.on_epoch_end(0)


@pytest.fixture
def layer():
    layer = keras.layers.Dense(2)
    layer.build((None, 3))
    layer.trainable = False
    return layer


def test_released_when_converged_training_goes_on_and_counts_anew(layer, messages):
    stopping = EnergyEarlyStopping(10, ANYTHING)
    release = ReleaseLayers([layer], early_stopping=stopping, when_converged=True)
    training = Training(stopping, release)
    training.window()
    assert not layer.trainable
    training.window()  # the second window is the first with a verdict: converged
    assert layer.trainable and training.n_followed == 1 and release.switched_at == 20
    assert (training.model.stop_training, training.model.stop_reason) == (False, "iterations")
    assert "released 8 parameters after iteration 20" in messages
    training.window()
    assert not training.model.stop_training  # again a first window, without a verdict
    training.window()
    assert (training.model.stop_training, training.model.stop_reason) == (True, "early_stopping")
    assert training.n_followed == 1


def test_another_reason_to_stop_is_obeyed(layer):
    stopping = EnergyEarlyStopping(10, ANYTHING)
    training = Training(stopping, ReleaseLayers([layer], early_stopping=stopping, when_converged=True))
    training.window()
    training.model.stop_training, training.model.stop_reason = True, "failed"
    training.window()
    assert training.model.stop_reason == "failed" and not layer.trainable


@pytest.mark.parametrize(("at_iteration", "when_converged"), [(20, False), (15, True)])
def test_at_an_iteration_early_stopping_counts_anew(layer, at_iteration, when_converged):
    """At 20 training would end, and does; at 15 the window begun before it counts as the first one after it."""
    stopping = EnergyEarlyStopping(10, ANYTHING)
    release = ReleaseLayers([layer], at_iteration, stopping, when_converged)
    training = Training(stopping, release)
    training.window()
    training.window(5)
    training.window(5)
    assert layer.trainable == when_converged
    assert training.model.stop_training != when_converged
    assert len(stopping.windows) == (1 if when_converged else 2)


def test_freezes_at_the_start_by_default(layer):
    layer.trainable = True
    freeze = FreezeLayers([layer])
    training = Training(freeze)
    assert not layer.trainable and freeze.switched_at == 0 and training.n_followed == 1
    training.window()
    assert training.n_followed == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "at_iteration = None: must be given, or when_converged be true"),
        ({"at_iteration": -1}, "at_iteration = -1: must be an integer of at least 0"),
        ({"when_converged": True}, "when_converged = True: early_stopping must be given"),
    ],
)
def test_it_must_be_said_when(arguments, message):
    with pytest.raises(ValueError, match=message):
        ReleaseLayers([], **arguments)
