"""What is made of the numbers of a run: standard errors, tables and pictures."""

from tf_nqs.analysis.binding import not_the_ground_state
from tf_nqs.analysis.convergence import StatisticalCriterion, ThesisCriterion, make_criterion
from tf_nqs.analysis.metrics import read_metrics
from tf_nqs.analysis.notation import format_with_error
from tf_nqs.analysis.plots import plot_energy
from tf_nqs.analysis.report import result_table
from tf_nqs.analysis.statistics import SampledMean, series_mean

__all__ = [
    "SampledMean",
    "StatisticalCriterion",
    "ThesisCriterion",
    "format_with_error",
    "make_criterion",
    "not_the_ground_state",
    "plot_energy",
    "read_metrics",
    "result_table",
    "series_mean",
]
