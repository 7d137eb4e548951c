"""Runs that are parts of a whole: which are finished, and which go on where they stopped when the whole is resumed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tf_nqs.config import RunFolderError, Settings, settings_from
from tf_nqs.config.errors import shown
from tf_nqs.config.resume import NO_MATTER, comparable, differences
from tf_nqs.storage.result import REQUIRED, read_result
from tf_nqs.storage.run_folder import CONFIG_FILE, RESULT_FILE, holds_checkpoint

UNFINISHED = ("failed", "interrupted")
"""Stop reasons of a run that is run once more when its whole is resumed."""


def folder_of(settings: Settings) -> Path:
    """Returns the folder of a run that is part of a whole, and so has one."""
    assert settings.run.run_dir is not None
    return Path(settings.run.run_dir)


def finished_result(settings: Settings, whole: str, ignored: tuple[str, ...] = NO_MATTER) -> dict[str, Any] | None:
    """Returns the result of a run that is finished: neither failed nor interrupted, and with the same settings.

    Args:
        settings: of the run, with its folder.
        whole: what the run is a part of, for the message: "the chain must be as it was".
        ignored: names of settings that may be others.

    Returns:
        What `result.json` holds; None where the run is still to be made.

    Raises:
        RunFolderError: it is finished, but had other settings.
    """
    folder = folder_of(settings)
    try:
        result = read_result(folder / RESULT_FILE)
        before = settings_from(str(folder / CONFIG_FILE))
    except (OSError, ValueError):
        return None
    if not result.keys() >= REQUIRED:  # not of this package
        return None
    if result["stop_reason"] in UNFINISHED:
        return None
    if changed := differences(comparable(before), settings, ignored):
        raise RunFolderError(f"run_dir = {shown(str(folder))}: was run with {changed[0]}; {whole}, or in a new folder")
    return result


def resumes(folder: Path, may_resume: bool) -> bool:
    """Returns whether a run that is not finished goes on from its last checkpoint.

    If not, its folder is renamed, as stage_2_unfinished_1, so that the run can start anew.

    Args:
        folder: of the run; one that is empty or does not exist stays as it is.
        may_resume: False where what the run starts from has changed since.

    Raises:
        OSError: it cannot be renamed.
    """
    if may_resume and can_go_on(folder):
        return True
    set_aside(folder)
    return False


def can_go_on(folder: Path) -> bool:
    """Returns whether the folder of a run has a checkpoint, and does not say that the run has failed."""
    return holds_checkpoint(folder) and not _has_failed(folder)


def set_aside(folder: Path) -> Path | None:
    """Renames the folder of a run, as stage_2_unfinished_1, and returns its new name.

    Args:
        folder: one that is empty or does not exist stays as it is, and None is returned.

    Raises:
        OSError: it cannot be renamed.
    """
    if not folder.is_dir() or not any(folder.iterdir()):
        return None
    number = 1
    while (name := folder.with_name(f"{folder.name}_unfinished_{number}")).exists():
        number += 1
    return folder.rename(name)


def _has_failed(folder: Path) -> bool:
    try:
        return json.loads((folder / RESULT_FILE).read_text(encoding="utf-8"))["stop_reason"] == "failed"
    except (OSError, ValueError, RecursionError, LookupError, TypeError):
        return False
