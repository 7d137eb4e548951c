"""The overlap of two wave functions from samples of both, and how fast it falls along a curve.

With L = ln|Psi_2/Psi_1| - c, where e^(2c) is the ratio of the norms, and s the product of the signs, the overlap of the
normalised wave functions is

    f = <Psi_1|Psi_2> = mean of s/cosh(L) over samples of |Psi_1|^2 and of |Psi_2|^2, in equal shares,

because the density of both together is p = (p_1 + p_2)/2, and sqrt(p_1 p_2)/p = 1/cosh(L). Its terms are bounded, also
next to the nodes of either, and for similar wave functions 1 - f has a small relative error. c is where the mean of
1/(1 + e^(-2L)) over the first samples is that of 1/(1 + e^(2L)) over the second ones: both are the integral of
p_1 p_2/(p_1 + p_2).

The fidelity susceptibility is chi = -2 ln|f|/(difference of the parameter)^2, which for small differences is that of
|f| = 1 - chi (difference)^2/2: for ground states chi = sum_n |<n|dH/d lambda|0>|^2/(E_n - E_0)^2.

Reference: Bennett, J. Comput. Phys. 22, 245 (1976), on c; You, Li and Gu, Phys. Rev. E 76, 022101 (2007), and Zanardi,
    Giorda and Cozzini, Phys. Rev. Lett. 99, 100603 (2007), on chi.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit

from tf_nqs.types import Estimate

_MOST_GROUPS = 64
"""Of walkers; an error from so many is itself known to 9 %."""


class Ratios(NamedTuple):
    """Psi_2/Psi_1 at the samples of one of the two.

    Attributes:
        sign: sign of Psi_2 Psi_1, shape (n_samplings, n_walkers).
        log_ratio: ln|Psi_2/Psi_1|, of the same shape.
    """

    sign: np.ndarray
    log_ratio: np.ndarray


def overlap(first: Ratios, second: Ratios) -> Estimate:
    """Returns the overlap of two normalised wave functions, not negative, and its standard error.

    The error comes from leaving out one group of walkers after the other: walkers are independent, the samplings of one
    walker are not.

    Args:
        first: the ratios at samples of |Psi_1|^2.
        second: the ratios at samples of |Psi_2|^2.

    Returns:
        The overlap; nan if no sample has a finite ratio.
    """
    n_groups = min(_MOST_GROUPS, *(one.sign.shape[1] for one in (first, second)))
    sides = [_in_groups(*one, n_groups) for one in (first, second)]
    if not all(np.any(one.counts & np.isfinite(one.log_ratio)) for one in sides):
        return Estimate(math.nan, math.nan)
    c = _norm_ratio(*(one.log_ratio[one.counts] for one in sides))
    value = _mean_of_both(sides, c)
    without = np.array([_without(sides, c, group) for group in range(n_groups)])
    error = math.sqrt((n_groups - 1) / n_groups * float(np.sum((without - without.mean()) ** 2)))
    return Estimate(abs(value), error)


def susceptibility(overlap: Estimate, difference: float) -> Estimate:
    """Returns the fidelity susceptibility between two values of a parameter.

    Args:
        overlap: of the two wave functions.
        difference: of the parameter, not 0.

    Returns:
        In the inverse square of the parameter's unit; infinite for wave functions without any overlap.
    """
    if not overlap.value > 0:
        return Estimate(math.inf if overlap.value == 0 else math.nan, math.nan)
    return Estimate(-2 * math.log(overlap.value) / difference**2, 2 * overlap.error / (overlap.value * difference**2))


class _Side(NamedTuple):
    """The ratios at the samples of one wave function, by groups of walkers: shape (n_groups, n_samples) each."""

    sign: np.ndarray
    log_ratio: np.ndarray
    counts: np.ndarray


def _in_groups(sign: np.ndarray, log_ratio: np.ndarray, n_groups: int) -> _Side:
    """Returns the samples by groups of walkers; a few walkers that are left over are not looked at."""
    each = sign.shape[1] // n_groups

    def grouped(values: np.ndarray) -> np.ndarray:
        return np.asarray(values, np.float64).T[: n_groups * each].reshape(n_groups, -1)

    sign, log_ratio = grouped(sign), grouped(log_ratio)
    counts = ~np.isnan(log_ratio)
    # A wave function that vanishes where the other was sampled has a ratio of 0 or infinity, which counts.
    return _Side(np.where(counts, sign, 0.0), np.where(counts, log_ratio, 0.0), counts)


def _norm_ratio(first: np.ndarray, second: np.ndarray) -> float:
    """Returns c, from log ratios at the samples of either."""
    finite = np.concatenate([one[np.isfinite(one)] for one in (first, second)])

    def difference(c: float) -> float:
        return float(np.mean(expit(2 * (first - c))) - np.mean(expit(-2 * (second - c))))

    lowest, highest = finite.min() - 1.0, finite.max() + 1.0
    if difference(lowest) * difference(highest) >= 0:  # they share nothing
        return float(np.median(finite))
    return float(brentq(difference, lowest, highest, xtol=1e-12))


def _mean_of_both(sides: list[_Side], c: float, group: int | None = None) -> float:
    """Returns the mean of s/cosh(L - c), half from either side, with one group left out if one is given."""
    means = []
    for side in sides:
        kept = side if group is None else _Side(*(np.delete(one, group, axis=0) for one in side))
        size = np.abs(kept.log_ratio - c)
        terms = kept.sign * 2 * np.exp(-size) / (1 + np.exp(-2 * size)) * kept.counts
        means.append(terms.sum() / max(kept.counts.sum(), 1))
    return 0.5 * sum(means)


def _without(sides: list[_Side], c: float, group: int) -> float:
    """Returns the overlap without one group; c moves by one step of Newton's method."""
    value, slope = 0.0, 0.0
    for sign, side in zip((1, -1), sides, strict=True):
        kept = _Side(*(np.delete(one, group, axis=0) for one in side))
        share = expit(2 * sign * (kept.log_ratio - c))[kept.counts]
        value += sign * share.mean()
        slope -= 2 * (share * (1 - share)).mean()
    return _mean_of_both(sides, c - value / slope if slope else c, group)
