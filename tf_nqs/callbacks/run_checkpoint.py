"""The callback that keeps the whole state of a training safe, and the one that gives it back."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tf_nqs import defaults
from tf_nqs.callbacks.iterations import IterationCallback
from tf_nqs.execution.agreement import is_chief
from tf_nqs.execution.replicas import outside_scope
from tf_nqs.storage.checkpoints import Checkpoint, restore_checkpoint, save_checkpoint
from tf_nqs.training.state import state_of
from tf_nqs.whole_numbers import whole_number


class RunCheckpoint(IterationCallback):
    """Writes checkpoints of the trainer and of the other callbacks: at the start, now and then, and at the end.

    Where a training runs in several processes, the chief alone writes; all of them read the checkpoint to resume from.

    Nothing is written of weights that are not finite: the last good checkpoint stays. Of a training that has failed the
    state is that which `RepairTraining` has gone back to, and it may be resumed.

    Beside what it is given, it saves as facts: `iteration`, `seconds` of training, `stop_reason` (None while training
    was to go on), and `callbacks`, the state of each by its name.

    Args:
        folder: of the checkpoints.
        iterations: number of iterations that training will take.
        callbacks: whose state is saved; all of them come before this one in the list of callbacks.
        facts: to be saved too; what JSON can hold.
        minutes: time between two checkpoints; 0 for none by time.
        period: iterations between two checkpoints; 0 for none by iterations.
        n_kept: how many of the last checkpoints stay.
        resumed: checkpoint that training resumes from; None for a training from its start.
    """

    def __init__(
        self,
        folder: str | Path,
        iterations: int,
        callbacks: Iterable[keras.callbacks.Callback] = (),
        facts: dict[str, Any] | None = None,
        minutes: float = defaults.CHECKPOINT_MINUTES,
        period: int = defaults.CHECKPOINT_ITERATIONS,
        n_kept: int = defaults.CHECKPOINTS_KEPT,
        resumed: Checkpoint | None = None,
    ):
        super().__init__()
        self.folder = Path(folder)
        self.iterations = iterations
        self.call_period = whole_number("period", period) or None
        self.minutes = minutes
        self.n_kept = whole_number("n_kept", n_kept, 1)
        self.resumed = resumed
        self._facts = facts or {}
        self._callbacks = dict(_named(callbacks))

    def begin(self, state: dict[str, Any] | None) -> None:
        now = time.monotonic()
        self._started = now - (self.resumed.facts["seconds"] if self.resumed else 0.0)
        self._last = now
        if self.resumed:
            resumed, saved, tidy = self.resumed, state_of(self.model).saved, is_chief()
            outside_scope(lambda: restore_checkpoint(resumed, saved, tidy))
        else:
            self._save()

    def on_iterations(self, rows: dict[str, np.ndarray]) -> None:
        self.model.agree_to_stop()
        iteration = int(rows["iteration"][-1])
        is_last = self.model.stop_training or iteration >= self.iterations
        by_time = self.minutes and time.monotonic() - self._last >= 60 * self.minutes
        if is_last or by_time or (self.call_period and iteration % self.call_period == 0):
            self._save(self.model.stop_reason if is_last else None)

    def _save(self, stop_reason: str | None = None) -> None:
        weights_are_finite = all(np.all(np.isfinite(weight)) for weight in self.model.ansatz.get_weights())
        if not weights_are_finite or not is_chief():
            return
        facts = {
            "iteration": int(self.model.iteration.numpy()),
            "seconds": time.monotonic() - self._started,
            "stop_reason": None if stop_reason in ("interrupted", "terminated", "failed") else stop_reason,
            "callbacks": {name: callback.get_state() for name, callback in self._callbacks.items()},
        }
        saved, facts = state_of(self.model).saved, self._facts | facts
        outside_scope(lambda: save_checkpoint(self.folder, saved, facts, self.n_kept))
        self._last = time.monotonic()


def resume_callbacks(callbacks: Iterable[keras.callbacks.Callback], states: dict[str, dict[str, Any]]) -> None:
    """Lets the callbacks of a training go on from the states that `RunCheckpoint` has saved of them.

    Args:
        callbacks: those given to `RunCheckpoint`, in the same order.
        states: its fact `callbacks`; a callback that was not there then starts from nothing.
    """
    for name, callback in _named(callbacks):
        if name in states:
            callback.resume(states[name])


def _named(callbacks: Iterable[keras.callbacks.Callback]) -> list[tuple[str, IterationCallback]]:
    """Pairs of name and callback, of those that have a state; the name is the class, numbered from the second on."""
    named: list[tuple[str, IterationCallback]] = []
    counts: dict[str, int] = {}
    for callback in callbacks:
        if isinstance(callback, IterationCallback):
            name = type(callback).__name__
            counts[name] = counts.get(name, 0) + 1
            named.append((name if counts[name] == 1 else f"{name}_{counts[name]}", callback))
    return named
