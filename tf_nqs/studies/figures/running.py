"""Makes the runs that figures need, each in a process of its own; finished ones are taken as they are."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from tf_nqs.config import Settings
from tf_nqs.config.resume import NO_MATTER
from tf_nqs.experiment.isolated import run_in_subprocess
from tf_nqs.runtime.exit_status import WorkFailedError
from tf_nqs.storage.result import RunResult
from tf_nqs.studies.figures.definitions import runs_needed
from tf_nqs.studies.figures.outcomes import Outcome
from tf_nqs.studies.plan import UNFINISHED, Plan, PlannedRun, earlier_results, make_runs


def make_outcomes(
    runs: Mapping[str, PlannedRun],
    shown: Collection[str],
    allowed: Collection[str],
    run_dir: Path,
    max_seconds: float | None = None,
) -> dict[str, Outcome]:
    """Makes runs, and those that they start from, unless they are finished; returns every outcome to draw.

    Where a run is made, the folders of all that start from it are set aside, also of those that are not wanted: they
    started from other weights. A run waits until the one that it starts from is finished.

    Args:
        runs: all runs, by name.
        shown: names of those that are drawn where they have a result.
        allowed: names of those that may be made, with the runs that they start from.
        run_dir: the folder of all runs.
        max_seconds: longest training of each run now; None for no limit. A run that it stops continues next time.

    Returns:
        Name -> outcome, of all that are shown or made and have an energy, those stopped by a time limit among them.

    Raises:
        RunFolderError: a run has a result, but had other settings, or its folder cannot be used.
        SettingsError: a run cannot be made; one line, with its name.
        WorkFailedError: a run has no finite energy.
    """

    def execute(settings: Settings, resume: bool) -> RunResult:
        result = run_in_subprocess(settings, resume=resume, max_seconds=max_seconds)
        if result.stop_reason == "failed" or result.energy is None:
            raise WorkFailedError(f"training failed, {result.stop_explanation or 'no finite energy'}")
        return result

    # A run that was stopped by its own time limit is known by its stop reason, whatever the limit is now.
    ignored = (*NO_MATTER, "max_seconds")
    plan = Plan("run", run_dir.expanduser(), [*runs.values()], "all runs must be as they were", ignored, _is_finished)
    needed = runs_needed(allowed, runs)
    found = earlier_results(plan, {*shown, *needed})
    results = make_runs(plan, needed, found, execute)
    return {name: Outcome(runs[name], result) for name, result in results.items() if result["energy"] is not None}


def _is_finished(result: Mapping[str, Any]) -> bool:
    return result["stop_reason"] not in (*UNFINISHED, "time_limit") and result["energy"] is not None
