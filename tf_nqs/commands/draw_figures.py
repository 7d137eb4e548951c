"""The work of `python -m tf_nqs.reproduce`: runs what the figures need, draws them and writes the report."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from tf_nqs.commands.figures_request import OUTPUT_ALLOWED, Request
from tf_nqs.config import SettingsError
from tf_nqs.config.errors import shown, why
from tf_nqs.storage.files import folder_errors
from tf_nqs.storage.run_folder import lock_folder
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
        _make_folder(request.output)
        outcomes = make_outcomes(runs, drawn, allowed, request.run_dir, request.max_seconds)
        with folder_errors("output", request.output, "the same command continues once it can", among_others=True):
            written = write_report(figures, outcomes, request.scale, request.output)
    logger.info(figures_table(figures, outcomes))
    if cut_short := [name for name, outcome in outcomes.items() if outcome.is_cut_short]:
        logger.info(f"not trained to the end: {', '.join(cut_short)}; the same command continues them")
    logger.info(f"written: {written[0]} and {len(written) - 1} pictures in {written[0].with_suffix('')}")


def _check_writable(output: Path) -> None:
    """Looks whether the file, and the folder of the pictures beside it, can be written; writes nothing.

    Raises:
        SettingsError: they cannot.
    """
    pictures = output.with_suffix("")
    try:
        reason = "is a folder" if output.is_dir() else None
        for place in (pictures, *pictures.parents):
            if place.exists() or place.is_symlink():
                if not place.is_dir():
                    reason = f"{place} is no folder"
                elif not os.access(place, os.W_OK):
                    reason = f"{place} is read-only"
                break
    except (OSError, ValueError) as error:
        reason = why(error)
    if reason is not None:
        raise _not_writable(output, reason)


def _make_folder(output: Path) -> None:
    """Makes the folder of the pictures beside the file; raises SettingsError where the system lets none be made."""
    try:
        output.with_suffix("").mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise _not_writable(output, why(error)) from error


def _not_writable(output: Path, reason: str) -> SettingsError:
    return SettingsError(f"output = {shown(str(output))}: cannot be written ({reason}); must be {OUTPUT_ALLOWED}")
