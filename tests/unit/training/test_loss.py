"""The surrogate loss: its gradient is the energy's, for samples with any weights."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_nqs.ansatz import FermionAnsatz
from tf_nqs.training.loss import surrogate_loss

RANDOM = np.random.default_rng(2)
N = 40


def flat_gradient(ansatz, positions, energies, weights):
    with tf.GradientTape() as tape:
        loss = surrogate_loss(ansatz.log_abs_psi(positions), tf.constant(energies), tf.constant(weights))
    return np.concatenate([np.ravel(g) for g in tape.gradient(loss, ansatz.trainable_variables)])


def moved(ansatz, start, direction):
    """Sets the weights to start + direction."""
    offset = 0
    for variable, value in zip(ansatz.trainable_variables, start, strict=True):
        variable.assign(value + direction[offset : offset + value.size].reshape(value.shape))
        offset += value.size
    return ansatz


@pytest.mark.parametrize("uniform", [True, False])
def test_gradient_is_that_of_the_reweighted_energy(uniform):
    """d/dtheta of sum(R e_L)/sum(R) with R = R_0 |Psi/Psi_0|^2 and e_L held, by central differences."""
    keras.utils.set_random_seed(0)
    ansatz = FermionAnsatz(3, 8, dtype="float64")
    positions, energies = RANDOM.normal(size=(N, 3)), RANDOM.normal(5.0, 1.0, N)
    weights = np.ones(N) if uniform else RANDOM.uniform(0.1, 3.0, N)
    weights[0] = 0.0
    start, before = ansatz.get_weights(), ansatz.log_abs_psi(positions)

    def energy(direction):
        change = moved(ansatz, start, direction).log_abs_psi(positions) - before
        return np.average(energies, weights=weights * np.exp(2 * change))

    gradient = flat_gradient(ansatz, positions, energies, weights)
    step = 1e-5
    for _ in range(6):
        direction = RANDOM.normal(size=gradient.size)
        direction /= np.linalg.norm(direction)
        slope = (energy(step * direction) - energy(-step * direction)) / (2 * step)
        # Truncation step^2 = 1e-10 times third derivatives, rounding eps/step = 1e-11, of a norm of order 1 to 100.
        assert slope == pytest.approx(gradient @ direction, abs=1e-7 * np.linalg.norm(gradient))


def test_weighted_centring():
    """A constant energy has no gradient, whatever the weights; the plain mean would leave one for reused samples."""
    log_abs = tf.Variable(RANDOM.normal(size=N))
    weights, energies = RANDOM.uniform(0.1, 3.0, N), RANDOM.normal(size=N)

    def gradient(shift):
        with tf.GradientTape() as tape:
            loss = surrogate_loss(log_abs, tf.constant(energies + shift), tf.constant(weights))
        return tape.gradient(loss, log_abs).numpy()

    expected = 2 * weights * (energies - np.average(energies, weights=weights)) / weights.sum()
    np.testing.assert_allclose(gradient(0.0), expected, atol=1e-15)
    # 1000 eps from the cancelled shift.
    np.testing.assert_allclose(gradient(1000.0), expected, atol=1e-13)
    # Changing the norm of Psi is no change of the energy.
    assert abs(np.sum(gradient(0.0))) < 1e-15


def test_no_gradient_through_energies_and_weights():
    log_abs, energies, weights = (tf.Variable(RANDOM.uniform(1, 2, N)) for _ in range(3))
    with tf.GradientTape() as tape:
        loss = surrogate_loss(log_abs, energies, weights)
    assert tape.gradient(loss, [energies, weights]) == [None, None]


def test_walkers_of_weight_zero_do_not_count():
    """Not even where Psi vanishes or is not a number."""
    log_abs = tf.Variable([0.3, -np.inf, np.nan, -0.2])
    with tf.GradientTape() as tape:
        loss = surrogate_loss(log_abs, tf.constant([1.0, 2.0, 3.0, 5.0]), tf.constant([1.0, 0.0, 0.0, 1.0]))
    assert np.isfinite(loss)
    np.testing.assert_array_equal(tape.gradient(loss, log_abs), [-2.0, 0.0, 0.0, 2.0])
