"""A chain of runs, one after the other in stage_1, stage_2 and so on, each starting from what was learned before."""

from __future__ import annotations

import csv
import logging
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import tensorflow as tf

from tf_nqs.analysis.notation import format_with_error
from tf_nqs.analysis.tables import terminal_table
from tf_nqs.analysis.words import stop_words
from tf_nqs.config import RunFolderError, Settings, SettingsError
from tf_nqs.config.chain import Chain, chain_to_toml
from tf_nqs.config.errors import shown
from tf_nqs.experiment import run as experiment
from tf_nqs.experiment.resume import find_start
from tf_nqs.runtime.terminal import printed_messages
from tf_nqs.storage.files import replace_file, replace_text
from tf_nqs.storage.run_folder import CHAIN_MARK, CONFIG_FILE, bears_mark, lock_folder
from tf_nqs.studies.plan import UNFINISHED, can_go_on, finished_result, folder_of, resumes

logger = logging.getLogger(__name__)

LOCK_FILE, SUMMARY_FILE = CHAIN_MARK, "summary.csv"

SUMMARY_COLUMNS = (
    "stage",
    "n_particles",
    "interaction_strength",
    "n_parameters",
    "n_trainable_parameters",
    "n_iterations",
    "released_iteration",
    "stop_reason",
    "energy",
    "energy_error",
    "reference_energy",
    "deviation",
    "seconds_training",
    "seconds_total",
)
"""Header of summary.csv; energies in hbar*omega, deviation = energy - reference_energy."""


def run_chain(chain: Chain, resume: bool = False) -> str:
    """Runs the stages that are not finished yet, and writes `config.toml` and `summary.csv`, a row per stage.

    A stage is finished if its folder holds the result of a run with the same settings, neither failed nor interrupted.
    The first unfinished one goes on from its last checkpoint. If it has none, or has failed, its folder is set aside,
    as stage_2_unfinished_1, and the stage is run from its start; so are all after it, whose results do not follow from
    it.

    Args:
        chain: all settings.
        resume: whether the folder must hold a chain already.

    Returns:
        The stop reason of the last stage run.

    Raises:
        RunFolderError: the folder holds something else or cannot be written, another process is at it, or a stage that
            is finished, or goes on from a checkpoint, had other settings.
        SettingsError: a stage cannot be run; one line, with its number.
    """
    # Every stage is traced anew on purpose.
    tf.get_logger().addFilter(_is_not_about_retracing)
    with printed_messages(chain.stages[-1].run.quiet), _locked(chain.run_dir, resume):
        # All of them are looked at before any is run: other settings are better refused before hours of training.
        found = [finished_result(settings, "the chain must be as it was") for settings in chain.stages]
        first = found.index(None) if None in found else len(found)
        _keep_config(chain, first)
        rows: list[dict[str, Any]] = []
        for number, settings in enumerate(chain.stages, start=1):
            head = f"stage {number} of {len(chain.stages)}"
            logger.info(f"{head}: finished before" if number <= first else head)
            earlier = found[number - 1] if number <= first else None
            if earlier is None:
                _write_summary(rows, Path(chain.run_dir, SUMMARY_FILE))  # no row of what is about to be trained further
            result = _run_stage(number, settings, number == first + 1) if earlier is None else earlier
            rows.append(_summary_row(number, settings, result))
            _write_summary(rows, Path(chain.run_dir, SUMMARY_FILE))
            if result["stop_reason"] in UNFINISHED:
                break
        logger.info(summary_table(rows))
    return rows[-1]["stop_reason"]


def summary_table(rows: Sequence[dict[str, Any]]) -> str:
    """Returns the table for the terminal, lines joined by newlines.

    Args:
        rows: a dictionary of `SUMMARY_COLUMNS` per stage.
    """
    header = ("stage", "A", "V0", "trainable", "iterations", "stopped by", "energy", "off reference", "seconds")
    texts = []
    for row in rows:
        energy, deviation = row["energy"], row["deviation"]
        texts.append(
            [
                str(row["stage"]),
                str(row["n_particles"]),
                f"{row['interaction_strength']:g}",
                f"{row['n_trainable_parameters']} of {row['n_parameters']}",
                str(row["n_iterations"]),
                stop_words(row["stop_reason"]),
                "-" if energy is None else format_with_error(energy, row["energy_error"]),
                "-" if deviation is None else f"{deviation:+.1e}",
                f"{row['seconds_training']:.1f}",
            ]
        )
    return terminal_table([texts], header)


def _is_not_about_retracing(record: logging.LogRecord) -> bool:
    return "triggered tf.function retracing" not in record.getMessage()


def _locked(run_dir: str, resume: bool) -> AbstractContextManager[None]:
    if resume and not bears_mark(run_dir, LOCK_FILE):
        raise RunFolderError(
            f"run_dir = {shown(run_dir)}: holds no chain; must be the folder of one, or be given without --resume"
        )
    return lock_folder(run_dir, LOCK_FILE, "another process is running this chain")


def _keep_config(chain: Chain, first: int) -> None:
    """Writes the chain's settings into its folder, from which it is resumed, unless they are there.

    Raises:
        SettingsError: the first unfinished stage cannot go on with them; what was there before stays.
    """
    path, text = Path(chain.run_dir, CONFIG_FILE), chain_to_toml(chain)
    if path.is_file() and path.read_bytes() == text.encode():
        return
    if first < len(chain.stages) and can_go_on(folder := folder_of(chain.stages[first])):
        try:
            with printed_messages(quiet=True):
                find_start(chain.stages[first], folder)
        except SettingsError as error:
            raise SettingsError(f"stage {first + 1}: {error}") from error
    replace_text(path, text)


def _run_stage(number: int, settings: Settings, may_resume: bool) -> dict[str, Any]:
    folder = folder_of(settings)
    try:
        resume = resumes(folder, may_resume)
    except OSError as error:
        raise RunFolderError(f"stage {number}: {folder} cannot be set aside ({error.strerror})") from error
    try:
        return asdict(experiment.run(settings, resume=resume))
    except SettingsError as error:
        raise SettingsError(f"stage {number}: {error}") from error


def _summary_row(number: int, settings: Settings, result: dict[str, Any]) -> dict[str, Any]:
    energy, reference = result["energy"], result["reference_energy"]
    own = {
        "stage": number,
        "n_particles": settings.system.n_particles,
        "interaction_strength": settings.system.interaction_strength,
        "deviation": None if energy is None or reference is None else energy - reference,
    }
    return {name: own[name] if name in own else result[name] for name in SUMMARY_COLUMNS}


def _write_summary(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Replaces the file at once, with an empty cell for None."""

    def write(unfinished: Path) -> None:
        with open(unfinished, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, SUMMARY_COLUMNS)
            writer.writeheader()
            writer.writerows(rows)

    replace_file(path, write)
