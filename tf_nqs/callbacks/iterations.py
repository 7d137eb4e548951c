"""The base of callbacks that look at every single iteration."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np


class IterationCallback(keras.callbacks.Callback):
    """A Keras callback that is given all iterations of a call, although they ran without leaving TensorFlow.

    Subclasses define `on_iterations`, and end training by `stop`.

    Attributes:
        call_period: `VariationalMonteCarlo.fit` ends a call at every multiple of it, counted from its start; None for
            no such wish.
    """

    call_period: int | None = None

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        del epoch, logs
        self.on_iterations(self.model.recent_iterations())

    def on_iterations(self, rows: dict[str, np.ndarray]) -> None:
        """Called after each call of up to `iterations_per_call` iterations.

        Args:
            rows: column name -> values of these iterations, as `VariationalMonteCarlo.recent_iterations` gives them.
        """
        raise NotImplementedError

    def stop(self, reason: str) -> None:
        """Ends training after this call.

        Args:
            reason: what `VariationalMonteCarlo.stop_reason` becomes: early_stopping, time_limit or failed.
        """
        if not self.model.stop_training:
            self.model.stop_reason = reason
        self.model.stop_training = True
