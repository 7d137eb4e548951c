"""Callbacks that end a training: at a time limit, or at a signal."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from tf_nqs.callbacks.iterations import IterationCallback
from tf_nqs.runtime.signals import StopSignals


class TimeLimit(IterationCallback):
    """Stops training after a number of seconds of training, compilation not counted.

    Args:
        max_seconds: wall-clock limit; training ends with the call that passes it.
        seconds_before: what an earlier training, which is resumed, has used of it.
    """

    def __init__(self, max_seconds: float, seconds_before: float = 0.0):
        super().__init__()
        self.max_seconds = max_seconds
        self.seconds_before = seconds_before

    def begin(self, state: dict[str, Any] | None) -> None:
        self._started = time.monotonic() - self.seconds_before

    def on_iterations(self, rows: dict[str, np.ndarray]) -> None:
        if time.monotonic() - self._started >= self.max_seconds:
            self.stop("time_limit")


class StopOnSignal(IterationCallback):
    """Stops training as interrupted or terminated after Ctrl-C or a terminating signal.

    Args:
        signals: notes the signals.
    """

    def __init__(self, signals: StopSignals):
        super().__init__()
        self.signals = signals

    def on_iterations(self, rows: dict[str, np.ndarray]) -> None:
        if self.signals.reason:
            self.stop(self.signals.reason)
