"""Keras' own callbacks in a training without data: those that cannot act as Keras says are refused before it starts.

The guide's page on Keras has a table of all of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import keras
import tensorflow as tf

from tf_nqs.runtime.terminal import say

LOGS = ("loss", "energy", "energy_error", "variance", "kinetic", "trap", "interaction", "acceptance")
"""What callbacks find in `logs`, means over a call of `train_step`; the loss is the energy."""

_MONITORS = (keras.callbacks.EarlyStopping, keras.callbacks.ModelCheckpoint, keras.callbacks.ReduceLROnPlateau)

_SHOWN = ("energy", "energy_error", "variance", "acceptance")


def flat_callbacks(callbacks: Any) -> list[keras.callbacks.Callback]:
    """Returns the callbacks that `fit` was given as a list.

    Args:
        callbacks: as Keras takes them: one, a list of them, a `CallbackList`, or None.

    Raises:
        TypeError: one of them is no Keras callback.
    """
    if isinstance(callbacks, keras.callbacks.CallbackList):
        return list(callbacks.callbacks)
    flat = [one for one in keras.tree.flatten(callbacks) if one is not None]
    for one in flat:
        if not isinstance(one, keras.callbacks.Callback):
            raise TypeError(f"callbacks = {one!r}: must be a keras.callbacks.Callback")
    return flat


def check_callbacks(callbacks: Iterable[keras.callbacks.Callback], optimizer: keras.optimizers.Optimizer) -> None:
    """Refuses callbacks of Keras that would do nothing here, fail after the first call, or do something else.

    Args:
        callbacks: of a training.
        optimizer: that it is compiled with.

    Raises:
        ValueError: what is wrong with the first such callback, and what to use instead.
    """
    may_add_logs = False
    for callback in callbacks:
        problem = _problem(callback, optimizer) or _monitor_problem(callback, may_add_logs)
        if problem:
            raise ValueError(f"callbacks: {type(callback).__name__}{problem}")
        may_add_logs |= not type(callback).__module__.startswith(("keras.", "tf_nqs."))


def _problem(callback: keras.callbacks.Callback, optimizer: keras.optimizers.Optimizer) -> str | None:
    known = keras.callbacks
    sets_rate = isinstance(callback, (known.LearningRateScheduler, known.ReduceLROnPlateau))
    if sets_rate and not isinstance(optimizer._learning_rate, keras.Variable):
        return ": the optimizer has a schedule of its own, must have a number as its learning_rate"
    if isinstance(callback, known.BackupAndRestore) and callback.save_freq != "epoch":
        return f"(save_freq={callback.save_freq}): must be save_freq='epoch', else iterations are done twice"
    if isinstance(callback, known.ModelCheckpoint) and not callback.save_weights_only:
        return (
            f"({callback.filepath!r}): a trainer has no configuration to save, must be save_weights_only=True with a "
            "path that ends in .weights.h5; the wave function is saved by ansatz.save('name.keras') after training"
        )
    if isinstance(callback, known.OrbaxCheckpoint):
        return ": is not supported, use tf_nqs.callbacks.RunCheckpoint or keras.callbacks.BackupAndRestore"
    if isinstance(callback, known.SwapEMAWeights):
        if not optimizer.use_ema:
            return ": the optimizer keeps no averages, must have use_ema=True"
        if not callback.swap_on_epoch:
            return ": evaluate_energy calls no callbacks, must be swap_on_epoch=True"
    return None


def _monitor_problem(callback: keras.callbacks.Callback, may_add_logs: bool) -> str | None:
    """What is wrong with what a callback monitors; one of the user's own before it may have added to the logs."""
    if not isinstance(callback, _MONITORS):
        return None
    if isinstance(callback, keras.callbacks.ModelCheckpoint) and not callback.save_best_only:
        return None
    if callback.monitor not in LOGS and not may_add_logs:
        return f"(monitor={callback.monitor!r}): there is no such value, must be one of {', '.join(LOGS)}"
    if callback.monitor.removeprefix("val_") != "loss" and callback.mode == "auto":
        return f"(monitor={callback.monitor!r}): Keras cannot tell what is better, mode must be 'min' or 'max'"
    return None


class IterationProgress(keras.callbacks.Callback):
    """Keras' progress of `fit(verbose=1)` or `fit(verbose=2)`, which counts iterations.

    Args:
        iterations: number of iterations that training takes.
        done: how many of them were done before.
        verbose: 1 for a bar, 2 for a line per call of up to `iterations_per_call` iterations.
    """

    def __init__(self, iterations: int, done: int, verbose: int):
        super().__init__()
        self.iterations = iterations
        self.done = done
        self.verbose = verbose

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        del logs
        self._seen = self.done
        self._bar = keras.utils.Progbar(self.iterations, unit_name="iteration", stateful_metrics=_SHOWN)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        del epoch
        first = self._seen + 1
        self._seen += len(self.model.recent_iterations()["iteration"])
        values = [(name, (logs or {})[name]) for name in _SHOWN]
        if self.verbose == 1:
            is_last = self.model.stop_training or self._seen >= self.iterations
            self._bar.update(self._seen, values, finalize=is_last)
        else:
            words = " - ".join(f"{name}: {value:.4g}" for name, value in values)
            say(f"iterations {first} to {self._seen} of {self.iterations} - {words}")


class SkipRestoredCalls(keras.callbacks.Callback):
    """Lets a training go on with the call that `BackupAndRestore`, which comes before it, has gone back to.

    Args:
        skipped: number of calls that the data skips, an integer variable.
    """

    def __init__(self, skipped: tf.Variable):
        super().__init__()
        self.skipped = skipped

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        del logs
        self.skipped.assign(self.model._initial_epoch or 0)
