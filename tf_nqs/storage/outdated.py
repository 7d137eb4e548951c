"""Results of fewer iterations in the folder of a training that continues: they must not lie beside new weights."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

from tf_nqs.storage.curve_folder import CurveFolder
from tf_nqs.storage.export_folder import is_export
from tf_nqs.storage.run_folder import RunFolder
from tf_nqs.storage.weights_file import iterations_of_run

logger = logging.getLogger(__name__)


def put_away_results(folder: RunFolder) -> None:
    """Removes the results of the training so far, because the training continues.

    What the run writes again at its end is deleted, as is the state of a diffusion that was cut short. What other
    commands have measured or exported is moved to a subfolder such as after_1000_iterations.

    Args:
        folder: of the run.

    Raises:
        OSError: a file cannot be moved or deleted.
    """
    later = (
        *(folder.evaluation, folder.diffusion, folder.diffusion_plot),
        *(folder.observables, folder.observable_plots),
    )
    measured = [path for path in later if path.exists()] + folder.files_of_members()
    measured += [path for path in CurveFolder(folder.path).results if path.exists()]  # its points name their weights
    measured += sorted(entry for entry in folder.path.iterdir() if entry.is_dir() and is_export(entry))
    if measured:
        aside = _make_subfolder(folder)
        for path in measured:
            shutil.move(path, aside / path.name)
        logger.info(f"moved to {aside}, as training continues: {', '.join(path.name for path in measured)}")
    at_the_end = (folder.result, folder.plot, folder.walkers, folder.profile, folder.profile_plot)
    written = [path for path in (*at_the_end, folder.diffusion_state) if path.is_file()]
    for path in written:
        path.unlink()
    if written:
        logger.info(f"deleted, as training continues: {', '.join(path.name for path in written)}")


def _make_subfolder(folder: RunFolder) -> Path:
    """Makes the subfolder for the results so far, and returns it."""
    n_iterations = iterations_of_run(folder)
    name = "earlier_results" if n_iterations is None else f"after_{n_iterations}_iterations"
    place, number = folder.path / name, 1
    while place.exists():
        number += 1
        place = folder.path / f"{name}_{number}"
    place.mkdir()
    return place
