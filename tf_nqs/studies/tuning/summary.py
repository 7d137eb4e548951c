"""The results of a search: the record of each trial, their table, and the settings of the best one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import keras_tuner

from tf_nqs.analysis import format_with_error
from tf_nqs.analysis.tables import terminal_table
from tf_nqs.config import to_toml
from tf_nqs.config.search import Search
from tf_nqs.exact import Reference
from tf_nqs.storage.files import replace_text
from tf_nqs.studies.plan import write_table
from tf_nqs.studies.tuning.hypermodel import best_settings, read_result
from tf_nqs.studies.tuning.space import values_of
from tf_nqs.studies.tuning.tuner import NO_RESULT, failure_reason, trial_seconds

TABLE_FILE, BEST_FILE = "trials.csv", "best.toml"

_WIDTH_WITHOUT_TERMINAL = 140


class TrialRecord(NamedTuple):
    """One trial; energies in hbar*omega, times in seconds, None where a number does not exist.

    Attributes:
        trial: its name, also of its run folder in `trials/`.
        status: completed, failed or unfinished.
        objective: energy + error_weight * energy_error; the lowest is the best.
        energy: measured after training.
        energy_error: its standard error.
        seconds: of training given to the trial, including those of the trial that it continues.
        n_iterations: number of optimiser updates in this time.
        seconds_training: real duration of training, of this trial alone.
        seconds_compile: compilation before it.
        n_parameters: of the ansatz.
        reason: why it failed.
        values: searched setting -> value.
    """

    trial: str
    status: str
    objective: float | None
    energy: float | None
    energy_error: float | None
    seconds: float
    n_iterations: int | None
    seconds_training: float | None
    seconds_compile: float | None
    n_parameters: int | None
    reason: str
    values: dict[str, Any]


def trial_records(search: Search, folder: Path, oracle: keras_tuner.Oracle) -> list[TrialRecord]:
    """Returns the records of all trials in the order of their start.

    Args:
        search: the whole search.
        folder: of the search.
        oracle: has all trials.
    """
    # keras-tuner's names are numbers, with more digits after a search was given more trials.
    trials = sorted(oracle.trials.values(), key=lambda trial: int(trial.trial_id))
    return [_record(search, folder, trial) for trial in trials]


def _record(search: Search, folder: Path, trial: keras_tuner.engine.trial.Trial) -> TrialRecord:
    status = {"COMPLETED": "completed", "FAILED": "failed", "INVALID": "failed"}.get(trial.status, "unfinished")
    result = read_result(folder, trial.trial_id) if status == "completed" else {}
    reason = failure_reason(folder, trial.trial_id) or ""
    if status == "completed" and not result:  # the file was damaged later
        status, reason = "failed", NO_RESULT
    objective = result["energy"] + search.search.error_weight * result["energy_error"] if result else None
    numbers = ("energy", "energy_error", "n_iterations", "seconds_training", "seconds_compile", "n_parameters")
    return TrialRecord(
        trial=trial.trial_id,
        status=status,
        objective=objective,
        seconds=trial_seconds(trial.hyperparameters.values, search.search)[1],
        reason=reason,
        values=values_of(trial.hyperparameters, search.space),
        **{name: result.get(name) for name in numbers},
    )


def ranked(records: Sequence[TrialRecord]) -> list[TrialRecord]:
    """Returns the records with the best first, those without an objective last."""
    return sorted(records, key=lambda one: (one.objective is None, one.objective, one.trial))


def best_record(records: Sequence[TrialRecord]) -> TrialRecord | None:
    """Returns the trial with the lowest objective, None if no trial has one.

    Hyperband's trials are compared at equal seconds: only those with the longest training count.
    """
    completed = [one for one in records if one.objective is not None]
    longest = max((one.seconds for one in completed), default=0.0)
    return next(iter(ranked([one for one in completed if one.seconds == longest])), None)


def write_best(search: Search, record: TrialRecord, folder: Path) -> Path:
    """Writes the settings of a trial as a config for train.py.

    Args:
        search: the whole search.
        record: of the trial.
        folder: of the search.
    """
    assert record.n_iterations is not None  # a trial without a result is not the best
    path = folder / BEST_FILE
    energy = format_with_error(record.energy, record.energy_error)
    head = (
        f"# Trial {record.trial} of a search: the lowest energy + {search.search.error_weight:g} x error after "
        f"{record.seconds:g} seconds of training.\n"
        f"# its energy: {energy} after {record.n_iterations} iterations (the lowest of many: measure it again)\n"
        f"# python train.py --config={path}\n\n"
    )
    replace_text(path, head + to_toml(best_settings(search, record.values, record.n_iterations)))
    return path


def write_csv(records: Sequence[TrialRecord], path: Path) -> None:
    """Writes all trials, a row each, the searched settings in columns of their names.

    Args:
        records: of all trials.
        path: the file.
    """
    columns = [name for name in TrialRecord._fields if name != "values"]
    settings = [*records[0].values] if records else []
    write_table(
        path, columns + settings, [{name: getattr(one, name) for name in columns} | one.values for one in records]
    )


def trials_table(records: Sequence[TrialRecord], reference: Reference) -> str:
    """Returns a table of all trials for the terminal, the best first, and below it the reasons of failed ones.

    Args:
        records: of all trials.
        reference: for comparison with their energies.
    """
    above = [] if reference.energy is None else ["above\nreference\n(ħω)"]
    settings = [leaf.replace("_", "_\n") for leaf in (records[0].values if records else ())]  # narrow columns
    header = ["trial", "energy\n(ħω)", *above, "iterations", "training\n(s)", *settings]
    rows = []
    for record in ranked(records):
        if record.energy is None:
            texts = [record.status, *("" for _ in above), "", f"{record.seconds:g}"]
        else:
            deviation = [] if reference.energy is None else [f"{record.energy - reference.energy:+.2e}"]
            energy = format_with_error(record.energy, record.energy_error)
            texts = [energy, *deviation, str(record.n_iterations), f"{record.seconds:g}"]
        rows.append([record.trial, *texts, *(_shown(value) for value in record.values.values())])
    reasons = [f"trial {record.trial} failed: {record.reason}" for record in records if record.reason]
    return "\n".join([terminal_table([rows], header, default_width=_WIDTH_WITHOUT_TERMINAL), *reasons])


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
