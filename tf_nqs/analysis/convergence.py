"""Criteria of convergence on windows of iterations, and counters of their verdicts. Pure functions, no Keras.

Energies are in hbar*omega, slopes in hbar*omega per iteration.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, NamedTuple

import numpy as np

from tf_nqs import defaults
from tf_nqs.analysis.statistics import series_mean
from tf_nqs.analysis.trend import N_BATCHES, fitted_slope, series_trend


class Window(NamedTuple):
    """Consecutive iterations that are judged together; windows do not overlap.

    Attributes:
        first_iteration: number of the first iteration.
        last_iteration: number of the last iteration.
        energies: energy of each iteration, shape (n_iterations,), in hbar*omega.
        variances: variance of the local energy at each iteration, shape (n_iterations,), in (hbar*omega)^2.
        energy: mean of `energies`.
        energy_error: standard error of `energy`, corrected for the correlation of iterations; in hbar*omega.
    """

    first_iteration: int
    last_iteration: int
    energies: np.ndarray
    variances: np.ndarray
    energy: float
    energy_error: float


def make_window(iterations: np.ndarray, energies: np.ndarray, variances: np.ndarray) -> Window:
    """Returns the window of some consecutive iterations, see `Window`; a non-finite energy makes its mean nan."""
    energies, variances = np.array(energies, np.float64), np.array(variances, np.float64)
    estimate = series_mean(energies)
    return Window(
        first_iteration=int(iterations[0]),
        last_iteration=int(iterations[-1]),
        energies=energies,
        variances=variances,
        energy=math.nan if estimate.n_non_finite else estimate.mean,
        energy_error=estimate.error,
    )


class Check(NamedTuple):
    """A number of a window and its threshold.

    Attributes:
        name: name of the check.
        value: the absolute value found.
        threshold: maximum value that passes, in the same unit.
    """

    name: str
    value: float
    threshold: float

    @property
    def passed(self) -> bool:
        """Whether the value is at most the threshold; False for NaN."""
        return self.value <= self.threshold


class Counters(NamedTuple):
    """Verdicts since the last reset.

    Attributes:
        n_successes: windows that passed every check.
        n_failures: windows that failed a check.
    """

    n_successes: int = 0
    n_failures: int = 0


def count_verdict(counters: Counters, passed: bool, n_failures: int) -> Counters:
    """Returns the counters after one more window; more failures than allowed reset both to 0.

    Args:
        counters: before this window.
        passed: whether the window passed every check.
        n_failures: failures allowed between two resets.

    Reference: thesis, Algorithm 1, lines 17 and 24-26.
    """
    if passed:
        return counters._replace(n_successes=counters.n_successes + 1)
    counters = counters._replace(n_failures=counters.n_failures + 1)
    return Counters() if counters.n_failures > n_failures else counters


@dataclass(frozen=True)
class ThesisCriterion:
    """The thesis' criterion: six checks of two successive windows, all passed in four windows.

    The printed algorithm compares signed slopes and differences, so that a steep descent would pass, and compares the
    first window with zeros. This criterion compares absolute values, and the first window has no verdict.

    Attributes:
        max_slope: maximum of |S_i| and |S_(i-1)|, the slopes of lines fitted to the energies, in hbar*omega per
            iteration.
        max_slope_difference: maximum of |S_i - S_(i-1)|, in hbar*omega per iteration.
        max_mean_difference: maximum difference of the two mean energies, in hbar*omega.
        max_variance: maximum of the variance of the local energy, averaged over the window, in (hbar*omega)^2.
        max_spread: maximum standard deviation of the window's energies, in hbar*omega.
        n_successes: number of windows that must pass since the last reset.
        n_failures: number of windows that may fail; one more resets both counts.

    Raises:
        ValueError: n_successes is below 1.

    Reference: thesis, Sec. 3.1 and Algorithm 1.
    """

    max_slope: float = defaults.MAX_SLOPE
    max_slope_difference: float = defaults.MAX_SLOPE_DIFFERENCE
    max_mean_difference: float = defaults.MAX_MEAN_DIFFERENCE
    max_variance: float = defaults.MAX_VARIANCE
    max_spread: float = defaults.MAX_SPREAD
    n_successes: int = defaults.N_SUCCESSES
    n_failures: int = defaults.N_FAILURES

    names: ClassVar = ("slope", "previous_slope", "slope_difference", "mean_difference", "variance", "spread")
    least_window: ClassVar = 2

    def __post_init__(self) -> None:
        if self.n_successes < 1:
            raise ValueError(f"n_successes = {self.n_successes}: must be at least 1")

    def checks(self, windows: Sequence[Window]) -> tuple[Check, ...]:
        """Returns the checks of the last window, in the order of `names`; none for the first window.

        Args:
            windows: all windows so far, at least one.
        """
        if len(windows) < 2:
            return ()
        before, now = windows[-2:]
        slope_before, slope = fitted_slope(before.energies), fitted_slope(now.energies)
        found = (
            (abs(slope), self.max_slope),
            (abs(slope_before), self.max_slope),
            (abs(slope - slope_before), self.max_slope_difference),
            (abs(now.energy - before.energy), self.max_mean_difference),
            (float(np.mean(now.variances)), self.max_variance),
            (float(np.std(now.energies, ddof=1)), self.max_spread),
        )
        return tuple(Check(name, *numbers) for name, numbers in zip(self.names, found, strict=True))


@dataclass(frozen=True)
class StatisticalCriterion:
    """Stops when no further descent is significant, and none that is possible would matter.

    A line is fitted to the later half of all windows. Its slope must be zero within its confidence interval, which
    accounts for the correlation of iterations. The `gain`, the largest descent over the same number of further
    iterations that the interval allows, must be at most the tolerance. The first check alone would stop in the noise
    of a few iterations; the second alone would stop when the energy rises.

    The energy of a training falls ever more slowly, so a line overestimates the gain of further iterations. If the
    energy falls as 1/iteration, the gain equals the whole remaining descent; if it falls faster, the gain exceeds it;
    if it falls more slowly, as iteration^-p, the gain is the part 2^p - 1 of it. The fitted half grows with training,
    so the error of the slope falls until the criterion can be met, whatever the noise.

    Attributes:
        gain_tolerance: maximum further gain, in hbar*omega.
        confidence: probability of the confidence interval of the slope, between 0 and 1.

    Raises:
        ValueError: confidence is not between 0 and 1.
    """

    gain_tolerance: float = defaults.GAIN_TOLERANCE
    confidence: float = defaults.CONFIDENCE

    names: ClassVar = ("slope", "gain")
    least_window: ClassVar = N_BATCHES
    n_successes: ClassVar = 1
    n_failures: ClassVar = 0

    def __post_init__(self) -> None:
        if not 0 < self.confidence < 1:
            raise ValueError(f"confidence = {self.confidence}: must be above 0 and below 1")

    def checks(self, windows: Sequence[Window]) -> tuple[Check, ...]:
        """Returns the checks of the later half of the windows, in the order of `names`; none for the first window.

        Args:
            windows: all windows so far, at least one, each of at least ten iterations.
        """
        if len(windows) < 2:
            return ()
        energies = np.concatenate([window.energies for window in windows[len(windows) // 2 :]])
        trend = series_trend(energies, self.confidence)
        gain = max(-trend.low, 0.0) * energies.size if math.isfinite(trend.low) else math.nan
        return (
            Check("slope", abs(trend.slope), (trend.high - trend.low) / 2),
            Check("gain", gain, self.gain_tolerance),
        )


Criterion = ThesisCriterion | StatisticalCriterion
"""Any object with the same `checks`, `names`, `least_window`, `n_successes` and `n_failures` as these two."""


def make_criterion(early_stopping: str, **thresholds: Any) -> Criterion | None:
    """Returns the criterion with this name, None for "none".

    Args:
        early_stopping: thesis, statistical or none.
        **thresholds: arguments of both criteria; each uses its own.
    """
    if early_stopping == "none":
        return None
    kind = {"thesis": ThesisCriterion, "statistical": StatisticalCriterion}[early_stopping]
    return kind(**{field.name: thresholds[field.name] for field in fields(kind)})
