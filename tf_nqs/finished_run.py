"""Runs that are finished: told from others, so that whoever is resumed runs only what is missing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tf_nqs.config import RunFolderError, Settings, settings_from
from tf_nqs.config.errors import shown
from tf_nqs.run_folder import CONFIG_FILE, RESULT_FILE

UNFINISHED = ("failed", "interrupted")
"""Stop reasons of a run that is run once more when its whole is resumed."""


def finished_result(settings: Settings, whole: str) -> dict[str, Any] | None:
    """Returns the result of a run that is finished: neither failed nor interrupted, and with the same settings.

    Args:
        settings: of the run, with its folder.
        whole: what the run is a part of, for the message: "the chain must be as it was".

    Returns:
        What `result.json` holds; None where the run is still to be made.

    Raises:
        RunFolderError: it is finished, but had other settings.
    """
    folder = Path(settings.run.run_dir)
    try:
        result = json.loads((folder / RESULT_FILE).read_text(encoding="utf-8"))
        before = settings_from(str(folder / CONFIG_FILE))
    except (OSError, ValueError):
        return None
    if result["stop_reason"] in UNFINISHED:
        return None
    was, now = _comparable(before), _comparable(settings)
    for name, value in now.items():
        if was[name] != value:
            raise RunFolderError(
                f"run_dir = {shown(str(folder))}: was run with {name} = {shown(was[name])}, not {shown(value)}; "
                f"{whole}, or in a new folder"
            )
    return result


def _comparable(settings: Settings) -> dict[str, Any]:
    """Returns the settings that decide what a run gives, by leaf name; a run beside it as source by its name alone.

    So a whole can be resumed where its folder was moved, or is called by another path.
    """
    leaves = {leaf: value for section in settings.model_dump().values() for leaf, value in section.items()}
    if leaves["transfer_from"] is not None:
        source, folder = Path(leaves["transfer_from"]).absolute(), Path(leaves["run_dir"]).absolute()
        leaves["transfer_from"] = source.name if source.parent == folder.parent else str(source)
    return {leaf: value for leaf, value in leaves.items() if leaf not in ("run_dir", "quiet")}


def set_aside(folder: Path) -> None:
    """Renames the folder of an unfinished run, as stage_2_unfinished_1, so that the run can start anew.

    Args:
        folder: of the run; one that is empty or does not exist stays as it is.

    Raises:
        OSError: it cannot be renamed.
    """
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    number = 1
    while (name := folder.with_name(f"{folder.name}_unfinished_{number}")).exists():
        number += 1
    folder.rename(name)
