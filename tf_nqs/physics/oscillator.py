"""The harmonic oscillator's orbitals, and the free fermions' exact ground state made of them."""

from __future__ import annotations

import math

import tensorflow as tf

from tf_nqs import defaults
from tf_nqs.physics.determinant import signed_log_sum_of_determinants
from tf_nqs.types import SignedLog, Tensor


def oscillator_orbitals(positions: Tensor, n_orbitals: int) -> Tensor:
    """Returns the lowest normalised eigenfunctions of -1/2 d^2 + x^2/2 at the positions.

    Args:
        positions: x in a_ho, any shape.
        n_orbitals: how many, at least 1.

    Returns:
        Values in a_ho^(-1/2), shape positions.shape + (n_orbitals,).
    """
    return tf.exp(-0.5 * positions[..., None] ** 2) * _hermite_polynomials(positions, n_orbitals)


def free_fermions(positions: Tensor) -> SignedLog:
    """Returns the exact ground state of A free fermions in the trap, (A!)^(-1/2) det psi_j(x_i); its energy is A^2/2.

    Args:
        positions: x in a_ho, shape (n_walkers, n_particles).

    Returns:
        SignedLog of shape (n_walkers,).
    """
    n_particles = positions.shape[1]
    # The Gaussians stay in the log domain, in front of the determinant: nothing underflows far out.
    log_scale = -0.5 * tf.reduce_sum(positions**2, axis=1, keepdims=True)
    psi = signed_log_sum_of_determinants(_hermite_polynomials(positions, n_particles)[:, None], log_scale)
    return SignedLog(psi.sign, psi.log_abs_psi - 0.5 * math.lgamma(n_particles + 1))


def sample_free_fermions(seed: Tensor, n_walkers: int, n_particles: int, dtype: str = defaults.DTYPE) -> Tensor:
    """Returns independent samples of |Psi|^2 of `free_fermions`, exact ones: no Markov chain, no burn-in.

    |Psi|^2 is the density of the eigenvalues of random Hermitian matrices with density exp(-trace H^2) (Gaussian
    unitary ensemble), whose diagonal has variance 1/2, and the real and the imaginary parts off it 1/4.

    Args:
        seed: stateless key, int32, shape (2,).
        n_walkers: number of samples.
        n_particles: number of particles A.
        dtype: "float32" or "float64".

    Returns:
        Positions in a_ho, shape (n_walkers, n_particles), the particles of each walker in random order.

    Reference: M. L. Mehta, Random Matrices (2004), Sec. 3.3.
    """
    draw, order = tf.unstack(tf.random.split(seed, 2))
    parts = tf.random.stateless_normal((2, n_walkers, n_particles, n_particles), draw, dtype=dtype)
    return free_fermions_of(parts, tf.random.stateless_uniform((n_walkers, n_particles), order))


def free_fermions_of(parts: Tensor, keys: Tensor) -> Tensor:
    """Returns the samples that `sample_free_fermions` makes of random numbers.

    Args:
        parts: N(0, 1) numbers, shape (2, n_walkers, n_particles, n_particles).
        keys: the particles of each walker stand in their order, shape (n_walkers, n_particles).
    """
    matrices = tf.complex(*tf.unstack(parts / 2))
    ascending = tf.math.real(tf.linalg.eigvalsh((matrices + tf.linalg.adjoint(matrices)) / 2**0.5))
    return tf.gather(ascending, tf.argsort(keys, axis=1), axis=1, batch_dims=1)


def _hermite_polynomials(positions: Tensor, n_orbitals: int) -> Tensor:
    """psi_n exp(x^2/2): p_0 = pi^(-1/4), p_n = sqrt(2/n) x p_{n-1} - sqrt((n-1)/n) p_{n-2}."""
    polynomials = [tf.fill(tf.shape(positions), tf.constant(math.pi**-0.25, positions.dtype))]
    for n in range(1, n_orbitals):
        before = polynomials[n - 2] if n > 1 else tf.zeros_like(positions)
        polynomials.append(math.sqrt(2 / n) * positions * polynomials[n - 1] - math.sqrt((n - 1) / n) * before)
    return tf.stack(polynomials, axis=-1)
