"""Settings that decide the result of a run, and so must stay when it is resumed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tf_nqs.config.checkpoint import CheckpointSettings
from tf_nqs.config.distribution import DistributionSettings
from tf_nqs.config.errors import shown_setting
from tf_nqs.config.evaluation import EvaluationSettings
from tf_nqs.config.settings import Settings
from tf_nqs.config.transfer import PRETRAINED
from tf_nqs.named_systems import trap_name

NO_MATTER = (
    "run_dir",
    "quiet",
    "compilation_cache",
    *CheckpointSettings.model_fields,
    *DistributionSettings.model_fields,
)
"""Settings that do not change the result of a run."""

MAY_CHANGE = (
    *NO_MATTER,
    "iterations",
    "iterations_per_call",
    "max_seconds",
    "max_repairs",
    "profile",
    *EvaluationSettings.model_fields,
)
"""Settings that may change when a run is resumed: length of training, measurement, output."""

OF_A_NATURAL_GRADIENT = (
    "damping",
    "damping_decay_iterations",
    "damping_min",
    "momentum",
    "max_step_norm",
    "leverage_bound",
)
"""Settings that Adam does not use: a run with Adam may resume although their defaults have changed since."""


def comparable(settings: Settings) -> dict[str, Any]:
    """Returns setting -> value, as `Settings.resolved` does.

    `transfer_from` is only the name of the stage if it is a stage of the same chain.

    A run can thus be resumed after its folder, or the folder of its chain, was moved.
    """
    leaves = settings.resolved()
    if leaves["transfer_from"] not in (None, PRETRAINED) and leaves["run_dir"] is not None:
        source, folder = Path(leaves["transfer_from"]).absolute(), Path(leaves["run_dir"]).absolute()
        leaves["transfer_from"] = source.name if source.parent == folder.parent else str(source)
    return leaves


def differences(before: Mapping[str, Any], settings: Settings, ignored: tuple[str, ...]) -> list[str]:
    """Returns 'name = old value, not new value' for every setting that has changed.

    Args:
        before: `comparable` of the run so far; a setting that did not exist then counts as unchanged.
        settings: the new settings.
        ignored: settings that may differ.
    """
    if before.get("optimizer") == "adam" == settings.training.optimizer:
        ignored = (*ignored, *OF_A_NATURAL_GRADIENT)
    # Older runs have a boolean, and one kind of wave function.
    before = {"ansatz": "slater", **before, "trap": trap_name(before.get("trap", settings.system.trap))}
    return [
        f"{leaf} = {shown_setting(before[leaf])}, not {shown_setting(value)}"
        for leaf, value in comparable(settings).items()
        if leaf not in ignored and before.get(leaf, value) != value
    ]
