"""Going on with the training of a run folder: what is refused, where it starts, and what of its files is kept."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import keras
from pydantic import BaseModel, NonNegativeFloat, NonNegativeInt, ValidationError

from tf_nqs.callbacks import ProgressLine, RunCheckpoint, RunLog, resume_callbacks
from tf_nqs.callbacks.run_log import METRICS_COLUMNS
from tf_nqs.config import RunFolderError, Settings
from tf_nqs.config.errors import shown
from tf_nqs.config.resume import MAY_CHANGE, comparable, differences
from tf_nqs.storage.checkpoints import Checkpoint, newest_checkpoint
from tf_nqs.storage.files import replace_file
from tf_nqs.storage.outdated import put_away_results
from tf_nqs.storage.run_folder import CHECKPOINT_FOLDER, METRICS_FILE, WINDOWS_FILE
from tf_nqs.training import VariationalMonteCarlo

logger = logging.getLogger(__name__)

_MOST_DIGITS = 18
"""Of an iteration in a file."""


class Facts(BaseModel):
    """What a checkpoint of a training holds beside its variables, as `RunCheckpoint` writes it."""

    settings: dict[str, Any]
    iteration: NonNegativeInt
    seconds: NonNegativeFloat
    stop_reason: str | None
    callbacks: dict[str, dict[str, Any]]
    transfer: dict[str, Any] | None


class Start(NamedTuple):
    """Where a training starts.

    Attributes:
        checkpoint: what it goes on from; None for its beginning.
        is_over: whether it has ended, and only its measurement is left.
        transfer: with transfer_from, what `tf_nqs.experiment.transfer.Transfer` holds.
    """

    checkpoint: Checkpoint | None = None
    is_over: bool = False
    transfer: dict[str, Any] | None = None

    @property
    def iteration(self) -> int:
        """Iterations done."""
        return self.checkpoint.facts["iteration"] if self.checkpoint else 0

    @property
    def seconds(self) -> float:
        """Seconds of training so far."""
        return self.checkpoint.facts["seconds"] if self.checkpoint else 0.0


def find_start(settings: Settings, folder: Path) -> Start:
    """Returns where the training in a folder goes on; changes nothing.

    Args:
        settings: all settings of now.
        folder: the run folder.

    Returns:
        Start; the beginning, if the run was killed before its training began.

    Raises:
        RunFolderError: a setting has changed that must not, or no checkpoint can be read.
    """
    checkpoint = newest_checkpoint(folder / CHECKPOINT_FOLDER)
    if checkpoint is None:
        logger.info("nothing was trained yet: starting from the beginning")
        return Start()
    facts, name = checkpoint.facts, f"run_dir = {shown(str(folder))}"
    try:
        Facts.model_validate(facts)
    except ValidationError:
        raise RunFolderError(f"{name}: {checkpoint.path.name} is not of a training; must be in a new folder") from None
    if changed := differences(facts["settings"], settings, MAY_CHANGE):
        raise RunFolderError(
            f"{name}: was run with {'; '.join(changed)}; must be as before to be resumed, or in a new folder"
        )
    iterations = settings.training.iterations
    if iterations < facts["iteration"]:
        raise RunFolderError(
            f"{name}: iterations = {iterations}: must be at least {facts['iteration']}, as so many are done"
        )
    is_over = _is_over(facts, settings)
    more = "measuring the energy again" if is_over else f"going on to {iterations}"
    logger.info(f"resumed after {facts['iteration']} iterations, {more}")
    if not is_over and facts["stop_reason"] == "early_stopping":  # more iterations are wanted all the same
        facts["callbacks"]["EnergyEarlyStopping"] = {}
    return Start(checkpoint, is_over, facts["transfer"])


def _is_over(facts: dict[str, Any], settings: Settings) -> bool:
    """Whether training had ended, by its own rules and those of now."""
    training, reason = settings.training, facts["stop_reason"]
    if reason == "early_stopping":
        return training.iterations <= facts["settings"]["iterations"]
    out_of_time = training.max_seconds is not None and facts["seconds"] >= training.max_seconds
    return facts["iteration"] >= training.iterations or out_of_time


def clear_what_follows(start: Start, folder: Path) -> None:
    """Cuts the files of a run folder where its training goes on, and puts the results so far out of the way.

    Args:
        start: where it goes on.
        folder: the run folder.
    """
    n_rows = keep_rows(folder / METRICS_FILE, start.iteration, METRICS_COLUMNS)
    keep_rows(folder / WINDOWS_FILE, start.iteration)
    if n_rows < start.iteration:
        logger.info(f"{METRICS_FILE} lacks {start.iteration - n_rows} of the first {start.iteration} iterations")
    if not start.is_over:
        put_away_results(folder)


def keep_rows(path: Path, last_iteration: int, columns: Sequence[str] = ()) -> int:
    """Cuts a CSV file after the row of an iteration; it is replaced as a whole, and damaged rows are left out.

    Args:
        path: the file, with a header and the iteration in the first column; need not exist.
        last_iteration: that of the last row to keep.
        columns: of numbers, which all rows must have; none where they are not known.

    Returns:
        The number of rows kept.
    """
    if not path.is_file():
        return 0
    with open(path, newline="", encoding="utf-8", errors="replace") as file:
        found, *rows = file.readlines() or [""]
    header = ",".join(columns) + "\r\n" if columns else found
    # A row without its newline was being written when the process was killed.
    whole = [row for row in rows if row.endswith("\n") and _is_row(row.rstrip().split(","), len(columns))]
    kept = [row for row in whole if int(row.partition(",")[0]) <= last_iteration]
    if len(kept) < len(rows) or header != found:
        content = "".join([header, *kept]).encode()  # bytes, as CSV has line ends of its own
        replace_file(path, lambda unfinished: unfinished.write_bytes(content))
    return len(kept)


def _is_row(cells: list[str], n_columns: int) -> bool:
    """Returns whether cells begin with an iteration and, where their number is known, are so many numbers."""
    if not (cells[0].isascii() and cells[0].isdecimal() and len(cells[0]) <= _MOST_DIGITS):
        return False
    try:
        return not n_columns or len([float(cell or "nan") for cell in cells]) == n_columns
    except ValueError:
        return False


def fit_from(
    start: Start,
    vmc: VariationalMonteCarlo,
    settings: Settings,
    folder: Path,
    callbacks: Sequence[keras.callbacks.Callback],
) -> None:
    """Trains from a start on, with checkpoints; where training is over, does only what comes at its end.

    Args:
        start: where to begin.
        vmc: the compiled trainer; what `start` knows of it is restored here.
        settings: all settings.
        folder: the run folder.
        callbacks: all others.
    """
    iterations, checkpoints = settings.training.iterations, settings.checkpoint
    saving = RunCheckpoint(
        folder / CHECKPOINT_FOLDER,
        iterations,
        callbacks,
        {"settings": comparable(settings), "transfer": start.transfer},
        checkpoints.checkpoint_minutes,
        checkpoints.checkpoint_iterations,
        checkpoints.checkpoints_kept,
        start.checkpoint,
    )
    everything = [*callbacks, saving]
    if start.checkpoint:
        vmc.place_walkers(vmc.walkers, burn_in=False)  # those of the checkpoint, restored when training begins, have
        resume_callbacks(callbacks, start.checkpoint.facts["callbacks"])
    if start.checkpoint is None or not start.is_over:
        try:
            vmc.fit(iterations, callbacks=everything, done=start.iteration)
        except BaseException:
            _close(callbacks)
            raise
        return
    hooks = keras.callbacks.CallbackList(everything, model=vmc)
    hooks.on_train_begin()
    ended_by = "iterations" if start.iteration >= iterations else "time_limit"
    vmc.stop(start.checkpoint.facts["stop_reason"] or ended_by)
    hooks.on_train_end()


def _close(callbacks: Sequence[keras.callbacks.Callback]) -> None:
    """Closes files and the live line, of which Keras reports no end after an error."""
    for callback in callbacks:
        if isinstance(callback, ProgressLine | RunLog):
            with contextlib.suppress(OSError):  # of a full disk, which is being reported already
                callback.close()
