"""Keras callbacks for `VariationalMonteCarlo.fit`."""

from tf_nqs.callbacks.checkpoint import WeightsCheckpoint, save_weights
from tf_nqs.callbacks.conditions_log import ConditionsLog
from tf_nqs.callbacks.early_stopping import EnergyEarlyStopping
from tf_nqs.callbacks.family_stopping import FamilyEarlyStopping
from tf_nqs.callbacks.freezing import FreezeLayers, ReleaseLayers, set_trainable
from tf_nqs.callbacks.iterations import IterationCallback
from tf_nqs.callbacks.limits import StopOnSignal, TimeLimit
from tf_nqs.callbacks.progress import ProgressLine
from tf_nqs.callbacks.repair import RepairTraining
from tf_nqs.callbacks.restore_best import RestoreBestWeights
from tf_nqs.callbacks.run_checkpoint import RunCheckpoint, resume_callbacks
from tf_nqs.callbacks.run_log import METRICS_COLUMNS, RunLog
from tf_nqs.callbacks.trainer_state import TrainerState
from tf_nqs.callbacks.windows import WindowCallback

__all__ = [
    "METRICS_COLUMNS",
    "ConditionsLog",
    "EnergyEarlyStopping",
    "FamilyEarlyStopping",
    "FreezeLayers",
    "IterationCallback",
    "ProgressLine",
    "ReleaseLayers",
    "RepairTraining",
    "RestoreBestWeights",
    "RunCheckpoint",
    "RunLog",
    "StopOnSignal",
    "TimeLimit",
    "TrainerState",
    "WeightsCheckpoint",
    "WindowCallback",
    "resume_callbacks",
    "save_weights",
    "set_trainable",
]
