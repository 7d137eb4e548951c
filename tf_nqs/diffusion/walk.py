"""One walk of diffusion Monte Carlo: drift, diffusion and branching inside one order of the particles.

The ground state of fermions on a line vanishes only where two particles meet. Between these nodes it solves a problem
without sign: imaginary time, exp(-tau H), turns any guide with the same nodes into the ground state. Importance
sampling by the guide Psi gives walkers the drift grad ln|Psi|, and each a weight that follows its local energy.

Reference: Reynolds, Ceperley, Alder, Lester, J. Chem. Phys. 77, 5593 (1982); Umrigar, Nightingale, Runge, J. Chem.
Phys. 99, 2865 (1993), called UNR here; on the missing sign problem in one dimension arXiv:2407.01618.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from tf_nqs.types import Tensor

_CUT = 1.0
"""Local energies count down to sqrt(A/tau) below the trial energy: a bound that vanishes with the time step,
after Zen et al., Phys. Rev. B 93, 241118 (2016). Above the trial energy no bound is needed, as weights fall to zero."""


class GuideValues(NamedTuple):
    """A guide at the walkers' positions.

    Attributes:
        log_abs_psi: ln|Psi|, shape (n_walkers,).
        gradient: d_i ln|Psi|, shape (n_walkers, n_particles), in 1/a_ho.
        local_energy: (H Psi)/Psi, shape (n_walkers,), in hbar*omega.
    """

    log_abs_psi: Tensor
    gradient: Tensor
    local_energy: Tensor


Guide = Callable[[Tensor], GuideValues]
"""positions (n_walkers, n_particles) -> GuideValues."""


class Population(NamedTuple):
    """All walkers of a diffusion, whose number never changes.

    Attributes:
        positions: in ascending order in each row, shape (n_walkers, n_particles), in a_ho.
        guide: the guide at these positions.
        log_weights: shape (n_walkers,).
        ancestors: int32, shape (n_walkers,): of which of the earlier walkers, by number, each is a copy.
    """

    positions: Tensor
    guide: GuideValues
    log_weights: Tensor
    ancestors: Tensor


class Generation(NamedTuple):
    """What one generation, the steps between two branchings, measures; scalars.

    Attributes:
        energy: weighted mean of the local energy before branching, in hbar*omega.
        log_growth: logarithm of the mean weight.
        effective_walkers: (sum of weights)^2 / sum of squared weights.
        acceptance: accepted share of the moves.
        n_crossed: moves refused because particles would have passed each other.
        n_non_finite: walkers with weight 0, because they have come to a local energy that is not finite.
    """

    energy: Tensor
    log_growth: Tensor
    effective_walkers: Tensor
    acceptance: Tensor
    n_crossed: Tensor
    n_non_finite: Tensor


def start_population(guide: Guide, positions: Tensor) -> Population:
    """Returns a population with equal weights.

    Args:
        guide: evaluated once.
        positions: shape (n_walkers, n_particles), in any order; samples of |Psi|^2 shorten the equilibration.
    """
    positions = tf.sort(positions, axis=1)
    return new_population(positions, guide(positions))


def new_population(positions: Tensor, guide_values: GuideValues) -> Population:
    """Returns walkers with equal weights, each its own ancestor."""
    return Population(positions, guide_values, tf.zeros_like(positions[:, 0]), tf.range(positions.shape[0]))


def limited_drift(gradient: Tensor, time_step: Tensor) -> Tensor:
    """Returns the mean drift velocity over a time step, shape of `gradient`.

    The gradient diverges as 1/distance next to a node, where a full step would overshoot. Followed in time,
    d(distance)/dt = 1/distance gives v (sqrt(1 + 2 v^2 tau) - 1)/(v^2 tau).

    Args:
        gradient: v = grad ln|Psi|, in 1/a_ho.
        time_step: tau, in 1/omega.

    Reference: UNR, Eq. 35 with a = 1, for each particle.
    """
    # (sqrt(1 + y) - 1)/(y/2) = 2/(sqrt(1 + y) + 1) has no 0/0.
    return gradient * 2 / (tf.sqrt(1 + 2 * time_step * gradient**2) + 1)


def diffusion_step(
    guide: Guide, population: Population, time_step: Tensor, trial_energy: Tensor, seed: Tensor
) -> tuple[Population, Tensor, Tensor]:
    """Moves all walkers by one time step and changes their weights.

    A move is accepted with the probability that makes |Psi|^2 stationary without weights, and never if particles
    would pass each other. So with an exact guide no time-step error is left. Refused moves shorten the time for which
    the weights grow. A walker whose local energy is not finite has weight 0.

    Args:
        guide: the guide.
        population: the walkers.
        time_step: tau, scalar, in 1/omega.
        trial_energy: scalar, in hbar*omega; a constant factor of all weights.
        seed: stateless random key, int32, shape (2,).

    Returns:
        The population, the accepted share, and the number of refused crossings.
    """
    move_seed, accept_seed = tf.unstack(tf.random.split(seed, 2))
    before, drift = population.positions, limited_drift(population.guide.gradient, time_step)
    noise = tf.random.stateless_normal(tf.shape(before), move_seed, dtype=before.dtype)
    proposed = before + time_step * drift + tf.sqrt(time_step) * noise
    in_order = tf.reduce_all(proposed[:, 1:] > proposed[:, :-1], axis=1)
    there = guide(tf.where(in_order[:, None], proposed, before))
    drift_back = limited_drift(there.gradient, time_step)
    forth = tf.reduce_sum(noise**2, axis=1)
    back = tf.reduce_sum((before - proposed - time_step * drift_back) ** 2, axis=1) / time_step
    log_ratio = 2 * (there.log_abs_psi - population.guide.log_abs_psi) - 0.5 * (back - forth)
    is_possible = in_order & ~tf.math.is_nan(log_ratio)
    probability = tf.where(is_possible, tf.exp(tf.minimum(log_ratio, 0)), 0)
    is_accepted = tf.random.stateless_uniform(tf.shape(probability), accept_seed, dtype=before.dtype) < probability

    squared = _finite_or(0.0, tf.reduce_sum((proposed - before) ** 2, axis=1))
    effective_step = time_step * tf.math.divide_no_nan(tf.reduce_sum(probability * squared), tf.reduce_sum(squared))
    after = GuideValues(*(_chosen(is_accepted, *pair) for pair in zip(there, population.guide, strict=True)))
    mean_energy = 0.5 * (population.guide.local_energy + after.local_energy)
    largest = _CUT * tf.sqrt(tf.cast(before.shape[1], before.dtype) / time_step)
    growth = tf.minimum(_finite_or(-math.inf, trial_energy - mean_energy), largest)
    log_weights = population.log_weights + tf.where(tf.math.is_inf(growth), growth, effective_step * growth)
    moved = Population(_chosen(is_accepted, proposed, before), after, log_weights, population.ancestors)
    n_crossed = tf.reduce_sum(tf.cast(~in_order, tf.int32))
    return moved, tf.reduce_mean(tf.cast(is_accepted, before.dtype)), n_crossed


def branch(population: Population, seed: Tensor) -> Population:
    """Copies walkers in proportion to their weights, and gives all equal ones again.

    A comb with one tooth per walker takes each walker floor(w) or ceil(w) times, w being its weight over the mean. So
    the number of walkers stays, and the population can neither die nor explode.

    Args:
        population: the walkers.
        seed: stateless random key, int32, shape (2,).
    """
    weights = tf.exp(population.log_weights - tf.reduce_max(population.log_weights))
    ends = tf.cumsum(weights)
    n_walkers = population.positions.shape[0]
    offset = tf.random.stateless_uniform((), seed, dtype=weights.dtype)
    teeth = (tf.range(n_walkers, dtype=weights.dtype) + offset) * (ends[-1] / n_walkers)
    parents = tf.minimum(tf.searchsorted(ends, teeth, side="right"), n_walkers - 1)
    copied: Population = tf.nest.map_structure(lambda rows: tf.gather(rows, parents), population)
    return copied._replace(log_weights=tf.zeros_like(weights))


def one_generation(
    guide: Guide, population: Population, time_step: Tensor, trial_energy: Tensor, n_steps: int | Tensor, seed: Tensor
) -> tuple[Population, Generation]:
    """Does some steps, measures, and branches.

    Args:
        guide: the guide.
        population: the walkers, with equal weights.
        time_step: tau, scalar, in 1/omega.
        trial_energy: scalar, in hbar*omega.
        n_steps: number of steps before branching.
        seed: stateless random key, int32, shape (2,).
    """

    def step(index: Tensor, state: Population, accepted: Tensor, crossed: Tensor) -> tuple:
        key = tf.random.experimental.stateless_fold_in(seed, index)
        state, acceptance, n_crossed = diffusion_step(guide, state, time_step, trial_energy, key)
        return index + 1, state, accepted + acceptance, crossed + n_crossed

    start = (0, population, tf.zeros((), population.positions.dtype), tf.constant(0))
    _, moved, accepted, crossed = tf.while_loop(lambda index, *_: index < n_steps, step, start)
    weights = tf.exp(moved.log_weights)
    total = tf.reduce_sum(weights)
    generation = Generation(
        energy=tf.reduce_sum(tf.where(weights > 0, weights * moved.guide.local_energy, 0)) / total,
        log_growth=tf.math.log(tf.reduce_mean(weights)),
        effective_walkers=total**2 / tf.reduce_sum(weights**2),
        acceptance=accepted / tf.cast(n_steps, accepted.dtype),
        n_crossed=crossed,
        n_non_finite=tf.reduce_sum(tf.cast(tf.math.is_inf(moved.log_weights), tf.int32)),
    )
    return branch(moved, tf.random.experimental.stateless_fold_in(seed, -1)), generation


def _finite_or(other: float, values: Tensor) -> Tensor:
    return tf.where(tf.math.is_finite(values), values, tf.constant(other, values.dtype))


def _chosen(is_accepted: Tensor, there: Tensor, here: Tensor) -> Tensor:
    """Returns rows of `there` where the move is accepted, of `here` elsewhere."""
    return tf.where(tf.reshape(is_accepted, (-1, *[1] * (len(here.shape) - 1))), there, here)
