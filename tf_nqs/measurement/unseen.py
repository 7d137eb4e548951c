"""Features of a pair potential that are too narrow for the samples of a measurement to have seen them."""

from __future__ import annotations

import logging
import math

import numpy as np

from tf_nqs.measurement.energy import EnergyMeasurement
from tf_nqs.physics.contact_zone import mean_spacing
from tf_nqs.physics.pairs import pair_differences
from tf_nqs.physics.potentials import in_working_dtype
from tf_nqs.trainer import Trainer

_INTERVALS_PER_SPACING = 8
"""The density of distances hardly changes along an interval so short."""

_N_DISTANCES = 4096
"""Distances per interval at which the potential is looked at."""

_NARROW = 0.1
"""A feature fills at most this share of its interval; what fills more of it is the potential's ordinary slope."""

_FARTHEST = 1e3
"""Largest distance searched, in a_ho."""

_FEW_SAMPLES = 30
"""A feature counts as unseen if fewer samples are expected to have met it."""


def with_unseen_features(vmc: Trainer, measurement: EnergyMeasurement) -> EnergyMeasurement:
    """Returns a measurement whose error holds what narrow features of a user's pair potential may have added.

    Distances are cut into intervals. In each, |v - median of v| times the number of pairs there is the energy of the
    features in it, and (mean |v - median|)^2 / mean (v - median)^2 the share of the interval that they fill. Where
    fewer than 30 samples are expected in that share, their energy is added to the error, and a warning in the log says
    so. Features at contact are sampled by `tf_nqs.sampling.near_pairs`, and not looked at.

    Args:
        vmc: a compiled trainer; its walkers give the density of distances.
        measurement: of its energy.
    """
    system = vmc.system
    if system.pair_potential is None or system.n_particles < 2:
        return measurement
    positions = np.asarray(vmc.walkers.positions, np.float64)
    apart = np.abs(pair_differences(positions)).ravel()
    width = mean_spacing(system.n_particles) / _INTERVALS_PER_SPACING
    # Only intervals that hold a pair; lost walkers, far out or not finite, are left out.
    occupied, counts = np.unique(apart[apart < _FARTHEST] // width, return_counts=True)
    occupied, pairs = occupied[occupied > 0], counts[occupied > 0] / len(positions)
    if not occupied.size:
        return measurement
    r = width * (occupied[:, None] + (np.arange(_N_DISTANCES) + 0.5) / _N_DISTANCES)
    v = np.asarray(in_working_dtype(system.pair_energy, r), np.float64)
    change = np.abs(v - np.median(v, axis=1, keepdims=True))
    mean, square = change.mean(axis=1), np.mean(change**2, axis=1)
    share = np.divide(mean**2, square, out=np.ones_like(mean), where=square > 0)
    n_expected = measurement.n_samples * pairs * share
    is_unseen = (n_expected < _FEW_SAMPLES) & (share < _NARROW) & (pairs > 0) & np.isfinite(mean)
    unseen = float(np.sum((pairs * mean)[is_unseen]))
    if not unseen > measurement.energy_error:
        return measurement
    worst = r[np.argmax(np.where(is_unseen, pairs * mean, -1.0)), 0]
    logging.getLogger(__name__).warning(
        "the pair potential has a feature near the distance %.3g that the samples are too few to have seen: "
        "the error of the energy is enlarged by %.2g",
        worst,
        unseen,
    )
    return measurement._replace(
        energy_error=math.hypot(measurement.energy_error, unseen),
        interaction_error=math.hypot(measurement.interaction_error, unseen),
    )
