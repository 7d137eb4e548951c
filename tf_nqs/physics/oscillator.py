"""The harmonic oscillator's orbitals, and the free fermions' exact ground state made of them."""

from __future__ import annotations

import math

import tensorflow as tf

from tf_nqs.physics.determinant import signed_log_sum_of_determinants
from tf_nqs.types import SignedLog, Tensor


def oscillator_orbitals(positions: Tensor, n_orbitals: int) -> Tensor:
    """Returns the lowest normalised eigenfunctions of -1/2 d^2 + x^2/2 at the positions.

    Args:
        positions: x in a_ho, any shape.
        n_orbitals: how many, at least 1.

    Returns:
        Values in a_ho^(-1/2), shape (*positions.shape, n_orbitals).
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


def _hermite_polynomials(positions, n_orbitals):
    """psi_n exp(x^2/2): p_0 = pi^(-1/4), p_n = sqrt(2/n) x p_{n-1} - sqrt((n-1)/n) p_{n-2}."""
    polynomials = [tf.fill(tf.shape(positions), tf.constant(math.pi**-0.25, positions.dtype))]
    for n in range(1, n_orbitals):
        before = polynomials[n - 2] if n > 1 else tf.zeros_like(positions)
        polynomials.append(math.sqrt(2 / n) * positions * polynomials[n - 1] - math.sqrt((n - 1) / n) * before)
    return tf.stack(polynomials, axis=-1)
