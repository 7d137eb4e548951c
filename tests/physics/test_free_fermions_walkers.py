"""The exact Slater determinant of free fermions: every walker has the energy A^2/2, without variance."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import tensorflow as tf

from tf_nqs.exact import free_fermion_energy, oscillator_orbitals
from tf_nqs.physics.determinant import sum_of_determinants_derivatives
from tf_nqs.physics.hamiltonian import TrappedFermions
from tf_nqs.physics.oscillator import free_fermions
from tf_nqs.physics.oscillator import oscillator_orbitals as orbitals_in_tensorflow
from tf_nqs.sampling.metropolis import MetropolisHastings

N_WALKERS = 256
SIZES = [n if n in (1, 2, 3, 5, 8) else pytest.param(n, marks=pytest.mark.slow) for n in range(1, 9)]


@functools.cache
def sampled_positions(n_particles):
    """Walkers of |Psi|^2 after 200 steps."""
    sampler = MetropolisHastings(N_WALKERS, n_steps=200)
    state = sampler.initial_state(n_particles, tf.constant([n_particles, 0]), "float64")
    sample = tf.function(lambda state: sampler.sample(lambda x: free_fermions(x).log_abs_psi, state), autograph=False)
    return sample(state)[0].positions


def orbital_matrices(positions):
    """psi_j(x_i), its first and its second derivative by x_i, in numpy: psi'' = (x^2 - 2j - 1) psi."""
    x = np.asarray(positions)
    n = x.shape[1]
    psi = np.moveaxis(oscillator_orbitals(n + 1, x), 0, -1)
    j = np.arange(n)
    below = np.concatenate([np.zeros((*x.shape, 1)), psi[..., : n - 1]], axis=-1)
    first = np.sqrt(j / 2) * below - np.sqrt((j + 1) / 2) * psi[..., 1:]
    return psi[..., :n], first, (x[..., None] ** 2 - 2 * j - 1) * psi[..., :n]


def tolerances(positions):
    """100 eps times cond(phi), rows scaled to length one, times the terms of the kinetic energy, |phi^-1 dphi|^2."""
    psi, first, _ = orbital_matrices(positions)
    rows = psi / np.linalg.norm(psi, axis=-1, keepdims=True)
    logarithmic = np.linalg.norm(first @ np.linalg.inv(psi), axis=(1, 2))
    size = psi.shape[-1]
    return 100 * np.finfo(float).eps * np.linalg.cond(rows) * (size**2 + logarithmic**2)


def assert_every_walker_is_exact(energies, positions):
    exact, tolerance = free_fermion_energy(positions.shape[1]), tolerances(positions)
    assert np.all(np.abs(energies - exact) <= tolerance)
    # The tolerance means something: 9 digits for most walkers.
    assert np.median(tolerance) < 1e-9 * exact
    assert np.median(np.abs(energies - exact)) < 1e-11 * exact


@pytest.mark.parametrize("n_particles", SIZES)
def test_by_nested_tapes(n_particles):
    positions = sampled_positions(n_particles)
    system = TrappedFermions(n_particles)
    energies = system.local_energy_of(lambda x: free_fermions(x).log_abs_psi, positions).total
    assert_every_walker_is_exact(energies.numpy(), positions)


@pytest.mark.parametrize("n_particles", SIZES)
def test_by_forward_derivatives(n_particles):
    """The same orbitals as matrices with their derivatives: only row k moves along direction k."""
    positions = sampled_positions(n_particles)
    psi, first, second = orbital_matrices(positions)
    jacobian = np.eye(n_particles)[:, :, None] * first[:, None]
    derivatives = sum_of_determinants_derivatives(
        *map(tf.constant, (psi[:, None], jacobian[:, None], second[:, None], np.zeros((N_WALKERS, 1))))
    )
    energies = -0.5 * derivatives.laplacian + TrappedFermions(n_particles).trap_energy(positions)
    assert_every_walker_is_exact(energies.numpy(), positions)
    # ln A!/2 apart, the same wave function.
    exact = free_fermions(positions)
    np.testing.assert_array_equal(derivatives.psi.sign, exact.sign)
    shift = derivatives.psi.log_abs_psi - exact.log_abs_psi
    np.testing.assert_allclose(shift, np.full(N_WALKERS, np.mean(shift)), atol=1e-9)


def test_orbitals_agree_with_the_reference():
    """Two implementations: TensorFlow's recursion without the Gaussian, and that of `tf_nqs.exact`."""
    x = np.linspace(-5, 5, 41)
    expected = np.moveaxis(oscillator_orbitals(12, x), 0, -1)
    np.testing.assert_allclose(orbitals_in_tensorflow(tf.constant(x), 12), expected, atol=1e-13)


def test_far_out_in_float32():
    """All particles at |x| from 30 to 40, where exp(-x^2/2) underflows: finite, and equal to float64."""
    x = np.array([[40.0, -35.0, 30.0], [30.0, 31.0, 33.0]])
    single, double = free_fermions(tf.constant(x, tf.float32)), free_fermions(tf.constant(x))
    np.testing.assert_array_equal(single.sign, double.sign)
    # eps of a sum of order 2000, and of a 3 by 3 matrix whose condition number is of order 1e6 at such places.
    np.testing.assert_allclose(single.log_abs_psi, double.log_abs_psi, atol=0.05)
