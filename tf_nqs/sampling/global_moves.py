"""Global moves: independence proposals from anywhere in the trap, besides the local steps of a walker."""

from __future__ import annotations

import tensorflow as tf
import tensorflow_probability as tfp

from tf_nqs.execution.row_block import RowBlock
from tf_nqs.physics.oscillator import free_fermions_of, sample_free_fermions
from tf_nqs.physics.pairs import pair_differences
from tf_nqs.types import LogAbsPsi, Tensor

DILATIONS = (0.6, 1.0, 1.6)
"""Free fermions are dilated by one of these: an attraction makes the cloud smaller, a repulsion larger."""


def propose(seed: Tensor, n_walkers: int, n_particles: int, dtype: str, own: RowBlock | None = None) -> Tensor:
    """Returns independent positions of density q: free fermions dilated by one of `DILATIONS`.

    Args:
        seed: stateless key, int32, shape (2,).
        n_walkers: number of walkers.
        n_particles: number of particles A.
        dtype: "float32" or "float64".
        own: which of these positions are wanted; None for all.

    Returns:
        Shape (n_walkers, n_particles), in a_ho.
    """
    draw, choice = tf.unstack(tf.random.split(seed, 2))
    index = tf.random.stateless_uniform((n_walkers,), choice, 0, len(DILATIONS), tf.int32)
    dilation = tf.gather(tf.constant(DILATIONS, dtype), index)
    if own is None:
        return dilation[:, None] * sample_free_fermions(draw, n_walkers, n_particles, dtype)
    return own.of(dilation)[:, None] * _own_free_fermions(draw, n_walkers, n_particles, dtype, own)


def _own_free_fermions(seed: Tensor, n_walkers: int, n_particles: int, dtype: str, own: RowBlock) -> Tensor:
    """Returns some rows of what `sample_free_fermions` returns."""
    draw, order = tf.unstack(tf.random.split(seed, 2))
    shape = (n_walkers, n_particles, n_particles)
    parts = tf.stack([own.normal(shape, draw, dtype, place) for place in range(2)])
    return free_fermions_of(parts, own.uniform((n_walkers, n_particles), order))


def log_density(positions: Tensor) -> Tensor:
    """Returns ln q up to a constant, shape (n_walkers,).

    q(x) = prod_{i<j} (x_i - x_j)^2 sum_s s^(-A^2) exp(-sum_i x_i^2 / s^2).

    Args:
        positions: x in a_ho, shape (n_walkers, n_particles).
    """
    n_particles = positions.shape[1]
    gaps = pair_differences(positions)
    dilations = tf.constant(DILATIONS, positions.dtype)
    radius = tf.reduce_sum(positions**2, axis=1, keepdims=True)
    gaussians = -radius / dilations**2 - n_particles**2 * tf.math.log(dilations)
    return 2 * tf.reduce_sum(tf.math.log(tf.abs(gaps)), axis=1) + tf.reduce_logsumexp(gaussians, axis=1)


def global_move(
    log_probability: LogAbsPsi, candidates: Tensor, positions: Tensor, seed: Tensor
) -> tuple[Tensor, Tensor]:
    """Moves walkers to their candidates, wherever they are, by a Metropolis step of TFP.

    A candidate is accepted with min(1, |Psi(x')|^2 q(x) / (|Psi(x)|^2 q(x'))). Only such moves bring walkers into a
    region behind a node that a random walk hardly crosses: without them every estimate lacks the energy of that region
    until a walker strays there.

    Args:
        log_probability: callable, (n_walkers, n_particles) -> ln|Psi|^2 (n_walkers,), finite everywhere.
        candidates: one from `propose` for every walker, shape (n_walkers, n_particles).
        positions: of the walkers, shape (n_walkers, n_particles).
        seed: stateless key, int32, shape (2,).

    Returns:
        The new positions, and ln|Psi|^2 there; not finite where two particles of a walker are at one place.

    Reference: L. Tierney, Ann. Stat. 22, 1701 (1994), Sec. 2.3.3 (independence chains).
    """

    def log_importance(positions: Tensor) -> Tensor:
        return log_probability(positions) - log_density(positions)

    # A walk whose moves do not depend on where it stands compares the importances |Psi|^2 / q of both places.
    kernel = tfp.mcmc.RandomWalkMetropolis(log_importance, lambda parts, seed: [candidates for _ in parts])
    positions, results = kernel.one_step(positions, kernel.bootstrap_results(positions), seed=seed)
    return positions, results.accepted_results.target_log_prob + log_density(positions)
