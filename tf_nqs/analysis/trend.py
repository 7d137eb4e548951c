"""The slope of a correlated series, with an error that counts the correlation."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtrit

N_BATCHES = 10
"""Batches of `series_trend`. More of them are shorter, and shorter ones are correlated themselves."""


class Trend(NamedTuple):
    """A straight line through a series, in the series' unit per entry; nan where it cannot be known.

    Attributes:
        slope: change per entry.
        low: lower end of the slope's confidence interval.
        high: upper end of it.
    """

    slope: float
    low: float
    high: float


def fitted_slope(values: ArrayLike) -> float:
    """Returns the slope of the line fitted to a series, per entry; the plain least-squares fit, without an error.

    Args:
        values: shape (n,), n of at least 2; nan gives nan.
    """
    return _fitted_line(np.asarray(values, dtype=np.float64))[0]


def series_trend(values: ArrayLike, confidence: float) -> Trend:
    """Returns the slope of a correlated series and its confidence interval, by the method of batch means.

    The series is cut into ten batches; their means scatter about the line independently of each other once a batch is
    longer than a few autocorrelation times. The interval is Student's, of 10 - 2 degrees of freedom. Its coverage on
    AR(1) series of 1000 entries, nominally 95.4 %: 96 % for rho = 0 and 0.5, 94 % for 0.9 and 0.97; on 200 entries 94,
    94, 92 and 70 %. (20 batches: 54 % in that last case; scaling the error of the plain fit by the autocorrelation time
    of the residuals: 69 %, and 87 instead of 92 % for 0.9.)

    Args:
        values: shape (n,), n of at least 10; entries at the start that fill no batch are left out, nan gives nan.
        confidence: probability that the interval holds the true slope.

    Returns:
        Trend, of Python floats.

    Raises:
        ValueError: there are fewer than ten values, or they are not one-dimensional.

    Reference: S. Asmussen and P. W. Glynn, Stochastic Simulation (2007), Sec. IV.5 (batch means).
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or values.size < N_BATCHES:
        raise ValueError(f"values of shape {values.shape}: must be (n,), n of at least {N_BATCHES}")
    size = values.size // N_BATCHES
    means = values[values.size - size * N_BATCHES :].reshape(N_BATCHES, size).mean(axis=1)
    slope, error = (number / size for number in _fitted_line(means))
    reach = float(stdtrit(N_BATCHES - 2, (1 + confidence) / 2)) * error
    return Trend(slope, slope - reach, slope + reach)


def _fitted_line(values: np.ndarray) -> tuple[float, float]:
    """Returns the least-squares slope per entry and its standard error for independent entries.

    `scipy.stats.linregress` takes the error from 1 - r^2, which is nan for a constant series and has lost half of its
    digits for a perfect line; here it comes from the residuals.
    """
    steps = np.arange(values.size) - (values.size - 1) / 2
    deviations = values - values[0]  # exact zeros for a constant
    deviations = deviations - deviations.mean()
    lever = np.sum(steps**2)
    slope = np.sum(steps * deviations) / lever
    residuals = deviations - slope * steps
    return float(slope), float(np.sqrt(np.sum(residuals**2) / max(values.size - 2, 1) / lever))
