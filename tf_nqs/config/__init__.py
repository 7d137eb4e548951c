"""Validated settings: one typed source per default, TOML in, flags derived from it, a resolved copy out."""

from tf_nqs.config.errors import RunFolderError, SettingsError
from tf_nqs.config.load import load_toml, preset_names, settings_from, to_toml
from tf_nqs.config.settings import (
    AnsatzSettings,
    EvaluationSettings,
    RunSettings,
    SamplingSettings,
    Settings,
    SystemSettings,
    TrainingSettings,
)
from tf_nqs.config.stopping import StoppingSettings

__all__ = [
    "AnsatzSettings",
    "EvaluationSettings",
    "RunFolderError",
    "RunSettings",
    "SamplingSettings",
    "Settings",
    "SettingsError",
    "StoppingSettings",
    "SystemSettings",
    "TrainingSettings",
    "load_toml",
    "preset_names",
    "settings_from",
    "to_toml",
]
