"""Callbacks that end a training: out of time, or out of numbers."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from tf_nqs.callbacks.iterations import IterationCallback


class TimeLimit(IterationCallback):
    """Stops training after a number of seconds of training, compilation not counted.

    Args:
        max_seconds: wall-clock limit; training ends with the call that passes it.
    """

    def __init__(self, max_seconds: float):
        super().__init__()
        self.max_seconds = max_seconds

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._started = time.monotonic()

    def on_iterations(self, rows: dict[str, np.ndarray]) -> None:
        if time.monotonic() - self._started >= self.max_seconds:
            self.stop("time_limit")


class StopOnNonFinite(IterationCallback):
    """Stops training as failed once an iteration had no finite energy at all."""

    def on_iterations(self, rows: dict[str, np.ndarray]) -> None:
        if not np.all(np.isfinite(rows["energy"])):
            self.stop("failed")
