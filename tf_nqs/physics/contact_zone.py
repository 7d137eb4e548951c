"""Whether two particles interact at distances so short that samples of |Psi|^2 hardly ever hold such a pair."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from tf_nqs.physics.hamiltonian import TrappedFermions
from tf_nqs.physics.potentials import in_working_dtype

_EXPECTED_PAIRS = 0.01
"""Pairs per sample that free fermions have inside the zone: what is narrower than the zone is seen more rarely."""

_NARROW = 0.6
"""A potential is short-ranged if 99 % of its squared change in the zone lies within this share of the zone."""

_SHARE = 0.99

_LEAST_VARIANCE = 1e-8
"""Of the interaction energy, in (hbar omega)^2: a potential that makes less of it in the zone may be missed."""

_LARGEST = 1e30
"""In hbar omega, stands for an infinite potential."""

_SMALLEST, _N_DISTANCES = 1e-6, 2000
"""Smallest distance looked at, as a share of the zone, and how many are looked at between."""

_BISECTIONS = 10
"""Of the logarithm of a range."""


class ContactZone(NamedTuple):
    """Distances at which pairs are rare, and the interaction is not what it is elsewhere; in a_ho.

    Attributes:
        width: pairs closer than this are in the zone.
        scale: distance within which nearly all of the interaction's change in the zone lies.
    """

    width: float
    scale: float


def mean_spacing(n_particles: int) -> float:
    """Returns the distance of neighbours in the middle of A free fermions in the harmonic trap, in a_ho."""
    return math.pi / math.sqrt(2 * n_particles)


def contact_zone(system: TrappedFermions) -> ContactZone | None:
    """Returns the zone of a short-ranged pair potential, None for one that ordinary samples see well enough.

    Free fermions have about (A - 1) (pi^2 / 9) (r / d)^3 pairs closer than r, d being the distance of neighbours: the
    zone is where this is 0.01. A potential whose change within the zone, r^2 (v(r) - v(width))^2, is concentrated in a
    small part of the zone is short-ranged.

    The l(l-1)/r^2 of the Calogero interaction is left out: the kinetic energy cancels it at every distance.

    Args:
        system: the Hamiltonian; its pair potential is evaluated at 2000 distances.
    """
    if system.n_particles < 2:
        return None
    spacing = mean_spacing(system.n_particles)
    width = spacing * (9.0 * _EXPECTED_PAIRS / (math.pi**2 * (system.n_particles - 1))) ** (1.0 / 3.0)
    r = width * np.geomspace(_SMALLEST, 1.0, _N_DISTANCES)
    v = np.asarray(in_working_dtype(system.regular_pair_energy, r[np.newaxis])[0], np.float64)
    v = np.nan_to_num(v, nan=0.0, posinf=_LARGEST, neginf=-_LARGEST)
    change = v - v[-1]
    steps = np.diff(r, prepend=0.0)
    squares = np.cumsum(r**2 * change**2 * steps)
    variance = (system.n_particles - 1) * math.pi**2 / (3.0 * spacing**3) * squares[-1]
    scale = float(r[np.searchsorted(squares, _SHARE * squares[-1])])
    return ContactZone(width, scale) if variance > _LEAST_VARIANCE and scale < _NARROW * width else None


def smallest_range(system_of: Callable[[float], TrappedFermions], narrow: float) -> float:
    """Returns the interaction_range, in a_ho, from which on systems have no contact zone, rounded up a little.

    Args:
        system_of: interaction_range -> the system.
        narrow: one at which there is a zone.
    """
    wide = 2.0 * narrow
    while contact_zone(system_of(wide)) is not None:
        narrow, wide = wide, 2.0 * wide
    for _ in range(_BISECTIONS):
        middle = math.sqrt(narrow * wide)
        is_narrow = contact_zone(system_of(middle)) is not None
        narrow, wide = (middle, wide) if is_narrow else (narrow, middle)
    return wide
