"""The work of `python -m tf_nqs.curve`: measures the points of a curve, compares them, draws them. Loads TensorFlow."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import numpy as np

from tf_nqs.commands.curve_flags import MARK, CurveRequest
from tf_nqs.commands.curve_source import Source, digest_of_weights
from tf_nqs.commands.finished_run import Request
from tf_nqs.commands.known_reference import diffused_earlier, reference_of
from tf_nqs.commands.opened_run import workers_of
from tf_nqs.config import Settings
from tf_nqs.execution.workers import Workers
from tf_nqs.experiment.build import Run, read_run
from tf_nqs.experiment.shared_trainers import SharedTrainers
from tf_nqs.runtime.exit_status import WorkFailedError
from tf_nqs.storage.curve_folder import CurveFolder
from tf_nqs.storage.folder_of_several import lock_folder
from tf_nqs.storage.run_folder import RunFolder
from tf_nqs.studies.curve.making import MadeCurves, make_curves, measure_with_chief
from tf_nqs.studies.curve.points import PointSource
from tf_nqs.studies.curve.report import curve_tables, findings, warnings, without_reference

logger = logging.getLogger(__name__)


def source_of_run(
    folder: RunFolder, run: Run, settings: Settings, reference: str, trainers: SharedTrainers | None = None
) -> Source:
    """Returns the run of a single system as a point of a curve.

    Args:
        folder: of the run.
        run: read from it.
        settings: of the run, overridden by those of the command line.
        reference: auto, exact, diffusion or none.
        trainers: of all points; None for one of its own.
    """
    shared = trainers or SharedTrainers()
    evaluation = settings.evaluation.model_copy(update={"reference": reference})
    with_reference = settings.model_copy(update={"evaluation": evaluation})
    request, may_be_diffused = Request(folder, {}, {}), reference in ("auto", "diffusion")
    return Source(
        str(folder),
        settings,
        {"ansatz": settings.ansatz.resolved(settings.system), "weights": digest_of_weights(run)},
        lambda: shared.at(run, settings),
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
    settings = [request.settings(folder) for folder in request.folders]
    workers = workers_of(settings, ([str(folder) for folder in request.folders], request.reference))
    with workers.messages(settings[0].run.quiet):
        with workers.scope():
            trainers = SharedTrainers()
            sources = [
                source_of_run(folder, read_run(folder), one, request.reference, trainers)
                for folder, one in zip(request.folders, settings, strict=True)
            ]
        title, folder = _title([one.system.title() for one in settings]), CurveFolder(request.output)
        make_and_say(sources, folder, title, workers, lambda: lock_folder(request.output, MARK, setting="output"))


def make_and_say(
    sources: Sequence[PointSource],
    folder: CurveFolder,
    title: str,
    workers: Workers,
    locked: Callable[[], AbstractContextManager[None]],
    advice: str = "",
) -> None:
    """Makes a curve and prints its tables; the chief locks the folder and writes.

    Args:
        sources: of the points.
        folder: of the files.
        title: headline of the picture.
        workers: that measure the points.
        locked: returns what locks the folder.
        advice: how to get references for points that have none; empty if nothing is to be said.

    Raises:
        SettingsError: the folder cannot be written.
        WorkFailedError: a point has no finite energy.
    """
    with contextlib.ExitStack() as until_the_end:
        if workers.is_chief:
            workers.prepared(lambda: until_the_end.enter_context(locked()))
            made = make_curves(sources, folder, title, workers)
            say_curves(made, folder, advice)
        else:
            workers.prepared(lambda: None)
            measure_with_chief(sources, folder, workers)
        workers.wait()


def _title(titles: list[str]) -> str:
    """Returns what the titles of all systems have in common, else how many there are."""
    parts = [title.split(", ") for title in titles]
    common = [part for part in parts[0] if all(part in others for others in parts)]
    return ", ".join(common) or f"{len(titles)} systems"


def say_curves(made: MadeCurves, folder: CurveFolder, advice: str = "") -> None:
    """Prints the tables of curves, what their checks say, and warnings.

    Args:
        made: the curves.
        folder: of their files.
        advice: how to get references for points that have none; empty if nothing is to be said.

    Raises:
        WorkFailedError: a point has no finite energy.
    """
    for text in (*curve_tables(made), *findings(made), *(without_reference(made, advice) if advice else ())):
        logger.info(text)
    logger.info(f"written: {folder.table}, {folder.plot}{f', {folder.differences}' if made.differences else ''}")
    for warning in warnings(made):
        logger.info(f"warning: {warning}")
    without = [point.name for curve in made.curves for point in curve.points if not np.isfinite(point.energy.value)]
    if without:
        raise WorkFailedError(f"no sample of {', '.join(without)} has a finite energy")
