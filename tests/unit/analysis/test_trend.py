"""The slope of a series: exact on a line, and an interval that holds the truth as often as it says."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import lfilter

from tf_nqs.analysis.trend import fitted_slope, series_trend

N_REPEATS = 400


def ar1(rng, rho, length):
    """A stationary AR(1) series of mean 0 and variance 1."""
    noise = rng.normal(size=length)
    noise[1:] *= np.sqrt(1.0 - rho**2)
    return lfilter([1.0], [1.0, -rho], noise)


def test_a_line_has_its_slope_and_no_error():
    line = 10.0 - 3e-7 * np.arange(1001)
    # 1e-13: rounding of numbers near 10, 1e-15, over a lever of 1000.
    assert fitted_slope(line) == pytest.approx(-3e-7, abs=1e-13)
    np.testing.assert_allclose(series_trend(line, 0.95), -3e-7, rtol=0, atol=1e-12)


def test_a_constant_has_no_slope():
    assert series_trend(np.full(40, 10.89), 0.95) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("length", [10, 109])
def test_the_last_entries_count(length):
    """What fills no batch is left out at the start, where training was still further away."""
    series = np.zeros(length)
    series[: length % 10] = 1e6
    assert series_trend(series, 0.95) == (0.0, 0.0, 0.0)


def test_nan_is_nan():
    assert np.isnan(fitted_slope([1.0, np.nan, 2.0]))
    assert np.isnan(series_trend([1.0] * 19 + [np.nan], 0.95)).all()


@pytest.mark.parametrize("shape", [(9,), (20, 2), ()])
def test_wrong_shapes_are_refused(shape):
    with pytest.raises(ValueError, match="at least 10"):
        series_trend(np.zeros(shape), 0.95)


@pytest.mark.parametrize("confidence", [0.683, 0.95])
@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9])
def test_intervals_hold_the_truth_as_often_as_they_say(rho, confidence):
    """1000 entries are 53 autocorrelation times in the worst case here."""
    rng = np.random.default_rng([int(10 * rho), int(1000 * confidence)])
    trends = [series_trend(1e-3 * np.arange(1000) + ar1(rng, rho, 1000), confidence) for _ in range(N_REPEATS)]
    covered = np.mean([trend.low <= 1e-3 <= trend.high for trend in trends])
    # Three binomial standard deviations at 400 repeats, and 1 % for batches that are still a little correlated.
    assert covered == pytest.approx(confidence, abs=3 * np.sqrt(confidence * (1 - confidence) / N_REPEATS) + 0.01)


def test_the_plain_fit_would_not():
    """The control: without batches, correlated noise is taken for a slope."""
    rng = np.random.default_rng(5)
    lever = np.arange(1000) - 499.5
    series = [ar1(rng, 0.9, 1000) for _ in range(100)]
    errors = [np.std(one) / np.sqrt(np.sum(lever**2)) for one in series]
    pulls = [abs(fitted_slope(one)) / error for one, error in zip(series, errors, strict=True)]
    assert np.mean(np.array(pulls) < 1.96) < 0.75
