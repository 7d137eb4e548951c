"""The work of `python -m tf_nqs.curve`: measures the points of a curve, compares them, draws them. Loads TensorFlow."""

from __future__ import annotations

import hashlib
import logging
from typing import Any

import numpy as np

from tf_nqs.commands.curve_flags import MARK, CurveRequest
from tf_nqs.commands.finished_run import Request
from tf_nqs.commands.known_reference import reference_of
from tf_nqs.config import Settings
from tf_nqs.exact import Reference
from tf_nqs.experiment.build import Run, build_trainer, read_run
from tf_nqs.named_systems import NamedSystem
from tf_nqs.runtime.exit_status import WorkFailedError
from tf_nqs.storage.folder_of_several import lock_folder
from tf_nqs.storage.run_folder import RunFolder
from tf_nqs.studies.curve.folder import CurveFolder
from tf_nqs.studies.curve.making import MadeCurves, make_curves
from tf_nqs.studies.curve.report import curve_tables, findings, warnings
from tf_nqs.trainer import Trainer

logger = logging.getLogger(__name__)


class RunSource:
    """A point of a curve from the run of a single system; see `tf_nqs.studies.curve.points.PointSource`.

    Args:
        folder: of the run.
        run: read from it.
        settings: of the run, overridden by those of the command line.
        reference: auto, exact or none.
    """

    def __init__(self, folder: RunFolder, run: Run, settings: Settings, reference: str):
        self._folder, self._run, self._settings, self._reference = folder, run, settings, reference
        self.name = str(folder)
        self.system = NamedSystem(**settings.system.resolved())
        self.target_error = settings.evaluation.target_error
        self.max_seconds = settings.evaluation.evaluation_max_seconds
        self.identity: dict[str, Any] = {
            **identity_of_measurement(settings),
            "ansatz": settings.ansatz.resolved(settings.system),
            "weights": digest_of_weights(run),
        }
        self.reference_identity: dict[str, Any] = {
            "system": list(self.system),
            "reference": reference,
            "max_seconds": settings.evaluation.reference_max_seconds,
            "diffusion": _modified(folder) if reference == "auto" else None,
        }

    def trainer(self) -> Trainer:
        """Returns a compiled trainer with the run's weights, and new walkers."""
        return build_trainer(self._settings, self._run.system, self._run.ansatz)

    def wave_function(self) -> Any:
        """Returns the run's wave function."""
        return self._run.ansatz

    def reference(self) -> Reference:
        """Returns what the run's energy is compared with."""
        evaluation = self._settings.evaluation.model_copy(update={"reference": self._reference})
        return reference_of(Request(self._folder, {}, {}), self._settings.model_copy(update={"evaluation": evaluation}))


def identity_of_measurement(settings: Settings) -> dict[str, Any]:
    """Returns what a measurement depends on beside the wave function: the system, and how it is sampled."""
    return {
        "system": list(NamedSystem(**settings.system.resolved())),
        "sampling": settings.sampling.model_dump(),
        "laplacian": settings.training.laplacian,
        "seed": settings.run.seed,
        "target_error": settings.evaluation.target_error,
        "max_seconds": settings.evaluation.evaluation_max_seconds,
    }


def digest_of_weights(run: Run) -> str:
    """Returns what tells the weights of a run from others."""
    weights = b"".join(np.ascontiguousarray(one).tobytes() for one in run.ansatz.get_weights())
    return hashlib.sha256(weights).hexdigest()


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
        RunSource(folder, read_run(folder), request.settings(folder), request.reference) for folder in request.folders
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
