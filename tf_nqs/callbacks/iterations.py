"""The base of callbacks that look at every single iteration."""

from __future__ import annotations

from typing import Any, ClassVar

import keras
import numpy as np

from tf_nqs.execution.agreement import is_chief


class IterationCallback(keras.callbacks.Callback):
    """A Keras callback that is given all iterations of a call, although they ran without leaving TensorFlow.

    Subclasses define `on_iterations`, and end training by `stop`. Those that remember something define `begin` and
    `get_state`: by these a training that was killed is resumed as if nothing had happened.

    Attributes:
        call_period: `VariationalMonteCarlo.fit` ends a call at every multiple of it, counted from its start; None for
            no such wish.
        on_chief_alone: whether the callback does nothing but on the chief, where a training runs in several processes;
            true of those that only write or show something.
    """

    call_period: int | None = None
    on_chief_alone: ClassVar[bool] = False
    _resumed: dict[str, Any] | None = None

    def get_state(self) -> dict[str, Any]:
        """Returns all that the callback remembers; called between two calls, when a checkpoint is written.

        Returns:
            Name -> what JSON can hold (also NaN and infinities) or NumPy arrays.
        """
        return {}

    def resume(self, state: dict[str, Any]) -> None:
        """Lets the next training go on from what `get_state` returned in an earlier one.

        Args:
            state: as it was returned.
        """
        self._resumed = state

    def begin(self, state: dict[str, Any] | None) -> None:
        """Called when training begins.

        Args:
            state: what to go on from; None for a training from its start.
        """

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        del logs
        state, self._resumed = self._resumed, None
        if self.acts:
            self.begin(state)

    @property
    def acts(self) -> bool:
        """Whether the callback does anything in this process."""
        return not self.on_chief_alone or is_chief()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        del epoch, logs
        if self.acts:
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
            reason: what `VariationalMonteCarlo.stop_reason` becomes, see `VariationalMonteCarlo.stop`.
        """
        self.model.stop(reason)
