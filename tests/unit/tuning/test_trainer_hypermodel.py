"""keras-tuner's own searches over trainers."""

from __future__ import annotations

import keras
import keras_tuner
import numpy as np
import pytest

from tf_nqs.ansatz import FermionAnsatz
from tf_nqs.physics.hamiltonian import TrappedFermions
from tf_nqs.sampling.metropolis import MetropolisHastings
from tf_nqs.studies.tuning import TrainerHyperModel
from tf_nqs.training import VariationalMonteCarlo


class Iterations(keras.callbacks.Callback):
    """Notes after how many iterations each training has begun and ended; copies of it share the notes."""

    def __init__(self, seen):
        super().__init__()
        self.seen = seen

    def __deepcopy__(self, memo):
        return Iterations(self.seen)

    def on_train_begin(self, logs=None):
        self.begun = int(self.model.iteration)

    def on_train_end(self, logs=None):
        self.seen.append((self.begun, int(self.model.iteration)))


def build_trainer(hp):
    keras.utils.set_random_seed(0)
    sampler = MetropolisHastings(n_walkers=8, n_steps=1, n_burn_in=2)
    vmc = VariationalMonteCarlo(FermionAnsatz(1, 2), TrappedFermions(1), sampler, iterations_per_call=5)
    vmc.compile(keras.optimizers.SGD(hp.Float("learning_rate", 1e-3, 1e-1, sampling="log")), jit_compile=False)
    return vmc


@pytest.mark.slow
def test_hyperband_continues_trials_where_they_ended(tmp_path):
    """Three trials of one epoch (five iterations), of which one goes on to three, and two of three from the start."""
    seen = []
    tuner = keras_tuner.Hyperband(
        TrainerHyperModel(build_trainer, iterations_per_epoch=5, target_error=1.0, max_seconds=1.0),
        objective=keras_tuner.Objective("energy", "min"),
        max_epochs=3,
        seed=1,
        directory=str(tmp_path),
        project_name="search",
    )
    tuner.search(callbacks=[Iterations(seen)], verbose=0)
    assert {span for span in seen if span[0] > 0} == {(5, 15)}
    assert {span for span in seen if span[0] == 0} == {(0, 5), (0, 15)}
    trials = tuner.oracle.get_best_trials(100)
    assert len(trials) == len(seen)
    assert all(np.isfinite(trial.score) for trial in trials)


def test_epochs_are_iterations():
    class Stub:
        def fit(self, iterations, callbacks, verbose):
            self.fitted = iterations, callbacks, verbose

        def evaluate_energy(self, target_error, max_seconds):
            assert (target_error, max_seconds) == (0.1, 2.0)
            return type("Measured", (), {"energy": 3.0, "energy_error": 0.25})

    stub, callback = Stub(), keras.callbacks.History()
    model = TrainerHyperModel(lambda hp: stub, 50, target_error=0.1, max_seconds=2.0)
    assert model.build(None) is stub
    assert model.fit(None, stub, epochs=9, initial_epoch=3, callbacks=[callback], verbose=2) == {"energy": 3.25}
    assert stub.fitted == (300, [callback], 2)


def test_an_epoch_has_iterations():
    with pytest.raises(ValueError, match="iterations_per_epoch = 0: must be an integer of at least 1"):
        TrainerHyperModel(build_trainer, 0)
