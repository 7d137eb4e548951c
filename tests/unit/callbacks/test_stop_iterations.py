"""Where each of the thesis' criteria alone ends a training whose every energy is known, against counts by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.unit.callbacks.test_early_stopping import Training
from tf_nqs.analysis import ThesisCriterion
from tf_nqs.callbacks import EnergyEarlyStopping

WINDOW, N_WINDOWS = 8, 10

NUMBERS = np.arange(WINDOW * N_WINDOWS)

THRESHOLDS = {
    "max_slope": 0.05,
    "max_slope_difference": 0.05,
    "max_mean_difference": 0.3,
    "max_variance": 0.3,
    "max_spread": 0.05,
}

SERIES = {
    # Slope, both differences, and spread are 0; the variance is 0.1.
    "flat": (np.ones(NUMBERS.size), [0.1] * N_WINDOWS),
    # |Slope| 0.1 in every window, so no difference of slopes; means 0.8 apart; spread 0.1 sqrt(8 * 9 / 12) = 0.24.
    "falling line": (-0.1 * NUMBERS, [0.2] * N_WINDOWS),
    "rising line": (0.1 * NUMBERS, [0.2] * N_WINDOWS),
    # Symmetric in its window: mean and slope are 0, the spread is 0.1 sqrt(8 / 7) = 0.11.
    "noise": (0.1 * np.resize([1, -1, -1, 1, 1, -1, -1, 1], NUMBERS.size), [0.4] * N_WINDOWS),
    # From 1 to 0 in the middle of window 3: there slope -8/42 = -0.19, spread sqrt(2/7) = 0.53 and mean 1/2. So both
    # differences and the slope before are large in window 4 too. The variance is large in window 3 alone.
    "late jump": (np.where(NUMBERS < 20, 1.0, 0.0), [0.2, 0.2, 0.6, *[0.2] * (N_WINDOWS - 3)]),
}

EARLIEST = 4 * WINDOW
"""Window 1 has no verdict; 2, 3 and 4 are the three that must pass."""

STOPS = {
    "flat": dict.fromkeys(THRESHOLDS, EARLIEST),
    # Absolute values are compared, so a fall blocks as a rise does.
    "falling line": {"max_slope_difference": EARLIEST, "max_variance": EARLIEST},
    "rising line": {"max_slope_difference": EARLIEST, "max_variance": EARLIEST},
    "noise": {"max_slope": EARLIEST, "max_slope_difference": EARLIEST, "max_mean_difference": EARLIEST},
    "late jump": {
        # Windows 3 and 4 fail, each sets the count to 0; 5, 6 and 7 pass.
        "max_slope": 7 * WINDOW,
        "max_slope_difference": 7 * WINDOW,
        "max_mean_difference": 7 * WINDOW,
        # Window 3 alone fails; 4, 5 and 6 pass.
        "max_variance": 6 * WINDOW,
        "max_spread": 6 * WINDOW,
    },
}
"""Series -> criterion -> iteration at which it stops; a criterion that is not there never does."""


@pytest.mark.parametrize("threshold", THRESHOLDS)
@pytest.mark.parametrize("series", SERIES)
def test_one_criterion_alone(series, threshold):
    """Three windows must pass since the last one that failed; the other criteria pass anything."""
    alone = dict.fromkeys(THRESHOLDS, math.inf) | {threshold: THRESHOLDS[threshold]}
    training = Training(EnergyEarlyStopping(WINDOW, ThesisCriterion(**alone, n_successes=3, n_failures=0)))
    energies, variances = SERIES[series]
    for of_window, variance in zip(energies.reshape(N_WINDOWS, WINDOW), variances, strict=True):
        training.call(of_window, variance)
        if training.model.stop_training:
            break
    stopped_at = training.n_done if training.model.stop_training else None
    assert stopped_at == STOPS[series].get(threshold)
    assert training.model.stop_reason == ("early_stopping" if stopped_at else "iterations")
