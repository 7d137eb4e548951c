"""The work of `python -m tf_nqs.reproduce`: runs what the figures need, draws them and writes the report."""

from __future__ import annotations

import errno
import logging
import os
from contextlib import AbstractContextManager
from pathlib import Path

from tf_nqs.commands.figures_request import OUTPUT_ALLOWED, Request
from tf_nqs.storage.files import folder_errors
from tf_nqs.storage.folder_of_several import lock_folder
from tf_nqs.studies.figures import load_figures, load_runs
from tf_nqs.studies.figures.report import figures_table, write_report
from tf_nqs.studies.figures.running import make_outcomes

logger = logging.getLogger(__name__)

LOCK_FILE = ".figures"


def reproduce(request: Request) -> None:
    """Runs what is missing, draws the figures and writes the report.

    Raises:
        SettingsError: a folder cannot be used, or something cannot be run.
        WorkFailedError: a run has no finite energy.
    """
    figures = [figure for name, figure in load_figures().items() if name in request.figures]
    runs = load_runs(request.scale, request.run_dir, request.overrides)
    drawn = [curve.run for figure in figures for curve in figure.curves]
    allowed = drawn if request.names is None else request.names
    _check_writable(request.output)  # better refused before hours of training, and before a folder is made
    with lock_folder(request.run_dir, LOCK_FILE, "locked by another process; wait for it to finish"):
        with _output_errors(request.output):
            request.output.with_suffix("").mkdir(parents=True, exist_ok=True)
        outcomes = make_outcomes(runs, drawn, allowed, request.run_dir, request.max_seconds)
        with folder_errors("output", request.output, "the same command continues once it can", among_others=True):
            written = write_report(figures, outcomes, request.scale, request.output)
    logger.info(figures_table(figures, outcomes))
    if cut_short := [name for name, outcome in outcomes.items() if outcome.is_cut_short]:
        logger.info(f"not trained to the end: {', '.join(cut_short)}; the same command continues them")
    logger.info(f"written: {written[0]} and {len(written) - 1} pictures in {written[0].with_suffix('')}")


def _output_errors(output: Path) -> AbstractContextManager[None]:
    return folder_errors("output", output, f"must be {OUTPUT_ALLOWED}")


def _check_writable(output: Path) -> None:
    """Refuses a file that cannot be written, or beside which no folder for the pictures can be made; writes nothing.

    Raises:
        SettingsError: it cannot be written.
    """
    pictures = output.with_suffix("")
    with _output_errors(output):
        place = next(place for place in (pictures, *pictures.parents) if place.exists() or place.is_symlink())
        if output.is_dir():
            raise IsADirectoryError(errno.EISDIR, "is a folder")
        if not place.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, f"{place} is no folder")
        if not os.access(place, os.W_OK):
            raise PermissionError(errno.EACCES, f"{place} is read-only")
