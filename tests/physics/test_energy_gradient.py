"""The energy's gradient without Monte Carlo: on a grid, where sums are integrals, and by parity."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_nqs.ansatz import FermionAnsatz
from tf_nqs.physics.energy import weighted_mean
from tf_nqs.physics.hamiltonian import TrappedFermions
from tf_nqs.training.loss import surrogate_loss


def make_ansatz(n_particles, n_determinants=1):
    keras.utils.set_random_seed(3)
    return FermionAnsatz(n_particles, 6, 2, n_determinants, dtype="float64")


def gradient_by_sampling_formula(ansatz, system, positions, quadrature_weight):
    """Energy and its gradient: weights |Psi|^2 on given positions, the formula of the Monte Carlo step."""
    psi, derivatives = ansatz.forward_laplacian(positions)
    weights = tf.exp(2 * psi.log_abs_psi) * quadrature_weight
    energy = system.local_energy(positions, derivatives).total
    with tf.GradientTape() as tape:
        loss = surrogate_loss(ansatz.log_abs_psi(positions), energy, weights)
    gradient = tape.gradient(loss, ansatz.trainable_variables)
    return float(weighted_mean(energy, weights)), gradient


def grid(n_particles):
    """A tensor grid; the trapezoidal rule is exact to rounding for such smooth functions that vanish at its ends."""
    line, step = np.linspace(-8.0, 8.0, 201 if n_particles == 1 else 91, retstep=True)
    points = np.stack(np.meshgrid(*[line] * n_particles, indexing="ij"), axis=-1).reshape(-1, n_particles)
    return tf.constant(points), step**n_particles


@pytest.mark.parametrize(
    ("n_particles", "n_determinants", "interaction_strength"), [(1, 1, 0.0), (1, 3, 0.0), (2, 1, 5.0), (2, 2, -5.0)]
)
def test_gradient_of_the_rayleigh_quotient(n_particles, n_determinants, interaction_strength):
    """d/dtheta <Psi|H|Psi>/<Psi|Psi> by central differences, e_L of the changed wave function included."""
    ansatz = make_ansatz(n_particles, n_determinants)
    system = TrappedFermions(n_particles, interaction_strength)
    positions, quadrature_weight = grid(n_particles)
    _, gradient = gradient_by_sampling_formula(ansatz, system, positions, quadrature_weight)
    assert all(np.all(np.isfinite(g)) for g in gradient)  # the grid holds nodes, x_1 = x_2
    norm = np.sqrt(sum(np.sum(g**2) for g in gradient))
    assert norm > 0.1
    start, random, step = ansatz.get_weights(), np.random.default_rng(0), 1e-4

    def energy(change):
        ansatz.set_weights([value + part for value, part in zip(start, change, strict=True)])
        return gradient_by_sampling_formula(ansatz, system, positions, quadrature_weight)[0]

    for _ in range(4):
        direction = [random.normal(size=value.shape) for value in start]
        length = np.sqrt(sum(np.sum(d**2) for d in direction))
        above, below = (energy([sign * step / length * d for d in direction]) for sign in (1, -1))
        predicted = sum(np.sum(g * d) for g, d in zip(gradient, direction, strict=True)) / length
        # Truncation: step^2 = 1e-8 times third derivatives over 6; rounding: 1e-13/step = 1e-9.
        assert (above - below) / (2 * step) == pytest.approx(predicted, abs=1e-6 * norm)


def test_energy_on_the_grid_is_variational():
    """One particle: never below 1/2, for any weights."""
    positions, quadrature_weight = grid(1)
    for seed in range(5):
        keras.utils.set_random_seed(seed)
        ansatz = FermionAnsatz(1, 6, dtype="float64")
        assert gradient_by_sampling_formula(ansatz, TrappedFermions(1), positions, quadrature_weight)[0] > 0.5 - 1e-12


def bias_and_kernel_gradients(ansatz, system, positions):
    _, derivatives = ansatz.forward_laplacian(positions)
    energy = system.local_energy(positions, derivatives).total
    with tf.GradientTape() as tape:
        loss = surrogate_loss(ansatz.log_abs_psi(positions), energy, tf.ones_like(energy))
    gradients = tape.gradient(loss, ansatz.trainable_variables)
    is_bias = [variable.name == "bias" for variable in ansatz.trainable_variables]
    norms = np.array([np.linalg.norm(gradient) for gradient in gradients])
    return norms[is_bias], norms[np.logical_not(is_bias)]


@pytest.mark.parametrize("n_particles", [1, 2, 3])
def test_zero_biases_are_a_trap(n_particles):
    """With them Psi(-x) = (-1)^A Psi(x), and on a mirrored sample no bias has a gradient; with ours all have."""
    ansatz = make_ansatz(n_particles)
    sample = np.random.default_rng(1).normal(size=(50, n_particles))
    mirrored = tf.constant(np.concatenate([sample, -sample]))
    system = TrappedFermions(n_particles, 3.0)
    biases, kernels = bias_and_kernel_gradients(ansatz, system, mirrored)
    assert len(biases) == 3
    # In the mean of 100 walkers nothing cancels by chance to a thousandth.
    assert np.all(biases > 1e-3 * np.max(kernels))

    for variable in ansatz.trainable_variables:
        if variable.name == "bias":
            variable.assign(tf.zeros_like(variable))
    sign, log_abs = ansatz(sample)
    mirrored_sign, mirrored_log_abs = ansatz(-sample)
    np.testing.assert_array_equal(mirrored_sign, (-1) ** n_particles * sign.numpy())
    # tanh is odd to the last bit; sums may differ by eps.
    np.testing.assert_allclose(mirrored_log_abs, log_abs, atol=1e-12)
    biases, kernels = bias_and_kernel_gradients(ansatz, system, mirrored)
    # Rounding of sums whose terms cancel in pairs: eps times the largest terms, far above the norm near nodes.
    assert np.all(biases < 1e-8 * np.max(kernels))
