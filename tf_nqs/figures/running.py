"""Running arms, each in a process of its own, and taking those that are finished as they are."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tf_nqs.apart import run_apart
from tf_nqs.config import RunFolderError, SettingsError
from tf_nqs.figures.definitions import Arm, arms_needed
from tf_nqs.figures.outcomes import Outcome
from tf_nqs.finished_run import finished_result, folder_of, resumes
from tf_nqs.memory_request import check_training
from tf_nqs.run_folder import RESULT_FILE


class ArmFailedError(RuntimeError):
    """An arm has ended without a finite energy; its text is one line."""


def find_finished(arms: Mapping[str, Arm], names: Iterable[str]) -> dict[str, Outcome]:
    """Returns the arms that are finished, by name; runs nothing.

    Args:
        arms: all arms.
        names: of those looked for.

    Raises:
        RunFolderError: one is finished, but had other settings.
    """
    results = {name: finished_result(arms[name].settings, "all arms must be as they were") for name in names}
    return {name: Outcome(arms[name], result) for name, result in results.items() if result and _is_whole(result)}


def run_arms(arms: Mapping[str, Arm], names: Iterable[str], say: Callable[[str], None]) -> dict[str, Outcome]:
    """Runs arms, and those they start from, unless they are finished.

    Every run has its own process, which gives back the memory that TensorFlow keeps. An unfinished arm goes on from its
    last checkpoint. Where an arm is run, those that start from it are run as well, from their start.

    Args:
        arms: all arms.
        names: of those wanted.
        say: prints a line, or does not.

    Returns:
        Name -> outcome, of those wanted and those they start from.

    Raises:
        RunFolderError: an arm is finished, but had other settings, or its folder cannot be used.
        SettingsError: an arm cannot be run; one line, with its name.
        ArmFailedError: an arm has no finite energy.
    """
    needed = arms_needed(names, arms)
    # All of them are looked at before any is run: other settings are better refused before hours of training.
    finished = find_finished(arms, needed)
    for name in needed:
        try:
            check_training(arms[name].settings)
        except SettingsError as error:
            raise SettingsError(f"arm {name}: {error}") from error
    outcomes: dict[str, Outcome] = {}
    ran: set[str] = set()
    for number, name in enumerate(needed, start=1):
        arm, head = arms[name], f"arm {number} of {len(needed)}, {name} ({arms[name].about})"
        if name in finished and arm.start not in ran:
            say(f"{head}: finished before")
            outcomes[name] = finished[name]
            continue
        say(head)
        ran.add(name)
        outcomes[name] = Outcome(arm, _run(arm, may_resume=arm.start not in ran))
    return outcomes


def _run(arm: Arm, may_resume: bool) -> dict[str, Any]:
    """Runs an arm and returns its result."""
    folder = folder_of(arm.settings)
    try:
        resume = resumes(folder, may_resume)
    except OSError as error:
        raise RunFolderError(f"arm {arm.name}: {folder} cannot be set aside ({error.strerror})") from error
    problem = run_apart(arm.settings, resume=resume).problem
    if problem is not None:
        raise SettingsError(f"arm {arm.name}: {problem}")
    result = json.loads((folder / RESULT_FILE).read_text(encoding="utf-8"))
    if result["stop_reason"] == "failed" or not _is_whole(result):
        raise ArmFailedError(f"arm {arm.name}: training failed, {result['stop_explanation'] or 'no finite energy'}")
    return result


def _is_whole(result: Mapping[str, Any]) -> bool:
    """Whether a result has the numbers that tables and pictures need."""
    return result["energy"] is not None and result["energy_error"] is not None
