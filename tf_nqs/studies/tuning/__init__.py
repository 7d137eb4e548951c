"""Hyper-parameter search with keras-tuner: runs of the experiment that are compared at equal seconds."""

from tf_nqs.studies.tuning.hypermodel import RunHyperModel
from tf_nqs.studies.tuning.search import run_search, run_worker
from tf_nqs.studies.tuning.summary import TrialRecord
from tf_nqs.studies.tuning.trainer_hypermodel import TrainerHyperModel
from tf_nqs.studies.tuning.tuner import SearchTuner

__all__ = ["RunHyperModel", "SearchTuner", "TrainerHyperModel", "TrialRecord", "run_search", "run_worker"]
