"""Short-ranged interactions: samples in which a pair of particles is moved together, with the weights that they need.

Let the zone hold pairs closer than `zone.width`. Of a walker x and a pair p, let x_s be x with the pair at the distance
s, its centre and the other particles where they are. The mean of any f over |Psi|^2 is

    <f> = <f 1{no pair in the zone}> + sum_p <f 1{p in the zone} / n>,     n: number of pairs in the zone,

and in the second term f(x) may be replaced by a mean over s. It is taken over an orbit: with a stretched coordinate
t in [0, 1), s = s(t), and the places t_k = t + k/K (mod 1) through the walker's own place t,

    <f 1{p in the zone} / n> = < sum_k w_k f(x_k) 1{s_k in the zone} / n(x_k) >,
    w_k = |Psi(x_k)|^2 s'(t_k) / sum_l |Psi(x_l)|^2 s'(t_l).

The shift by 1/K leaves dt invariant, so that this is exact for every K and every s(t); they decide about the variance
alone. s(t) gives the zone a place in every orbit, though hardly a walker is ever there.

Reference: D. Frenkel, Proc. Natl. Acad. Sci. USA 101, 17571 (2004), and J.-F. Delmas and B. Jourdain, J. Appl. Probab.
    46, 937 (2009), for means over all places that a move could have led to.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tf_nqs.physics.contact_zone import ContactZone
from tf_nqs.physics.energy import estimate_energy, mask_non_finite, median, weighted_mean
from tf_nqs.physics.pairs import pair_differences, pair_indices
from tf_nqs.types import EnergyEstimate, LocalEnergy, LogAbsPsi, Tensor

N_NEAR = 1
"""Places of an orbit in the zone, each of them a sample: more would cost more than they gain."""

N_FAR = 12
"""Places of an orbit outside the zone: their mean of |Psi|^2 is what the weights are divided by."""

_REACH_IN_SPACINGS, _REACH_IN_ZONES = 3.0, 4.0
"""Pairs further apart than this many mean distances of neighbours, or zones, are not moved together."""

_LEAST_WEIGHT = 1e-30

_KEY = 2025
"""Of the choice of pairs, beside the number of the iteration: no random number of the trainer is used."""


class WeightedPositions(NamedTuple):
    """Walkers, and behind them the samples that were made of them: those of the first walker, of the second, ...

    Attributes:
        positions: in a_ho, shape (n_samples, n_particles).
        weights: R, shape (n_samples,); 0 for walkers with a pair in the zone.
    """

    positions: Tensor
    weights: Tensor


def with_near_pairs(
    log_abs_psi: LogAbsPsi, zone: ContactZone | None, positions: Tensor, weights: Tensor, number: Tensor | int
) -> WeightedPositions:
    """Returns walkers together with samples in which one of their pairs is in the contact zone.

    Args:
        log_abs_psi: ln|Psi|.
        zone: the contact zone; None returns the walkers alone.
        positions: walkers of |Psi|^2, in a_ho, shape (n_walkers, n_particles).
        weights: R, shape (n_walkers,).
        number: of the iteration or of the sampling call; other pairs are chosen for another one.
    """
    if zone is None:
        return WeightedPositions(positions, weights)
    n_particles = positions.shape[1]
    i, j, probability = _choose_pairs(positions, zone.width, number)
    difference = tf.reduce_sum((i - j) * positions, axis=1)
    reach = _reach(positions, zone.width)
    distances, log_stretch = _orbit(tf.abs(difference), zone, reach)
    shift = 0.5 * _sign(difference)[:, None] * (distances - tf.abs(difference)[:, None])
    moved = positions[:, None] + shift[..., None] * (i - j)[:, None]
    log_density = 2 * log_abs_psi(tf.reshape(moved, (-1, n_particles)))
    shares = _softmax(tf.reshape(log_density, distances.shape) + log_stretch)[:, :N_NEAR]
    near = tf.reshape(moved[:, :N_NEAR], (-1, n_particles))
    n_in_zone = tf.maximum(_pairs_in_zone(near, zone.width), 1.0)
    is_moved = tf.where(tf.abs(difference) < reach, weights / probability, tf.zeros_like(weights))
    near_weights = tf.reshape(is_moved[:, None] * shares, (-1,)) / n_in_zone
    alone = tf.where(_pairs_in_zone(positions, zone.width) > 0, tf.zeros_like(weights), weights)
    return WeightedPositions(tf.concat([positions, near], axis=0), tf.concat([alone, near_weights], axis=0))


def like_samples(positions: Tensor) -> Tensor:
    """Returns positions in the number that `with_near_pairs` returns, for tracing and compiling."""
    return tf.tile(positions, (1 + N_NEAR, 1))


def like_orbits(positions: Tensor) -> Tensor:
    """Returns positions in the number for which `with_near_pairs` computes ln|Psi|."""
    return tf.tile(positions, (N_NEAR + N_FAR, 1))


def sums_of_walkers(values: Tensor, n_walkers: int) -> Tensor:
    """Returns for each walker the sum over itself and the samples made of it, shape (n_walkers, ...).

    Args:
        values: in the order of `WeightedPositions`, shape (n_samples, ...).
        n_walkers: how many walkers there are.
    """
    own, made = values[:n_walkers], values[n_walkers:]
    return own + tf.reduce_sum(tf.reshape(made, (n_walkers, -1, *made.shape[1:])), axis=1)


def estimate_of_walkers(local_energy: LocalEnergy, weights: Tensor, n_walkers: int) -> EnergyEstimate:
    """Returns `estimate_energy`; where samples were made of walkers, with the error and the count of walkers.

    Args:
        local_energy: parts of shape (n_samples,), in the order of `WeightedPositions`, in hbar*omega.
        weights: R, shape (n_samples,).
        n_walkers: how many walkers there are.
    """
    estimate = estimate_energy(local_energy, weights)
    if weights.shape[0] == n_walkers:
        return estimate
    masked = mask_non_finite(local_energy, weights)
    deviations = tf.where(masked > 0, masked * (local_energy.total - estimate.energy), tf.zeros_like(masked))
    spread = tf.norm(sums_of_walkers(deviations, n_walkers))  # samples made of one walker are not independent
    lost = tf.cast(~tf.math.is_finite(local_energy.total) & (weights > 0), weights.dtype)
    n_lost = tf.reduce_sum(tf.minimum(sums_of_walkers(lost, n_walkers), 1))
    return estimate._replace(energy_error=spread / tf.reduce_sum(masked), n_non_finite=n_lost)


def clip_influence(local_energy: Tensor, weights: Tensor, deviations: float | Tensor) -> Tensor:
    """Returns the local energies cut so far that no sample has more influence, R |e_L - median|, than the bound.

    As `clip_local_energy`, for weights that differ by orders of magnitude: a sample of small weight keeps an energy
    that would be cut on a walker. Median and mean absolute deviation are weighted.

    Args:
        local_energy: e_L, shape (n_samples,), in hbar*omega.
        weights: R, shape (n_samples,).
        deviations: bound on the influence of a sample of weight 1, in mean absolute deviations; 0 for no clipping.

    Returns:
        Shape (n_samples,).
    """
    centre = _weighted_median(local_energy, weights)
    finite = tf.where(weights > 0, local_energy, tf.fill(tf.shape(local_energy), centre))
    if isinstance(deviations, int | float) and not deviations:
        return finite
    width = deviations * weighted_mean(tf.abs(finite - centre), weights)
    width /= tf.clip_by_value(weights, _LEAST_WEIGHT, 1.0)
    return tf.clip_by_value(finite, centre - width, centre + width)


def _choose_pairs(positions: Tensor, width: float, number: Tensor | int) -> tuple[Tensor, Tensor, Tensor]:
    """One pair of each walker, by unit vectors (n_walkers, n_particles), and the probability that it is this one.

    Close pairs are chosen more often: the mean over s of a pair far apart is smaller.
    """
    n_walkers, n_particles = positions.shape
    first, second = pair_indices(n_particles)
    apart = tf.abs(pair_differences(positions))
    odds = 1.0 / (apart + width) ** 2
    probabilities = odds / tf.reduce_sum(odds, axis=1, keepdims=True)
    seed = tf.stack([tf.constant(_KEY), tf.cast(number, tf.int32)])
    drawn = tf.random.stateless_uniform((n_walkers, 1), seed, dtype=positions.dtype)
    below = tf.cast(tf.cumsum(probabilities, axis=1) < drawn, tf.int32)
    chosen = tf.minimum(tf.reduce_sum(below, axis=1), first.size - 1)
    one_of = [tf.one_hot(tf.gather(one, chosen), n_particles, dtype=positions.dtype) for one in (first, second)]
    return *one_of, tf.gather(probabilities, chosen, batch_dims=1)


def _weighted_median(values: Tensor, weights: Tensor) -> Tensor:
    """The least value that half of the weights do not exceed; what has no weight may be NaN."""
    values = tf.where(weights > 0, values, tf.fill(tf.shape(values), values.dtype.max))
    order = tf.argsort(values)
    below = tf.cumsum(tf.gather(weights, order))
    return tf.gather(values, order[tf.argmax(tf.cast(below >= 0.5 * below[-1], tf.int32))])


def _sign(values: Tensor) -> Tensor:
    """1 or -1, 1 for 0."""
    return tf.where(values < 0, -tf.ones_like(values), tf.ones_like(values))


def _reach(positions: Tensor, width: float) -> Tensor:
    """The distance up to which pairs are moved, scalar; no lost walker decides about it."""
    extent = tf.reduce_max(positions, axis=1) - tf.reduce_min(positions, axis=1)
    spacing = median(extent, tf.math.is_finite(extent)) / (positions.shape[1] - 1)
    return tf.maximum(_REACH_IN_SPACINGS * spacing, _REACH_IN_ZONES * width)


def _orbit(distance: Tensor, zone: ContactZone, reach: Tensor) -> tuple[Tensor, Tensor]:
    """The distances s(t_k) and ln s'(t_k), shape (n_walkers, N_NEAR + N_FAR); the first N_NEAR are in the zone.

    In the zone s = scale (exp(k u) - 1), which crowds at contact; outside it is linear up to the reach.
    """
    log_ratio = math.log1p(zone.width / zone.scale)
    inside = tf.math.log1p(tf.minimum(distance, zone.width) / zone.scale) / log_ratio
    outside = tf.clip_by_value((distance - zone.width) / (reach - zone.width), 0.0, 1.0)
    place = tf.where(distance < zone.width, N_NEAR * inside, N_FAR * outside)
    offset = (place - tf.floor(place))[:, None]
    near, far = (offset + tf.range(n, dtype=offset.dtype) for n in (N_NEAR, N_FAR))
    growth = log_ratio * near / N_NEAR
    distances = [zone.scale * tf.math.expm1(growth), zone.width + (reach - zone.width) * far / N_FAR]
    slopes = [
        growth + math.log(zone.scale * log_ratio / N_NEAR),
        tf.math.log((reach - zone.width) / N_FAR) * tf.ones_like(far),
    ]
    return tf.concat(distances, axis=1), tf.concat(slopes, axis=1)


def _softmax(logs: Tensor) -> Tensor:
    """exp(logs) / sum exp(logs) along the last axis; NaN counts as -inf, and where all are -inf, all shares are 0."""
    logs = tf.where(tf.math.is_nan(logs), tf.fill(tf.shape(logs), tf.constant(-np.inf, logs.dtype)), logs)
    largest = tf.reduce_max(logs, axis=-1, keepdims=True)
    values = tf.exp(logs - tf.where(tf.math.is_finite(largest), largest, tf.zeros_like(largest)))
    return tf.math.divide_no_nan(values, tf.reduce_sum(values, axis=-1, keepdims=True))


def _pairs_in_zone(positions: Tensor, width: float) -> Tensor:
    """How many pairs of each walker are in the zone, shape (n_walkers,)."""
    apart = tf.abs(pair_differences(positions))
    return tf.reduce_sum(tf.cast(apart < width, positions.dtype), axis=1)
