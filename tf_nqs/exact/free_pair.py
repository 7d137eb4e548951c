"""Two particles without a trap: their binding energy, if the interaction binds them."""

from __future__ import annotations

import functools

import numpy as np
from scipy.integrate import solve_ivp
from scipy.optimize import brentq

from tf_nqs.whole_numbers import finite_number

_REACH = 7.0
"""End of the integration, in ranges: beyond it exp(-t^2) is below 1e-21, and the wave function is exp(-k t)."""

_TOLERANCE, _COARSER = 1e-12, 1e-9


def bound_pair_energy(interaction_strength: float, interaction_range: float) -> tuple[float, float] | None:
    """Returns the internal energy of two bound fermions without a trap and its uncertainty, None if they are not bound.

    The lowest odd level e < 0 of -1/2 u'' + V0 / (sqrt(2 pi) sigma0) exp(-r^2 / sigma0^2) u = e u on the half line,
    r = (x_1 - x_2) / sqrt(2) and u(0) = 0. The centre of mass is left out: at rest its energy is 0.

    Args:
        interaction_strength: V0 in hbar omega a_ho.
        interaction_range: sigma0 in a_ho, > 0.

    Returns:
        The energy in hbar omega, and how much it changes with the accuracy of the integration.

    Raises:
        ValueError: if an argument is not finite, or the range is not positive.
    """
    strength = finite_number("interaction_strength", interaction_strength)
    width = finite_number("interaction_range", interaction_range, 0)
    depth = -2.0 * strength * width / np.sqrt(2.0 * np.pi)  # in units of 1 / (2 sigma0^2)
    if depth <= _critical_depth():
        return None
    fine, coarse = (_lowest_level(depth, tolerance) for tolerance in (_TOLERANCE, _COARSER))
    unit = 0.5 / width**2
    return float(unit * fine), float(unit * (abs(fine - coarse) + 1e-11 * depth))


def critical_strength(interaction_range: float) -> float:
    """Returns the V0 below which two fermions are bound without a trap, -3.364 / sigma0, in hbar omega a_ho.

    Args:
        interaction_range: sigma0 in a_ho, > 0.
    """
    return -0.5 * np.sqrt(2.0 * np.pi) * _critical_depth() / finite_number("interaction_range", interaction_range, 0)


@functools.cache
def _critical_depth() -> float:
    """Returns the depth at which u' of the state of energy 0 vanishes outside the well; it is between 1 and 5."""
    return float(brentq(lambda depth: _angle(depth, 0.0, _TOLERANCE) - 0.5 * np.pi, 1.0, 5.0, xtol=1e-12))


@functools.cache
def _lowest_level(depth: float, tolerance: float) -> float:
    """Returns the lowest e of -u'' - depth exp(-t^2) u = e u with u(0) = 0 and u bounded.

    The angle of (u', u) at the end of the integration rises with e. The angle of exp(-k t), pi - arctan(1/k) with
    k^2 = -e, falls. They are equal once.
    """

    def excess(level: float) -> float:
        return _angle(depth, level, tolerance) - np.pi + np.arctan(1.0 / np.sqrt(-level))

    top = -1e-14 * depth
    return top if excess(top) < 0 else float(brentq(excess, -depth, top, xtol=1e-14 * depth, rtol=1e-14))


def _angle(depth: float, level: float, tolerance: float) -> float:
    """Returns the angle of (u', u) at the end, from 0 at t = 0: d angle = cos^2 + (e + depth exp(-t^2)) sin^2."""

    def slope(t: float, angle: np.ndarray) -> np.ndarray:
        return np.cos(angle) ** 2 + (level + depth * np.exp(-t * t)) * np.sin(angle) ** 2

    found = solve_ivp(slope, (0.0, _REACH), [0.0], method="DOP853", rtol=tolerance, atol=tolerance)
    return float(found.y[0, -1])
