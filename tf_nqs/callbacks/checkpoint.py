"""The callback that keeps the weights safe while training."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tf_nqs.callbacks.iterations import IterationCallback


class WeightsCheckpoint(IterationCallback):
    """Writes the ansatz' weights now and then, so that a lost session loses little.

    Args:
        path: the file, ending in `.weights.h5`; replaced as a whole, never half written.
        seconds: time between two writes.
    """

    def __init__(self, path: str | Path, seconds: float = 60.0):
        super().__init__()
        self.path = Path(path)
        self.seconds = seconds

    def begin(self, state: dict[str, Any] | None) -> None:
        self._last = time.monotonic()

    def on_iterations(self, rows: dict[str, np.ndarray]) -> None:
        if time.monotonic() - self._last >= self.seconds:
            save_weights(self.model.ansatz, self.path)
            self._last = time.monotonic()


def save_weights(ansatz: keras.Model, path: Path) -> None:
    """Writes the weights to a file that replaces the old one at once.

    Args:
        ansatz: the model.
        path: ending in `.weights.h5`.
    """
    unfinished = path.with_name("unfinished-" + path.name)
    ansatz.save_weights(unfinished)
    os.replace(unfinished, path)
