"""The callback that keeps the weights safe while training."""

from __future__ import annotations

import io
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tf_nqs.callbacks.iterations import IterationCallback
from tf_nqs.storage.files import replace_file
from tf_nqs.storage.weights_file import note_iterations


class WeightsCheckpoint(IterationCallback):
    """Writes the ansatz' weights now and then, so that a lost session loses little.

    Args:
        path: the file, ending in `.weights.h5`; replaced as a whole, never half written.
        seconds: time between two writes.
    """

    on_chief_alone = True

    def __init__(self, path: str | Path, seconds: float = 60.0):
        super().__init__()
        self.path = Path(path)
        self.seconds = seconds

    def begin(self, state: dict[str, Any] | None) -> None:
        self._last = time.monotonic()

    def on_iterations(self, rows: dict[str, np.ndarray]) -> None:
        if time.monotonic() - self._last >= self.seconds:
            save_weights(self.model.ansatz, self.path, int(rows["iteration"][-1]))
            self._last = time.monotonic()


class _InMemory(io.BytesIO):
    """A file in memory, by a name that Keras takes for one of weights."""

    def __str__(self) -> str:
        return "memory.weights.h5"


def save_weights(model: keras.Model, path: Path, n_iterations: int | None = None) -> None:
    """Writes the weights to a file that replaces the old one at once.

    HDF5 writes into memory: where a disk is full, closing a file of its own raises errors of any kind, or even ends the
    process.

    Args:
        model: a model that has its variables.
        path: ending in `.weights.h5`.
        n_iterations: of the training so far, to be noted in the file.

    Raises:
        OSError: it cannot be written; the old file stays.
    """
    content = _InMemory()
    model.save_weights(content)
    if n_iterations is not None:
        note_iterations(content, n_iterations)
    replace_file(path, lambda unfinished: unfinished.write_bytes(content.getbuffer()))
