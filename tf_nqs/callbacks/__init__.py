"""Keras callbacks for `VariationalMonteCarlo.fit`."""

from tf_nqs.callbacks.checkpoint import WeightsCheckpoint, save_weights
from tf_nqs.callbacks.iterations import IterationCallback
from tf_nqs.callbacks.limits import StopOnNonFinite, TimeLimit
from tf_nqs.callbacks.progress import ProgressLine
from tf_nqs.callbacks.run_log import METRICS_COLUMNS, RunLog

__all__ = [
    "METRICS_COLUMNS",
    "IterationCallback",
    "ProgressLine",
    "RunLog",
    "StopOnNonFinite",
    "TimeLimit",
    "WeightsCheckpoint",
    "save_weights",
]
