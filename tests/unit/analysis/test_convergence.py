"""Criteria of convergence: each check by itself, the counting of verdicts, and how often the verdict is wrong."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.signal import lfilter

from tf_nqs.analysis.convergence import (
    Check,
    Counters,
    StatisticalCriterion,
    ThesisCriterion,
    Window,
    count_verdict,
    make_criterion,
    make_window,
)

LENGTH = 101
"""Odd, so that an alternating series is symmetric and has no slope."""


def window(energy=10.0, slope=1e-7, spread=1e-3, variance=1e-3):
    """A window whose numbers are known."""
    steps = np.arange(LENGTH) - (LENGTH - 1) / 2
    alternating = np.resize([1.0, -1.0], LENGTH)
    energies = energy + slope * steps + spread * (alternating - alternating.mean()) / np.std(alternating, ddof=1)
    return make_window(np.arange(1, LENGTH + 1), energies, np.full(LENGTH, variance))


def blocking(criterion, *windows):
    return [check.name for check in criterion.checks(windows) if not check.passed]


# The thesis' criterion


def test_the_numbers_of_the_checks():
    criterion = ThesisCriterion()
    checks = criterion.checks([window(9.0, slope=7e-7), window(10.0, slope=-2e-7, spread=5e-3, variance=4e-3)])
    assert tuple(check.name for check in checks) == criterion.names
    # Slopes: rounding of numbers near 10 over a lever of 101. The slope of -2e-7 adds 1e-6 of its own to the spread.
    np.testing.assert_allclose([check.value for check in checks[:3]], [2e-7, 7e-7, 9e-7], rtol=0, atol=1e-12)
    np.testing.assert_allclose([check.value for check in checks[3:]], [1.0, 4e-3, 5e-3], rtol=1e-5)
    assert [check.threshold for check in checks] == [3e-7, 3e-7, 3e-6, 1e-3, 3e-3, 3e-3]


def test_two_flat_windows_pass():
    assert blocking(ThesisCriterion(), window(), window()) == []


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(
    ("before", "now", "criterion", "name"),
    [
        ({}, {"slope": 4e-7}, {}, "slope"),
        ({"slope": 4e-7}, {}, {}, "previous_slope"),
        ({"slope": 2e-7}, {"slope": -2e-7}, {"max_slope_difference": 3e-7}, "slope_difference"),
        ({"energy": 10.0}, {"energy": 10.0015}, {}, "mean_difference"),
        ({}, {"variance": 4e-3}, {}, "variance"),
        ({}, {"spread": 4e-3}, {}, "spread"),
    ],
)
def test_each_check_blocks_alone(before, now, criterion, name, sign):
    """Whatever the sign: a descent, which the printed comparison without abs() would pass, blocks like a rise."""

    def signed(numbers):
        numbers = {"slope": 0.0, **numbers}
        energy = 10.0 + sign * (numbers.pop("energy", 10.0) - 10.0)
        return window(energy, sign * numbers.pop("slope"), **numbers)

    assert blocking(ThesisCriterion(**criterion), signed(before), signed(now)) == [name]


def test_a_steep_descent_does_not_pass():
    """The trap of the printed algorithm: all of its signed comparisons hold here but that of the spread."""
    descent = window(10.0, slope=-1e-4), window(9.9899, slope=-1.1e-4)
    assert set(blocking(ThesisCriterion(max_spread=1.0), *descent)) == {
        "slope",
        "previous_slope",
        "slope_difference",
        "mean_difference",
    }


def test_the_first_window_gets_no_verdict():
    """Compared with zeros, as printed, it could pass (E = 0) or fail; here it does neither."""
    for criterion in (ThesisCriterion(), StatisticalCriterion()):
        assert criterion.checks([window(energy=0.0, slope=0.0)]) == ()
        assert len(criterion.checks([window(), window()])) == len(criterion.names)


def test_only_the_last_two_windows_count():
    assert blocking(ThesisCriterion(), window(energy=50.0, slope=1.0), window(), window()) == []


@pytest.mark.parametrize("criterion", [ThesisCriterion(), StatisticalCriterion()])
def test_nan_blocks(criterion):
    broken = window()
    broken.energies[3] = math.nan
    broken = make_window(np.arange(LENGTH), broken.energies, broken.variances)
    assert math.isnan(broken.energy)
    assert set(blocking(criterion, window(), broken)) >= {"slope"}
    assert not Check("slope", math.nan, math.inf).passed


# Counting


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ("", (0, 0)),
        ("SSSS", (4, 0)),
        ("SFSFSS", (4, 2)),
        ("FF", (0, 2)),
        ("SSSFF", (3, 2)),
        ("SSSFFF", (0, 0)),
        ("FFFSS", (2, 0)),
        ("SFFFSF", (1, 1)),
    ],
)
def test_counters(verdicts, expected):
    counters = Counters()
    for verdict in verdicts:
        counters = count_verdict(counters, verdict == "S", n_failures=2)
    assert counters == expected


def test_no_failure_allowed():
    assert count_verdict(Counters(3, 0), passed=False, n_failures=0) == (0, 0)


# The statistical criterion


def windows_of(series, length):
    """The windows of a series; their own errors, which no criterion reads, are left out."""
    pieces = np.reshape(series, (-1, length))
    return [Window(0, 0, piece, piece, float(piece.mean()), math.nan) for piece in pieces]


def noise(rng, rho, length):
    series = rng.normal(size=length)
    series[1:] *= np.sqrt(1.0 - rho**2)
    return lfilter([1.0], [1.0, -rho], series)


def first_stop(criterion, series, length):
    """Number of windows after which the criterion is met; None if it never is."""
    windows = windows_of(series, length)
    for n_windows in range(2, len(windows) + 1):
        if not blocking(criterion, *windows[:n_windows]):
            return n_windows
    return None


def test_the_gain_is_exact_on_a_line():
    """Three windows of 20: the later two are fitted, and fall by 40 times the slope in the next 40."""
    slope, gain = StatisticalCriterion().checks(windows_of(-1e-3 * np.arange(60), 20))
    # Rounding of numbers near 0.06 over a lever of 40.
    assert slope.value == pytest.approx(1e-3, rel=1e-9)
    assert gain.value == pytest.approx(0.04, rel=1e-9)
    assert not slope.passed


def test_gain_of_an_energy_that_falls_as_one_over_iteration():
    """Then the gain is all that is left."""
    iterations = np.arange(1, 20_001)
    gain = StatisticalCriterion().checks(windows_of(3.0 / iterations, 1000))[1]
    # A fitted line is a little flatter than the chord, 4 %, and the curvature widens the interval.
    assert gain.value == pytest.approx(3.0 / 20_000, rel=0.4)
    assert gain.value > 0.95 * 3.0 / 20_000


def test_a_rise_is_no_convergence():
    """It has no further gain, but a slope."""
    rising = 1e-3 * np.arange(400) + 1e-3 * np.random.default_rng(1).normal(size=400)
    assert blocking(StatisticalCriterion(), *windows_of(rising, 100)) == ["slope"]


def test_noise_hides_a_slope_but_not_the_gain():
    """Too short a series: no slope can be seen, but a gain above the tolerance cannot be excluded."""
    series = np.random.default_rng(2).normal(size=40)
    assert blocking(StatisticalCriterion(gain_tolerance=1e-3), *windows_of(series, 20)) == ["gain"]


N_SERIES = 60
LENGTH_OF_RUN, WINDOW = 6000, 100
TOLERANCE, NOISE = 4e-3, 3e-3


@pytest.mark.parametrize("rho", [0.0, 0.8])
def test_a_flat_series_is_stopped(rho):
    """All of them, and no sooner than the noise allows."""
    rng = np.random.default_rng([1, int(10 * rho)])
    criterion = StatisticalCriterion(gain_tolerance=TOLERANCE)
    stops = [first_stop(criterion, NOISE * noise(rng, rho, LENGTH_OF_RUN), WINDOW) for _ in range(N_SERIES)]
    assert None not in stops
    assert np.median(stops) <= (4 if rho == 0.0 else 16)


@pytest.mark.parametrize("rho", [0.0, 0.8])
@pytest.mark.parametrize("decay", [300.0, 1500.0])
def test_a_decay_is_not_stopped_too_soon(rho, decay):
    """Where it stops, the next half would have gained less than the tolerance. The slower decay has no such place."""
    rng = np.random.default_rng([2, int(10 * rho), int(decay)])
    truth = 0.5 * np.exp(-np.arange(2 * LENGTH_OF_RUN) / decay)
    criterion = StatisticalCriterion(gain_tolerance=TOLERANCE)
    n_false = n_stopped = 0
    for _ in range(N_SERIES):
        n_windows = first_stop(criterion, truth[:LENGTH_OF_RUN] + NOISE * noise(rng, rho, LENGTH_OF_RUN), WINDOW)
        if n_windows is None:
            continue
        n_stopped += 1
        end, fitted = n_windows * WINDOW, (n_windows - n_windows // 2) * WINDOW
        n_false += truth[end - 1] - truth[end - 1 + fitted] > TOLERANCE
    # One verdict is wrong in 2.5 % at most; there are many, but a decay is far above its tolerance for most of them.
    assert n_false <= N_SERIES // 20
    assert n_stopped == (N_SERIES if decay == 300.0 else n_false)


@pytest.mark.parametrize("rho", [0.0, 0.8])
def test_error_rates_of_one_verdict(rho):
    """A gain of just the tolerance passes in 2.5 %, no gain at all nearly always; a slope of 0 in 95 %."""
    rng = np.random.default_rng([3, int(10 * rho)])
    criterion, n_repeats, length = StatisticalCriterion(gain_tolerance=TOLERANCE), 400, 1000
    passed = {}
    for gain in (TOLERANCE, 0.0):
        line = -gain / length * np.arange(2 * length)
        series = [line + NOISE * noise(rng, rho, 2 * length) for _ in range(n_repeats)]
        checks = [criterion.checks(windows_of(one, length)) for one in series]
        passed[gain] = np.mean([[check.passed for check in pair] for pair in checks], axis=0)
    # Three binomial standard deviations at 400 repeats: 2.3 points of 2.5 and 3.3 of 95; 1 for correlated batches.
    assert passed[TOLERANCE][1] <= 0.025 + 0.023 + 0.01
    assert passed[0.0][0] == pytest.approx(0.95, abs=0.033 + 0.01)
    # The interval's half width is 2.3 standard errors and the tolerance 4 of them (rho = 0.8), so 1.7 are left: 95 %.
    assert passed[0.0][1] >= 0.95 - 0.033 - 0.02


# Both


def test_criteria_by_name():
    numbers = {name: 0.5 for name in ("max_slope", "max_slope_difference", "max_mean_difference", "max_variance")}
    numbers |= {"max_spread": 0.5, "n_successes": 7, "n_failures": 3, "gain_tolerance": 0.25, "confidence": 0.75}
    assert make_criterion("thesis", **numbers) == ThesisCriterion(0.5, 0.5, 0.5, 0.5, 0.5, 7, 3)
    assert make_criterion("statistical", **numbers) == StatisticalCriterion(0.25, 0.75)
    assert make_criterion("none", **numbers) is None


def test_refused():
    with pytest.raises(ValueError, match="n_successes = 0"):
        ThesisCriterion(n_successes=0)
    for confidence in (0.0, 1.0):
        with pytest.raises(ValueError, match="confidence = "):
            replace(StatisticalCriterion(), confidence=confidence)
