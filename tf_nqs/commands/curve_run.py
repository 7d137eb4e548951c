"""The work of `python -m tf_nqs.curve`: measures the points of a curve, compares them, draws them. Loads TensorFlow."""

from __future__ import annotations

import logging

import numpy as np

from tf_nqs.commands.curve_flags import MARK, CurveRequest
from tf_nqs.commands.curve_source import Source, digest_of_weights
from tf_nqs.commands.finished_run import Request
from tf_nqs.commands.known_reference import diffused_earlier, reference_of
from tf_nqs.config import Settings
from tf_nqs.experiment.build import Run, build_trainer, read_run
from tf_nqs.runtime.exit_status import WorkFailedError
from tf_nqs.storage.folder_of_several import lock_folder
from tf_nqs.storage.run_folder import RunFolder
from tf_nqs.studies.curve.folder import CurveFolder
from tf_nqs.studies.curve.making import MadeCurves, make_curves
from tf_nqs.studies.curve.report import curve_tables, findings, warnings

logger = logging.getLogger(__name__)


def source_of_run(folder: RunFolder, run: Run, settings: Settings, reference: str) -> Source:
    """Returns the run of a single system as a point of a curve.

    Args:
        folder: of the run.
        run: read from it.
        settings: of the run, overridden by those of the command line.
        reference: auto, exact, diffusion or none.
    """
    evaluation = settings.evaluation.model_copy(update={"reference": reference})
    with_reference = settings.model_copy(update={"evaluation": evaluation})
    request, may_be_diffused = Request(folder, {}, {}), reference in ("auto", "diffusion")
    return Source(
        str(folder),
        settings,
        {"ansatz": settings.ansatz.resolved(settings.system), "weights": digest_of_weights(run)},
        lambda: build_trainer(settings, run.system, run.ansatz),
        lambda: run.ansatz,
        reference,
        lambda: diffused_earlier(folder) if reference == "diffusion" else reference_of(request, with_reference),
        {"reference": reference, "diffusion": _modified(folder) if may_be_diffused else None},
    )


def _modified(folder: RunFolder) -> float | None:
    """Returns when a run's diffusion.json was written; a later one may be a reference where there was none."""
    return folder.diffusion.stat().st_mtime if folder.diffusion.is_file() else None


def curve_of_runs(request: CurveRequest) -> None:
    """Measures each run, writes curve.csv and curve.png into the output folder, and prints tables.

    Raises:
        SettingsError: a run cannot be read, or the folder cannot be written.
        WorkFailedError: a run has no finite energy.
    """
    sources = [
        source_of_run(folder, read_run(folder), request.settings(folder), request.reference)
        for folder in request.folders
    ]
    title = _title([request.settings(folder).system.title() for folder in request.folders])
    with lock_folder(request.output, MARK, setting="output"):
        folder = CurveFolder(request.output)
        made = make_curves(sources, folder, title)
    say_curves(made, folder)


def _title(titles: list[str]) -> str:
    """Returns what the titles of all systems have in common, else how many there are."""
    parts = [title.split(", ") for title in titles]
    common = [part for part in parts[0] if all(part in others for others in parts)]
    return ", ".join(common) or f"{len(titles)} systems"


def say_curves(made: MadeCurves, folder: CurveFolder) -> None:
    """Prints the tables of curves, what their checks say, and warnings.

    Raises:
        WorkFailedError: a point has no finite energy.
    """
    for text in (*curve_tables(made), *findings(made)):
        logger.info(text)
    logger.info(f"written: {folder.table}, {folder.plot}{f', {folder.differences}' if made.differences else ''}")
    for warning in warnings(made):
        logger.info(f"warning: {warning}")
    without = [point.name for curve in made.curves for point in curve.points if not np.isfinite(point.energy.value)]
    if without:
        raise WorkFailedError(f"no sample of {', '.join(without)} has a finite energy")
