"""Running arms, each in a process of its own, and taking those that are finished as they are."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from typing import Any

from tf_nqs.config import RunFolderError, SettingsError
from tf_nqs.config.resume import NO_MATTER
from tf_nqs.experiment.isolated import run_apart
from tf_nqs.experiment.memory import check_training
from tf_nqs.runtime.exit_status import WorkFailedError
from tf_nqs.storage.run_folder import RESULT_FILE
from tf_nqs.studies.figures.definitions import Arm, arms_needed
from tf_nqs.studies.figures.outcomes import Outcome
from tf_nqs.studies.plan import finished_result, folder_of, resumes, set_aside

logger = logging.getLogger(__name__)


def find_finished(arms: Mapping[str, Arm], names: Iterable[str]) -> dict[str, Outcome]:
    """Returns the arms that have a result, by name, those stopped by a time limit among them; runs nothing.

    Args:
        arms: all arms.
        names: of those looked for.

    Raises:
        RunFolderError: one has a result, but had other settings.
    """
    ignored = (*NO_MATTER, "max_seconds")  # an arm that was stopped by it is known by its stop reason
    results = {name: finished_result(arms[name].settings, "all arms must be as they were", ignored) for name in names}
    return {name: Outcome(arms[name], result) for name, result in results.items() if result and _is_whole(result)}


def run_arms(arms: Mapping[str, Arm], names: Iterable[str], max_seconds: float | None = None) -> dict[str, Outcome]:
    """Runs arms, and those they start from, unless they are finished.

    Every run has its own process, which gives back the memory that TensorFlow keeps. An unfinished arm goes on from its
    last checkpoint. Where an arm is run, the folders of all that start from it are set aside, also of those that are
    not wanted: they have started from other weights. An arm waits until the one that it starts from is finished.

    Args:
        arms: all arms.
        names: of those wanted.
        max_seconds: of training of each arm that is run; None for no limit. Those that it stops go on next time.

    Returns:
        Name -> outcome, of those wanted and those they start from, but for those that wait.

    Raises:
        RunFolderError: an arm is finished, but had other settings, or its folder cannot be used.
        SettingsError: an arm cannot be run; one line, with its name.
        WorkFailedError: an arm has no finite energy.
    """
    needed = arms_needed(names, arms)
    # All of them are looked at before any is run: other settings are better refused before hours of training.
    finished = {name: one for name, one in find_finished(arms, needed).items() if not one.is_cut_short}
    for name in needed:
        try:
            check_training(arms[name].settings)
        except SettingsError as error:
            raise SettingsError(f"arm {name}: {error}") from error
    outcomes: dict[str, Outcome] = {}
    for number, name in enumerate(needed, start=1):
        arm, head = arms[name], f"arm {number} of {len(needed)}, {name} ({arms[name].about})"
        if name in finished:
            logger.info(f"{head}: finished before")
            outcomes[name] = finished[name]
            continue
        if arm.start is not None and (arm.start not in outcomes or outcomes[arm.start].is_cut_short):
            logger.info(f"{head}: waits until {arm.start} is finished")
            continue
        logger.info(head)
        for stale in _set_aside_followers(arms, name):
            logger.info(f"{stale} had started from other weights of {name}: its folder is set aside")
            finished.pop(stale, None)
        outcomes[name] = Outcome(arm, _run(arm, max_seconds))
    return outcomes


def _set_aside_followers(arms: Mapping[str, Arm], name: str) -> list[str]:
    """Sets aside the folders of all arms that start from one, also by way of others; returns the names of these."""
    followers = [other for other in arms if other != name and name in arms_needed([other], arms)]
    try:
        return [other for other in followers if set_aside(folder_of(arms[other].settings))]
    except OSError as error:
        raise RunFolderError(f"arm {name}: {error.filename} cannot be set aside ({error.strerror})") from error


def _run(arm: Arm, max_seconds: float | None) -> dict[str, Any]:
    """Runs an arm and returns its result."""
    folder = folder_of(arm.settings)
    try:
        resume = resumes(folder, may_resume=True)
    except OSError as error:
        raise RunFolderError(f"arm {arm.name}: {folder} cannot be set aside ({error.strerror})") from error
    problem = run_apart(arm.settings, resume=resume, max_seconds=max_seconds).problem
    if problem is not None:
        raise SettingsError(f"arm {arm.name}: {problem}")
    result = json.loads((folder / RESULT_FILE).read_text(encoding="utf-8"))
    if result["stop_reason"] == "failed" or not _is_whole(result):
        raise WorkFailedError(f"arm {arm.name}: training failed, {result['stop_explanation'] or 'no finite energy'}")
    return result


def _is_whole(result: Mapping[str, Any]) -> bool:
    """Whether a result has the number that tables and pictures cannot do without."""
    return result["energy"] is not None
