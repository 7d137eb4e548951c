"""The row of a measurement, one number per walker, where several weighted samples were made of each walker."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tf_nqs.analysis.chain_sums import ChainSums
from tf_nqs.physics.energy import is_potential_infinite
from tf_nqs.sampling.near_pairs import sums_of_walkers
from tf_nqs.trainer import Trainer
from tf_nqs.types import LocalEnergy, Tensor

Moments = tuple[np.ndarray, np.ndarray, np.ndarray, float]
"""Each walker's count, sum and sum of squares of a quantity less an origin, and that origin."""


_LOST = 1e15
"""A walker further out than this, in a_ho, is lost; the square of its position may overflow."""


def typical_values(rows: np.ndarray, n_walkers: int) -> np.ndarray:
    """Returns the median of each quantity over the walkers, shape (n_quantities, 1); 0 where none is finite.

    Args:
        rows: local energy, kinetic energy, trap, interaction and perhaps more, of the walkers first, of the samples
            made of them then, shape (n_quantities, n_samples).
        n_walkers: how many walkers there are.
    """
    own = rows[:, :n_walkers]
    typical = np.array([[np.median(one[np.isfinite(one)]) if np.isfinite(one).any() else 0.0] for one in own])
    typical[1] = typical[0] - typical[2] - typical[3]  # the parts add up to the whole
    return typical


def combine_samples(rows: np.ndarray, weights: np.ndarray, n_walkers: int, origin: np.ndarray) -> np.ndarray:
    """Returns a row of numbers, one of each walker, whose means are those of the samples.

    The number of a walker is origin + sum_k w_k (f_k - origin) over the samples made of it: the weights of a walker
    sum to 1 on average only, and near the origin their deviation from 1 has no effect. If the local energy is the same
    everywhere, the mean has no error.

    Args:
        rows: quantities of the samples, the local energy first, shape (n_quantities, n_samples); nan where lost.
        weights: shape (n_samples,).
        n_walkers: how many walkers there are.
        origin: near the means, the same for all rows of a measurement, shape (n_quantities, 1).

    Returns:
        Shape (n_quantities + 1, n_walkers): the last one is sum_k w_k (e_k - origin)^2. nan for a walker of which a
        sample with a weight is lost.
    """
    deviations = np.where(weights > 0, rows - origin, 0.0)
    weighted = np.concatenate([weights * deviations, weights * deviations[:1] ** 2])
    sums = np.asarray(sums_of_walkers(weighted.T, n_walkers)).T
    return sums + np.concatenate([origin, [[0.0]]])


def variance_moments(record: ChainSums, origin: np.ndarray) -> Moments:
    """Returns the moments of the local energy from a record of rows that `combine_samples` made.

    Args:
        record: the rows; the local energy is their first quantity, its squared deviations are the last one.
        origin: as given to `combine_samples`.
    """
    counts, sums, _, own_origin = record.moments()
    squares = record.moments(-1)
    return counts, sums + (own_origin - origin[0, 0]) * counts, squares[1] + squares[3] * counts, float(origin[0, 0])


def refuse_infinite_potential(vmc: Trainer) -> None:
    """Raises ValueError where the potential is infinite at a trainer's walkers, and the wave function is not zero."""
    positions = vmc.walkers.positions
    samples = vmc.with_near_pairs(positions, tf.ones_like(positions[:, 0]), 0)
    trap, interaction = vmc.system.trap_energy(samples.positions), vmc.system.interaction_energy(samples.positions)
    energy = LocalEnergy(tf.zeros_like(trap), trap, interaction)
    if tf.reduce_any(is_potential_infinite(energy)):
        # Not where the wave function vanishes, nor at walkers that are lost, which the next sampling restarts.
        counts = tf.math.is_finite(vmc.ansatz(samples.positions)[1])
        counts &= tf.reduce_all(tf.abs(samples.positions) < _LOST, axis=1)
        refuse_infinite(energy, tf.where(counts, samples.weights, tf.zeros_like(trap)))


def refuse_infinite(local_energy: LocalEnergy, weights: Tensor) -> None:
    """Raises ValueError where a potential is infinite at samples that count.

    Args:
        local_energy: parts of shape (n_samples,).
        weights: shape (n_samples,).
    """
    n_infinite = int(tf.reduce_sum(tf.cast(is_potential_infinite(local_energy) & (weights > 0), tf.int32)))
    if n_infinite:
        raise ValueError(
            f"the potential is infinite at {n_infinite} of {len(weights)} samples, where the wave function does not "
            "vanish, so its energy is infinite: make trap and pair_potential finite (a high barrier), or use an ansatz "
            "that vanishes there"
        )


def local_energy_of_walkers(samples_energy: LocalEnergy, weights: Tensor, n_walkers: int) -> LocalEnergy:
    """Returns one local energy of each walker, by `combine_samples` with this row's own typical values.

    Args:
        samples_energy: parts of shape (n_samples,), in hbar*omega.
        weights: shape (n_samples,).
        n_walkers: how many walkers there are.
    """
    parts = np.array([np.asarray(part, np.float64) for part in samples_energy])
    rows = np.concatenate([parts.sum(axis=0, keepdims=True), parts])
    rows = np.where(np.isfinite(rows[0]), rows, np.nan)
    combined = combine_samples(rows, np.asarray(weights, np.float64), n_walkers, typical_values(rows, n_walkers))
    return LocalEnergy(*combined[1:-1])
