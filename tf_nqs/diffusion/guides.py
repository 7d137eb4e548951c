"""Guides of a diffusion: a wave function without other nodes than meeting particles, and its local energy."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from tf_nqs.ansatz.derivatives import choose_laplacian, log_derivatives
from tf_nqs.ansatz.protocol import HasOrbitals
from tf_nqs.diffusion.walk import Guide, GuideValues
from tf_nqs.physics.contact import contact_exponent_of, sum_of_logs
from tf_nqs.physics.hamiltonian import TrappedFermions
from tf_nqs.types import LogDerivatives, Tensor


def free_fermion_guide(system: TrappedFermions, stiffness: float = 1.0) -> Guide:
    """Returns the ground state of free fermions as a guide, Psi = prod_{i<j} (x_i - x_j) exp(-stiffness sum x^2/2).

    The Vandermonde determinant is harmonic and homogeneous of degree A(A - 1)/2, so that
    (lap Psi)/Psi = stiffness^2 sum x^2 - stiffness A^2.

    Args:
        system: the Hamiltonian.
        stiffness: of the Gaussian, in 1/a_ho^2; 1 for free fermions.
    """

    def guide(positions: Tensor) -> GuideValues:
        n_particles = positions.shape[1]
        differences = positions[:, :, None] - positions[:, None, :]
        inverse = tf.where(np.eye(n_particles, dtype=bool), tf.zeros_like(differences), 1 / differences)
        gradient = tf.reduce_sum(inverse, axis=2) - stiffness * positions
        squared = tf.reduce_sum(positions**2, axis=1)
        log_abs_psi = sum_of_logs(positions) - 0.5 * stiffness * squared
        laplacian = stiffness**2 * squared - stiffness * n_particles**2
        energy = system.local_energy(positions, LogDerivatives(gradient, laplacian))
        return GuideValues(log_abs_psi, gradient, energy.total)

    return guide


def ansatz_guide(ansatz: keras.Model, system: TrappedFermions) -> Guide:
    """Returns a trained wave function as a guide.

    Args:
        ansatz: Keras model, positions -> (sign, log_abs_psi), such as `JastrowAnsatz`.
        system: the Hamiltonian.

    Raises:
        ValueError: the ansatz is made of orbitals, so that it has more nodes than those where particles meet.
    """
    if isinstance(ansatz, HasOrbitals):
        raise ValueError(
            f"ansatz = {type(ansatz).__name__}: has nodes between those where particles meet, which would bound the "
            "walkers; must be a JastrowAnsatz, or use free_fermion_guide"
        )
    laplacian = choose_laplacian(ansatz, "auto", system.n_particles)
    derivatives, exponent = log_derivatives(ansatz, laplacian), contact_exponent_of(ansatz)

    def guide(positions: Tensor) -> GuideValues:
        if laplacian == "forward":
            one_pass = ansatz.forward_laplacian if exponent == 1.0 else ansatz.regular_derivatives
            (_, log_abs_psi), found = one_pass(positions)
        else:
            log_abs_psi, found = ansatz(positions)[1], derivatives(positions)
        return GuideValues(log_abs_psi, found.gradient, system.local_energy(positions, found).total)

    return guide


def check_nodes(ansatz: keras.Model, positions: Tensor) -> None:
    """Checks that a wave function keeps its sign as long as particles keep their order.

    Args:
        ansatz: Keras model, positions -> (sign, log_abs_psi).
        positions: some walkers, shape (n_walkers, n_particles), in a_ho.

    Raises:
        ValueError: on some walkers it has the opposite sign.
    """
    sign = np.asarray(ansatz(tf.sort(positions, axis=1))[0])
    n_other = int(min(np.sum(sign > 0), np.sum(sign < 0)))
    if n_other:
        raise ValueError(
            f"ansatz = {type(ansatz).__name__}: changes its sign where no particles meet, on {n_other} of {len(sign)} "
            "walkers; must vanish only where particles meet, as a JastrowAnsatz"
        )
