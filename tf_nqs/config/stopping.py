"""The settings of early stopping."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tf_nqs import defaults
from tf_nqs.config.section import LARGEST_COUNT, Count, CountOrZero, Section


class StoppingSettings(Section):
    """Early stopping, and the weights at the end of training."""

    early_stopping: Literal["none", "thesis", "statistical"] = Field(
        defaults.EARLY_STOPPING,
        description="Criterion of convergence: the checks of the thesis, or a slope that is zero within its error and "
        "a further gain below gain_tolerance (statistical).",
    )
    window: int = Field(
        defaults.WINDOW,
        ge=10,
        le=LARGEST_COUNT,
        description="Number of iterations in a window of early stopping and restore_best; windows do not overlap.",
    )
    max_slope: float = Field(
        defaults.MAX_SLOPE,
        gt=0,
        description="Thesis: maximum slope of the energy in two successive windows, in hbar*omega per iteration.",
    )
    max_slope_difference: float = Field(
        defaults.MAX_SLOPE_DIFFERENCE,
        gt=0,
        description="Thesis: maximum difference of the slopes of two successive windows, in hbar*omega per iteration.",
    )
    max_mean_difference: float = Field(
        defaults.MAX_MEAN_DIFFERENCE,
        gt=0,
        description="Thesis: maximum difference of the mean energies of two windows, in units of hbar*omega.",
    )
    max_variance: float = Field(
        defaults.MAX_VARIANCE,
        gt=0,
        description="Thesis: maximum variance of the local energy, averaged over a window, in units of (hbar*omega)^2.",
    )
    max_spread: float = Field(
        defaults.MAX_SPREAD,
        gt=0,
        description="Thesis: maximum standard deviation of the energies in a window, in units of hbar*omega.",
    )
    n_successes: Count = Field(defaults.N_SUCCESSES, description="Thesis: number of windows that must pass all checks.")
    n_failures: CountOrZero = Field(
        defaults.N_FAILURES,
        description="Thesis: number of windows that may fail; one more resets both counts.",
    )
    gain_tolerance: float = Field(
        defaults.GAIN_TOLERANCE,
        gt=0,
        description="Statistical: maximum expected gain of further training, in units of hbar*omega.",
    )
    confidence: float = Field(
        defaults.CONFIDENCE,
        gt=0,
        lt=1,
        description="Statistical: confidence level of the interval of the slope.",
    )
    restore_best: bool = Field(
        defaults.RESTORE_BEST,
        description="At the end of training, restore the weights of the window with the lowest energy plus error.",
    )
