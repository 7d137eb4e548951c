"""A plan: named runs in the order in which they can be made, and the one loop that makes them.

The stages of a chain and the runs of the figures are plans. The trials of a search follow keras-tuner's own loop, but
share what "unfinished" means, how a table is written, and how their folder is locked.
"""

from __future__ import annotations

import contextlib
import csv
import json
import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from tf_nqs.config import RunFolderError, Settings, SettingsError, settings_from
from tf_nqs.config.errors import shown
from tf_nqs.config.resume import NO_MATTER, comparable, differences
from tf_nqs.experiment.memory import check_training
from tf_nqs.runtime.exit_status import WorkFailedError
from tf_nqs.storage.files import replace_file
from tf_nqs.storage.result import REQUIRED, RunResult, read_result
from tf_nqs.storage.run_folder import RunFolder

logger = logging.getLogger(__name__)

SUMMARY_FILE = "summary.csv"

UNFINISHED = ("failed", "interrupted")
"""Stop reasons of runs that are never finished; the loop over a plan ends at one of them."""

SUMMARY_COLUMNS = (
    *("n_particles", "interaction_strength", "n_parameters", "n_trainable_parameters"),
    *("n_iterations", "released_iteration", "stop_reason"),
    *("energy", "energy_error", "reference_energy", "deviation", "seconds_training", "seconds_total"),
)
"""Header of summary.csv, after the name of the run; energies in hbar*omega, deviation = energy - reference_energy."""


class PlannedRun(NamedTuple):
    """A run of a plan.

    Attributes:
        name: its own in the plan.
        settings: all settings, with its folder.
        source: name of the run of the plan that it starts from; None for none.
        about: what it is, in a few words.
        own: setting -> value, of those in which it differs from other runs of the plan, where a report needs
            them.
    """

    name: str
    settings: Settings
    source: str | None = None
    about: str = ""
    own: Mapping[str, Any] = {}

    @property
    def folder(self) -> Path:
        """The run folder."""
        assert self.settings.run.run_dir is not None
        return Path(self.settings.run.run_dir).expanduser()


class Plan(NamedTuple):
    """Runs that belong together.

    Attributes:
        kind: what messages call one of them, "stage" or "run"; also the first column of summary.csv.
        folder: where summary.csv is kept.
        runs: all of them, each behind its source.
        rule: what must not change, for an error: "the chain must be as it was".
        ignored: names of the settings in which a finished run may differ.
        is_finished: whether the result of a run stays; if not, the run is resumed or made again.
    """

    kind: str
    folder: Path
    runs: Sequence[PlannedRun]
    rule: str
    ignored: tuple[str, ...] = NO_MATTER
    is_finished: Callable[[Mapping[str, Any]], bool] = lambda result: result["stop_reason"] not in UNFINISHED


def earlier_results(plan: Plan, names: Collection[str]) -> dict[str, dict[str, Any]]:
    """Returns the results that runs have left, by name; those that failed or were interrupted have none.

    Args:
        plan: all runs.
        names: of the runs to look at.

    Raises:
        RunFolderError: one has a result, but had other settings.
    """
    results = {}
    for run in plan.runs:
        if run.name in names and (result := _earlier_result(plan, run)):
            results[run.name] = result
    return results


def _earlier_result(plan: Plan, run: PlannedRun) -> dict[str, Any] | None:
    try:
        result = read_result(RunFolder(run.folder).result)
        before = settings_from(RunFolder(run.folder).config)
    except (OSError, ValueError):
        return None
    is_ours = result.keys() >= REQUIRED  # not written by another program
    if not is_ours or result["stop_reason"] in UNFINISHED:
        return None
    if changed := differences(comparable(before), run.settings, plan.ignored):
        folder = shown(str(run.folder))
        raise RunFolderError(f"run_dir = {folder}: was run with {changed[0]}; {plan.rule}, or in a new folder")
    return result


def make_runs(
    plan: Plan, names: Collection[str], results: Mapping[str, dict[str, Any]], execute: Callable[..., RunResult]
) -> dict[str, dict[str, Any]]:
    """Makes the runs that are not finished, and writes summary.csv after each.

    An unfinished run continues from its last checkpoint; without one, or after it failed, its folder is set aside and
    it starts again. The folders of all runs that started from it, also by way of others, are set aside: they started
    from other weights. A run waits while its source is not finished. The first run that fails or is interrupted ends
    the loop.

    Args:
        plan: all runs.
        names: of the runs to make; their sources are among them.
        results: what `earlier_results` has found.
        execute: makes a run: settings, `resume`, whether it continues from its last checkpoint -> result.

    Returns:
        Name -> what `result.json` holds, of all runs that have a result now, in the order of the plan.

    Raises:
        RunFolderError: a folder cannot be used.
        SettingsError: a run cannot be made; one line, with its name.
        WorkFailedError: raised by `execute`; with the name.
    """
    results, wanted = dict(results), [run for run in plan.runs if run.name in names]
    finished = {name for name, result in results.items() if plan.is_finished(result)}
    for run in wanted:  # before hours of training
        if run.name not in finished:
            with _named(plan, run):
                check_training(run.settings)
    for number, run in enumerate(wanted, start=1):
        head = f"{plan.kind} {number} of {len(wanted)}" + (f", {run.name} ({run.about})" if run.about else "")
        if run.name in finished:
            logger.info(f"{head}: finished before")
        elif run.source is not None and run.source not in finished:
            logger.info(f"{head}: waits until {run.source} is finished")
        else:
            logger.info(head)
            for stale in [run.name, *_set_aside_followers(plan, run)]:
                results.pop(stale, None)
                finished.discard(stale)
            write_summary(plan, results)  # without a row of the run that is about to change
            with _named(plan, run):
                result = results[run.name] = asdict(execute(run.settings, resume=resume_or_set_aside(run.folder)))
            write_summary(plan, results)
            if plan.is_finished(result):
                finished.add(run.name)
            if result["stop_reason"] in UNFINISHED:
                break
    write_summary(plan, results)
    return {run.name: results[run.name] for run in plan.runs if run.name in results}


def resume_or_set_aside(folder: Path) -> bool:
    """Returns whether an unfinished run resumes; if not, sets its folder aside.

    Args:
        folder: of the run; one that is empty or does not exist stays as it is.

    Raises:
        RunFolderError: it cannot be set aside.
    """
    if can_resume(folder):
        return True
    set_aside(folder)
    return False


def can_resume(folder: Path) -> bool:
    """Returns whether a run folder has a checkpoint, and its run has not failed."""
    try:
        text = RunFolder(folder).result.read_text(encoding="utf-8")
        has_failed = json.loads(text)["stop_reason"] == "failed"
    except (OSError, ValueError, RecursionError, LookupError, TypeError):
        has_failed = False
    return RunFolder(folder).holds_checkpoint and not has_failed


def set_aside(folder: Path) -> bool:
    """Renames a run folder, as stage_2_unfinished_1; returns whether there was anything to rename.

    Raises:
        RunFolderError: it cannot be renamed.
    """
    try:
        if not folder.is_dir() or not any(folder.iterdir()):
            return False
        number = 1
        while (name := folder.with_name(f"{folder.name}_unfinished_{number}")).exists():
            number += 1
        folder.rename(name)
    except OSError as error:
        raise RunFolderError(f"{folder} cannot be set aside ({error.strerror})") from error
    return True


def summary_rows(plan: Plan, results: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Returns a row of `SUMMARY_COLUMNS`, led by the name, for each run that has a result, in the order of the plan."""
    return [_summary_row(plan.kind, run, results[run.name]) for run in plan.runs if run.name in results]


def write_summary(plan: Plan, results: Mapping[str, Mapping[str, Any]]) -> None:
    """Writes summary.csv, see `summary_rows`."""
    write_table(plan.folder / SUMMARY_FILE, (plan.kind, *SUMMARY_COLUMNS), summary_rows(plan, results))


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Writes a CSV file, which is replaced as a whole; None becomes an empty cell.

    Args:
        path: the file.
        columns: its header.
        rows: column -> value.
    """

    def write(unfinished: Path) -> None:
        with open(unfinished, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(rows)

    replace_file(path, write)


@contextlib.contextmanager
def _named(plan: Plan, run: PlannedRun) -> Iterator[None]:
    """Puts the name of a run before the text of an error raised in the `with` block."""
    try:
        yield
    except (SettingsError, WorkFailedError) as error:
        raise type(error)(f"{plan.kind} {run.name}: {error}") from error


def _set_aside_followers(plan: Plan, run: PlannedRun) -> list[str]:
    """Sets aside the folders of all runs that started from one, also by way of others; returns their names."""
    followers, set_aside_now = {run.name}, []
    for other in plan.runs:
        if other.source in followers:
            followers.add(other.name)
            with _named(plan, run):
                if set_aside(other.folder):
                    logger.info(f"{plan.kind} {other.name} started from other weights: its folder is set aside")
                    set_aside_now.append(other.name)
    return set_aside_now


def _summary_row(kind: str, run: PlannedRun, result: Mapping[str, Any]) -> dict[str, Any]:
    energy, reference = result["energy"], result["reference_energy"]
    own = {
        "n_particles": run.settings.system.n_particles,
        "interaction_strength": run.settings.system.interaction_strength,
        "deviation": None if energy is None or reference is None else energy - reference,
    }
    return {kind: run.name} | {name: own[name] if name in own else result[name] for name in SUMMARY_COLUMNS}
