"""Validated settings: one typed source per default, TOML in, flags derived from it, a resolved copy out."""

from tf_nqs.config.ansatz import AnsatzSettings
from tf_nqs.config.checkpoint import CheckpointSettings
from tf_nqs.config.errors import RunFolderError, SettingsError
from tf_nqs.config.evaluation import EvaluationSettings
from tf_nqs.config.family import FamilySettings
from tf_nqs.config.load import load_toml, preset_names, settings_from, to_toml
from tf_nqs.config.reweighting import ReweightingSettings
from tf_nqs.config.run import RunSettings
from tf_nqs.config.sampling import SamplingSettings
from tf_nqs.config.settings import Settings, TrainingSettings
from tf_nqs.config.stopping import StoppingSettings
from tf_nqs.config.system import SystemSettings
from tf_nqs.config.transfer import TransferSettings

__all__ = [
    "AnsatzSettings",
    "CheckpointSettings",
    "EvaluationSettings",
    "FamilySettings",
    "ReweightingSettings",
    "RunFolderError",
    "RunSettings",
    "SamplingSettings",
    "Settings",
    "SettingsError",
    "StoppingSettings",
    "SystemSettings",
    "TrainingSettings",
    "TransferSettings",
    "load_toml",
    "preset_names",
    "settings_from",
    "to_toml",
]
