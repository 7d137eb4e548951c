"""Lost and stuck walkers: they are found, and restarted where other walkers stand."""

from __future__ import annotations

import tensorflow as tf

from tf_nqs.execution.by_system import number_of_systems, rows_by_system
from tf_nqs.physics.energy import median
from tf_nqs.types import Tensor, WalkerState

_FARTHEST = 100.0
"""A walker is lost if it is further out than this factor times the median distance plus 1 a_ho: |Psi|^2 falls at least
exponentially, to a probability of exp(-100) there, and a random walk back would take millions of steps."""

_KEY = -2
"""Folded into the walkers' seed: sampling splits the seed, so it draws other numbers."""


def restart_lost(walkers: WalkerState, n_unmoved: Tensor, most_unmoved: int) -> tuple[WalkerState, Tensor, Tensor]:
    """Returns the walkers, with lost ones moved to the places of others.

    A walker is lost if a position is not finite or absurdly far out, or if it has not moved for too long. It goes to
    the place of another one, chosen at random among those that are not lost; from there both walk independently. If
    all are lost, all stay. Walkers of one system of a family know only each other.

    Args:
        walkers: the walkers, before sampling.
        n_unmoved: sampling calls since each walker moved, int32, shape (n_walkers,).
        most_unmoved: number of calls without a move at which a walker is lost; 0 for no limit.

    Returns:
        The walkers, with unchanged seed and width; their n_unmoved, 0 for restarted ones; the number of these.
    """
    positions, n_systems = walkers.positions, number_of_systems(walkers.proposal_width)
    is_finite = tf.reduce_all(tf.math.is_finite(positions), axis=1)
    reach = tf.reduce_max(tf.abs(positions), axis=1)
    lost = rows_by_system(_is_lost, n_systems, reach, is_finite)
    if most_unmoved:
        lost |= n_unmoved >= most_unmoved
    lost = rows_by_system(_unless_all, n_systems, lost)
    n_lost = tf.reduce_sum(tf.cast(lost, tf.int32))

    def restarted() -> tuple[Tensor, Tensor, Tensor]:
        key = tf.random.experimental.stateless_fold_in(walkers.seed, _KEY)
        draw = tf.random.stateless_uniform(tf.shape(lost), key, None, None, tf.uint32)
        there = rows_by_system(_places_of_others, n_systems, positions, lost, tf.cast(draw, tf.int64))
        return there, tf.where(lost, tf.zeros_like(n_unmoved), n_unmoved), n_lost

    def as_they_are() -> tuple[Tensor, Tensor, Tensor]:
        return positions, tf.identity(n_unmoved), tf.zeros_like(n_lost)

    positions, n_unmoved, n_restarted = tf.cond(n_lost > 0, restarted, as_they_are)
    return walkers._replace(positions=positions), n_unmoved, n_restarted


def _is_lost(reach: Tensor, is_finite: Tensor) -> Tensor:
    return ~is_finite | (reach > _FARTHEST * (1 + median(reach, is_finite)))


def _unless_all(lost: Tensor) -> Tensor:
    """Which walkers are lost; none if all are, as no place is left to restart them at."""
    return lost & tf.reduce_any(~lost)


def _places_of_others(positions: Tensor, lost: Tensor, draw: Tensor) -> Tensor:
    """The positions, with those of lost walkers replaced by those of others; not all of them are lost, or none is."""
    others = tf.argsort(tf.cast(lost, tf.int32), stable=True)  # those that are not lost come first, in order
    n_others = tf.reduce_sum(tf.cast(~lost, tf.int64))
    there = tf.gather(positions, tf.gather(others, draw % tf.maximum(n_others, 1)))
    return tf.where(lost[:, None], there, positions)


def count_unmoved(before: Tensor, after: Tensor, n_unmoved: Tensor) -> Tensor:
    """Returns the sampling calls since each walker moved, after one more of them, int32, shape (n_walkers,).

    Args:
        before: positions before the call, shape (n_walkers, n_particles).
        after: positions after it.
        n_unmoved: the calls so far.
    """
    return tf.where(tf.reduce_any(before != after, axis=1), tf.zeros_like(n_unmoved), n_unmoved + 1)
