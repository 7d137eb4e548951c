"""A chain: runs one after the other in stage_1, stage_2 and so on, each starting from what an earlier one learned."""

from __future__ import annotations

import functools
import logging
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from tf_nqs.analysis.notation import format_with_error
from tf_nqs.analysis.tables import terminal_table
from tf_nqs.analysis.words import stop_words
from tf_nqs.config import RunFolderError, SettingsError
from tf_nqs.config.chain import Chain, chain_to_toml
from tf_nqs.config.errors import shown
from tf_nqs.experiment.isolated import run_in_subprocess
from tf_nqs.runtime.startup import import_tensorflow
from tf_nqs.runtime.terminal import printed_messages
from tf_nqs.storage.files import replace_text
from tf_nqs.storage.folder_of_several import lock_folder
from tf_nqs.storage.run_folder import CHAIN_MARK, RunFolder, bears_mark
from tf_nqs.studies.plan import Plan, PlannedRun, can_resume, earlier_results, make_runs, summary_rows

logger = logging.getLogger(__name__)


def run_chain(chain: Chain, resume: bool = False) -> str:
    """Runs the stages that are not finished, and writes `config.toml` and `summary.csv`, which has a row per stage.

    A stage is finished if its folder holds the result of a run with the same settings that neither failed nor was
    interrupted. The first unfinished stage continues from its last checkpoint. If it has none, or has failed, its
    folder is set aside, as stage_2_unfinished_1, and the stage starts again. The stages after it start again in any
    case: they started from other weights.

    Each stage runs in a process of its own, which gives back all its memory. So a script that calls this needs an
    `if __name__ == "__main__":`, see `run_in_subprocess`.

    Args:
        chain: all settings.
        resume: whether the folder must hold a chain already.

    Returns:
        The stop reason of the last stage run.

    Raises:
        RunFolderError: the folder holds something else, cannot be written or is locked by another process, or the
            settings of a stage that is finished or resumed have changed.
        SettingsError: a stage cannot be run; one line, with its number.
    """
    plan = plan_of(chain)
    names = [run.name for run in plan.runs]
    with printed_messages(chain.stages[-1].run.quiet), _locked(chain.run_dir, resume):
        # All stages are looked at before one is run: refusals come before hours of training.
        results = earlier_results(plan, names)
        _keep_config(chain, next((run for run in plan.runs if run.name not in results), None))
        results = make_runs(plan, names, results, functools.partial(run_in_subprocess, pass_signals=True))
        logger.info(summary_table(summary_rows(plan, results)))
    return list(results.values())[-1]["stop_reason"]


def plan_of(chain: Chain) -> Plan:
    """Returns the stages as a plan, in which each starts from the one before.

    A stage may name an earlier one as its source, but is repeated whenever anything before it is.
    """
    runs = [
        PlannedRun(str(number), settings, str(number - 1) if number > 1 else None)
        for number, settings in enumerate(chain.stages, start=1)
    ]
    return Plan("stage", Path(chain.run_dir), runs, "the chain must be as it was")


def summary_table(rows: Sequence[dict[str, Any]]) -> str:
    """Returns the table for the terminal, lines joined by newlines.

    Args:
        rows: as `summary_rows` returns them.
    """
    header = ("stage", "A", "V0", "trainable", "iterations", "stopped by", "energy", "off reference", "seconds")
    texts = []
    for row in rows:
        energy, deviation = row["energy"], row["deviation"]
        texts.append(
            [
                row["stage"],
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


def _locked(run_dir: str, resume: bool) -> AbstractContextManager[None]:
    if resume and not bears_mark(run_dir, CHAIN_MARK):
        raise RunFolderError(
            f"run_dir = {shown(run_dir)}: holds no chain; must be the folder of one, or be given without --resume"
        )
    return lock_folder(run_dir, CHAIN_MARK)


def _keep_config(chain: Chain, unfinished: PlannedRun | None) -> None:
    """Writes the settings of a chain into its folder, from which it is resumed, unless they are there.

    Args:
        chain: all settings.
        unfinished: its first stage that is not finished.

    Raises:
        SettingsError: that stage cannot be resumed with these settings; what was there before stays.
    """
    path, text = RunFolder(chain.run_dir).config, chain_to_toml(chain)
    if path.is_file() and path.read_bytes() == text.encode():
        return
    if unfinished and can_resume(unfinished.folder):
        import_tensorflow()  # reads the checkpoint; only here, as this process has no other use for it
        from tf_nqs.experiment import start

        try:
            with printed_messages(quiet=True):
                start.find_start(unfinished.settings, RunFolder(unfinished.folder))
        except SettingsError as error:
            raise SettingsError(f"stage {unfinished.name}: {error}") from error
    replace_text(path, text)
