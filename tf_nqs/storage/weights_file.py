"""A file of weights records the iterations after which it was written."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import h5py

from tf_nqs.config import RunFolderError
from tf_nqs.storage.run_folder import RunFolder

ITERATIONS_ATTRIBUTE = "n_iterations"


def note_iterations(file: BinaryIO, n_iterations: int) -> None:
    """Writes a number of iterations into an HDF5 file, beside its content.

    Args:
        file: open for reading and writing.
        n_iterations: of the training so far.
    """
    with h5py.File(file, "r+") as content:
        content.attrs[ITERATIONS_ATTRIBUTE] = n_iterations


def iterations_of_weights(path: Path) -> int | None:
    """Returns the number of iterations after which weights were written; None if the file does not record it."""
    try:
        with h5py.File(path, "r") as content:
            return int(content.attrs[ITERATIONS_ATTRIBUTE])
    except (LookupError, OSError, RuntimeError, TypeError, ValueError):
        return None


def iterations_of_run(folder: RunFolder) -> int | None:
    """Returns the iterations of the weights of a run: as these record it, else as the result does, else None."""
    n_iterations = iterations_of_weights(folder.weights)
    if n_iterations is not None:
        return n_iterations
    try:
        return folder.result_values.get("n_iterations")
    except RunFolderError:
        return None
