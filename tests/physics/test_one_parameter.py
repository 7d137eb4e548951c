"""One parameter, one exact answer: exp(-(a x)^2/2) in the trap omega^2 x^2/2 must end at a = sqrt(omega)."""

from __future__ import annotations

import logging

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_nqs.physics.hamiltonian import TrappedFermions
from tf_nqs.sampling.metropolis import MetropolisHastings
from tf_nqs.training.vmc import VariationalMonteCarlo
from tf_nqs.types import SignedLog


class Gaussian(keras.Model):
    """An ansatz that knows nothing of tf_nqs but SignedLog: no forward Laplacian."""

    def __init__(self):
        super().__init__(dtype="float64")
        self.inverse_width = self.add_weight(shape=(), initializer="ones", name="inverse_width")
        self.built = True

    def call(self, positions):
        log_abs = -0.5 * self.inverse_width**2 * tf.reduce_sum(positions**2, axis=1)
        return SignedLog(tf.ones_like(log_abs), log_abs)


@pytest.mark.parametrize("omega", [0.5, 2.0])
def test_the_exact_width_is_found(omega, caplog):
    ansatz = Gaussian()
    system = TrappedFermions(1, trap=lambda x: 0.5 * omega**2 * tf.reduce_sum(x**2, axis=1))
    with caplog.at_level(logging.WARNING, logger="tf_nqs"):
        vmc = VariationalMonteCarlo(
            ansatz, system, MetropolisHastings(n_walkers=200, n_steps=5, n_burn_in=50), iterations_per_call=50
        )
    assert "Gaussian has no forward_laplacian" in caplog.text
    assert vmc.laplacian == "nested"
    vmc.compile(keras.optimizers.SGD(0.2), jit_compile=False)
    vmc.fit(100)
    # e_L - E is proportional to a^4 - omega^2, so the noise vanishes with the distance: SGD halves it every few
    # iterations (E'' = 2 at the minimum), down to the rounding of the learning rate and gradient in float64.
    assert float(ansatz.inverse_width) == pytest.approx(np.sqrt(omega), abs=1e-5)
    last = vmc.recent_iterations()
    assert last["energy"][-1] == pytest.approx(omega / 2, abs=1e-8)
    assert last["variance"][-1] < 1e-8
    # Virial theorem: half of the energy is kinetic, within 4 error bars of 200 correlated walkers (tau < 4).
    assert abs(last["kinetic"][-1] - omega / 4) < 4 * 2 * omega / 4 * np.sqrt(2 / 200)
