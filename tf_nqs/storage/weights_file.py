"""A file of weights says after how many iterations they were written."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import h5py

ITERATIONS_ATTRIBUTE = "n_iterations"


def note_iterations(file: BinaryIO, n_iterations: int) -> None:
    """Writes a number of iterations into an HDF5 file beside what it holds.

    Args:
        file: open for reading and writing.
        n_iterations: of the training so far.
    """
    with h5py.File(file, "r+") as content:
        content.attrs[ITERATIONS_ATTRIBUTE] = n_iterations


def iterations_of_weights(path: Path) -> int | None:
    """Returns after how many iterations weights were written; None where the file does not say it."""
    try:
        with h5py.File(path, "r") as content:
            return int(content.attrs[ITERATIONS_ATTRIBUTE])
    except (LookupError, OSError, RuntimeError, TypeError, ValueError):
        return None
