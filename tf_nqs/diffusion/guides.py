"""Guides of a diffusion: a wave function without other nodes than meeting particles, and its local energy."""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf
from scipy.optimize import minimize_scalar

from tf_nqs.ansatz.derivatives import choose_laplacian, log_derivatives
from tf_nqs.ansatz.protocol import HasOrbitals, HasRegularDerivatives
from tf_nqs.diffusion.pair_factor import PairFactor
from tf_nqs.diffusion.walk import Guide, GuideValues
from tf_nqs.physics.contact import check_contact, from_regular_part, sum_of_logs
from tf_nqs.physics.hamiltonian import TrappedFermions
from tf_nqs.physics.pairs import pair_differences, pair_indices
from tf_nqs.types import LogDerivatives, Tensor

_N_SAMPLES = 2000
"""Samples that the stiffness of a guide is chosen by."""


class Stiffness(NamedTuple):
    """Of the Gaussians of `free_fermion_guide`, in 1/a_ho^2.

    Attributes:
        internal: of the motion about the centre of mass.
        centre: of the centre of mass.
    """

    internal: float = 1.0
    centre: float = 1.0


FREE = Stiffness()
"""Of free fermions in the harmonic trap."""


def free_fermion_guide(
    system: TrappedFermions, stiffness: float | Stiffness = 1.0, factor: PairFactor | None = None
) -> Guide:
    """Returns the ground state of free fermions as a guide, with Gaussians of another stiffness if wanted.

        Psi = prod_{i<j} sign(x_i - x_j) |x_i - x_j|^l exp[-s sum_i (x_i - X)^2/2 - c A X^2/2],

    where X is the mean of all x, and l the contact exponent: 1, but for calogero. Without the term 2l(l-1) sum 1/x_ij^2
    that this interaction cancels, see `tf_nqs.physics.contact`,

        (lap Psi)/Psi = s^2 sum_i (x_i - X)^2 + c^2 A X^2 - s (A - 1) - c - l s A(A - 1).

    Args:
        system: the Hamiltonian.
        stiffness: s and c, or one number for both; 1 for free fermions.
        factor: of each pair, by which Psi is multiplied; None for none.
    """
    internal, centre = stiffness if isinstance(stiffness, Stiffness) else (stiffness, stiffness)
    exponent = system.contact_exponent
    if factor is not None:
        return _guide_with_factor(system, Stiffness(internal, centre), factor)

    def guide(positions: Tensor) -> GuideValues:
        n_particles = positions.shape[1]
        differences = positions[:, :, None] - positions[:, None, :]
        inverse = tf.where(np.eye(n_particles, dtype=bool), tf.zeros_like(differences), 1 / differences)
        middle = tf.reduce_mean(positions, axis=1, keepdims=True)
        gradient = exponent * tf.reduce_sum(inverse, axis=2) - internal * (positions - middle) - centre * middle
        squared = tf.reduce_sum((positions - middle) ** 2, axis=1)
        of_centre = n_particles * middle[:, 0] ** 2
        log_abs_psi = exponent * sum_of_logs(positions) - 0.5 * (internal * squared + centre * of_centre)
        constant = internal * (n_particles - 1) * (1 + exponent * n_particles) + centre
        laplacian = internal**2 * squared + centre**2 * of_centre - constant
        energy = system.local_energy(positions, LogDerivatives(gradient, laplacian))
        return GuideValues(log_abs_psi, gradient, energy.total)

    return guide


def _guide_with_factor(system: TrappedFermions, stiffness: Stiffness, factor: PairFactor) -> Guide:
    """Returns Psi of `free_fermion_guide` times exp[sum_{i<j} U(|x_i - x_j|)]."""
    exponent, n_particles = system.contact_exponent, system.n_particles
    first, second = pair_indices(n_particles)
    sign_of = np.zeros((len(first), n_particles))  # of a particle in a difference x_i - x_j
    sign_of[np.arange(len(first)), first], sign_of[np.arange(len(first)), second] = 1.0, -1.0

    def guide(positions: Tensor) -> GuideValues:
        differences = pair_differences(positions)
        value, slope, curvature = factor.derivatives(tf.abs(differences))
        middle = tf.reduce_mean(positions, axis=1, keepdims=True)
        squared = tf.reduce_sum((positions - middle) ** 2, axis=1)
        of_centre = n_particles * middle[:, 0] ** 2
        gradient = (tf.sign(differences) * slope) @ tf.constant(sign_of, positions.dtype)
        gradient -= stiffness.internal * (positions - middle) + stiffness.centre * middle
        laplacian = 2 * tf.reduce_sum(curvature, axis=1) - stiffness.internal * (n_particles - 1) - stiffness.centre
        regular = LogDerivatives(gradient, laplacian + tf.reduce_sum(gradient**2, axis=1))
        derivatives = from_regular_part(positions, regular, exponent)
        gaussians = 0.5 * (stiffness.internal * squared + stiffness.centre * of_centre)
        log_abs_psi = exponent * sum_of_logs(positions) + tf.reduce_sum(value, axis=1) - gaussians
        return GuideValues(log_abs_psi, derivatives.gradient, system.local_energy(positions, derivatives).total)

    return guide


def free_fermion_positions(
    n_walkers: int, n_particles: int, stiffness: Stiffness = FREE, contact_exponent: float = 1.0, seed: int = 0
) -> np.ndarray:
    """Returns independent samples of the square of `free_fermion_guide`, in ascending order, in a_ho.

    They are the eigenvalues of random tridiagonal matrices.

    Args:
        n_walkers: number of samples.
        n_particles: A.
        stiffness: of the Gaussians.
        contact_exponent: l.
        seed: of the random numbers.

    Returns:
        Positions, shape (n_walkers, n_particles), float64.

    Reference: Dumitriu, Edelman, J. Math. Phys. 43, 5830 (2002), with beta = 2 l.
    """
    random = np.random.default_rng(seed)
    matrices = np.zeros((n_walkers, n_particles, n_particles))
    rows = np.arange(n_particles)
    matrices[:, rows, rows] = random.normal(size=(n_walkers, n_particles)) / np.sqrt(2)
    freedom = 2 * contact_exponent * np.arange(n_particles - 1, 0, -1)
    matrices[:, rows[1:], rows[:-1]] = np.sqrt(random.chisquare(freedom, (n_walkers, n_particles - 1))) / 2
    positions = np.linalg.eigvalsh(matrices)
    middle = positions.mean(axis=1, keepdims=True)
    return (positions - middle) / np.sqrt(stiffness.internal) + middle / np.sqrt(stiffness.centre)


def best_stiffness(system: TrappedFermions, with_interaction: bool = True) -> Stiffness:
    """Returns the stiffness whose `free_fermion_guide` has the lowest mean energy.

    In the harmonic trap the centre of mass moves as one particle does, whatever the interaction: its stiffness is 1.

    Args:
        system: the Hamiltonian, in a trap.
        with_interaction: whether the interaction counts; without it the stiffness is that of the trap.
    """
    n_particles, exponent = system.n_particles, system.contact_exponent
    samples = free_fermion_positions(_N_SAMPLES, n_particles, contact_exponent=exponent)
    centre = samples.mean(axis=1, keepdims=True)

    def chosen(internal: float) -> Stiffness:
        return Stiffness(internal, 1.0 if system.trap == "harmonic" else internal)

    def mean_energy(log_internal: float) -> float:
        one = chosen(math.exp(log_internal))
        positions = (samples - centre) / math.sqrt(one.internal) + centre / math.sqrt(one.centre)
        energies = np.asarray(free_fermion_guide(system, one)(tf.constant(positions)).local_energy)
        if not with_interaction:
            energies = energies - np.asarray(system.interaction_energy(tf.constant(positions)))
        is_finite = np.isfinite(energies)
        return float(energies[is_finite].mean()) if is_finite.any() else math.inf

    grid = np.linspace(math.log(0.02), math.log(200.0), 47)
    best = int(np.argmin([mean_energy(one) for one in grid]))
    bounds = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
    return chosen(math.exp(minimize_scalar(mean_energy, bounds=bounds, method="bounded", options={"xatol": 1e-3}).x))


@functools.lru_cache(maxsize=1)
def ansatz_guide(ansatz: keras.Model, system: TrappedFermions) -> Guide:
    """Returns a trained wave function as a guide.

    The last one is remembered: with other weights, or another strength of the interaction, the same two objects are the
    same guide, and nothing that was compiled for it is compiled again.

    Args:
        ansatz: Keras model, positions -> (sign, log_abs_psi), such as `JastrowAnsatz`.
        system: the Hamiltonian.

    Raises:
        ValueError: the ansatz is made of orbitals, so that it has more nodes than those where particles meet; or it
            vanishes there by another power than the ground state.
    """
    if isinstance(ansatz, HasOrbitals):
        raise ValueError(
            f"ansatz = {type(ansatz).__name__}: has nodes besides those where particles meet, which would confine the "
            "walkers; must be a JastrowAnsatz, or use free_fermion_guide"
        )
    check_contact(ansatz, system)
    laplacian = choose_laplacian(ansatz, "auto", system.n_particles)
    derivatives = log_derivatives(ansatz, laplacian)
    is_regular = laplacian == "forward" and isinstance(ansatz, HasRegularDerivatives)

    def guide(positions: Tensor) -> GuideValues:
        if is_regular:  # without what the interaction of calogero cancels
            (_, log_abs_psi), found = ansatz.regular_derivatives(positions)
        elif laplacian == "forward":
            (_, log_abs_psi), found = ansatz.forward_laplacian(positions)
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
            "walkers; must vanish only where particles meet, as a JastrowAnsatz does"
        )
