"""Results of fewer iterations in the folder of a training that goes on: they must not lie beside new weights."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

from tf_nqs.storage.export_folder import is_export
from tf_nqs.storage.result import read_result
from tf_nqs.storage.run_folder import (
    EVALUATION_FILE,
    OBSERVABLES_FILE,
    OBSERVABLES_FOLDER,
    PLOT_FILE,
    PROFILE_FILE,
    PROFILE_PLOT_FILE,
    RESULT_FILE,
    WALKERS_FILE,
    WEIGHTS_FILE,
)
from tf_nqs.storage.weights_file import iterations_of_weights

logger = logging.getLogger(__name__)

WRITTEN_AT_THE_END = (RESULT_FILE, PLOT_FILE, WALKERS_FILE, PROFILE_FILE, PROFILE_PLOT_FILE)
"""What a run writes at its end, and so again when it has gone on."""

MEASURED_LATER = (EVALUATION_FILE, OBSERVABLES_FILE, OBSERVABLES_FOLDER)
"""What commands have written into the folder of a run, which nothing writes again by itself."""


def put_away_results(folder: Path) -> None:
    """Takes the results of the training so far out of the way, as the training goes on.

    What the run writes again at its end is deleted. What was measured or exported later on is kept, in a subfolder such
    as after_1000_iterations.

    Args:
        folder: the run folder.

    Raises:
        OSError: a file cannot be moved or deleted.
    """
    measured = [folder / name for name in MEASURED_LATER if (folder / name).exists()]
    measured += sorted(entry for entry in folder.iterdir() if entry.is_dir() and is_export(entry))
    if measured:
        aside = _place_of(folder)
        for path in measured:
            shutil.move(path, aside / path.name)
        logger.info(f"moved to {aside}, as training goes on: {', '.join(path.name for path in measured)}")
    written = [name for name in WRITTEN_AT_THE_END if (folder / name).is_file()]
    for name in written:
        (folder / name).unlink()
    if written:
        logger.info(f"deleted, as training goes on: {', '.join(written)}")


def _place_of(folder: Path) -> Path:
    """Makes the subfolder for the results so far, and returns it."""
    n_iterations = _iterations_of_result(folder) or iterations_of_weights(folder / WEIGHTS_FILE)
    name = "earlier_results" if n_iterations is None else f"after_{n_iterations}_iterations"
    place, number = folder / name, 1
    while place.exists():
        number += 1
        place = folder / f"{name}_{number}"
    place.mkdir()
    return place


def _iterations_of_result(folder: Path) -> int | None:
    try:
        return read_result(folder / RESULT_FILE).get("n_iterations")
    except (OSError, ValueError):
        return None
