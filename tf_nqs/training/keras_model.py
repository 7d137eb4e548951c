"""A Keras model that is trained without data: a call of `train_step` is given its number of iterations."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any, TypeVar, cast

import keras
import tensorflow as tf
from keras.callbacks import History

from tf_nqs.execution.agreement import numbers_together
from tf_nqs.execution.compilation import Traced
from tf_nqs.execution.replicas import n_processes, outside_scope, scope_of, strategy_in_scope
from tf_nqs.runtime.lost_worker import lost_workers_told
from tf_nqs.trainer import Phases
from tf_nqs.training.iterations import dataset_of
from tf_nqs.training.keras_callbacks import SkipRestoredCalls
from tf_nqs.types import Tensor

REASONS = ("failed", "terminated", "interrupted", "time_limit", "early_stopping", "callback")
"""Why a training ends before its last iteration; of several reasons the first counts."""

_STRATEGIES = (tf.distribute.MirroredStrategy, tf.distribute.MultiWorkerMirroredStrategy)

Method = TypeVar("Method", bound=Callable)

_NOT_SAVED = (
    "a VariationalMonteCarlo has no configuration to save: use ansatz.save('name.keras') for the wave function, "
    "save_weights('name.weights.h5') for the state of the training, or tf_nqs.callbacks.RunCheckpoint to go on after "
    "a break"
)


def in_scope(method: Method) -> Method:
    """Lets a method of a trainer run in the scope of the strategy that the trainer was made in.

    It then raises a `LostWorkerError` where another process of the strategy has gone.
    """

    @functools.wraps(method)
    def run(self: ModelWithoutData, *arguments: Any, **named: Any) -> Any:
        if self.strategy is None:
            return method(self, *arguments, **named)
        with scope_of(self.strategy), lost_workers_told(lambda: n_processes() > 1):
            return method(self, *arguments, **named)

    return cast(Method, run)


def _supported(strategy: tf.distribute.Strategy | None) -> tf.distribute.Strategy | None:
    if strategy is not None and not isinstance(strategy, _STRATEGIES):
        allowed = "MirroredStrategy or MultiWorkerMirroredStrategy"
        raise ValueError(f"strategy = {type(strategy).__name__}: is not supported, must be {allowed}")
    return strategy


class _StopTogether(keras.callbacks.Callback):
    """Lets all processes end training after the same call: the last callback, so that it sees what the others want."""

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        del epoch, logs
        self.model.agree_to_stop()


class _OfIterator:
    """What Keras calls with an iterator over numbers of iterations, one for each call of `train_step`.

    Args:
        step: number of iterations -> what `train_step` returns.
    """

    def __init__(self, step: Callable[[Tensor], dict[str, Tensor]]):
        self.step = step

    def __call__(self, iterator: Iterator[Tensor]) -> dict[str, Tensor]:
        return self.step(next(iterator))


class _NoDistribution:
    """Stands for a strategy where Keras asks one to distribute data."""

    def experimental_distribute_dataset(self, data: tf.data.Dataset) -> tf.data.Dataset:
        return data


class ModelWithoutData(keras.Model):
    """Runs Keras' loop over calls of `train_step`, and refuses what Keras does with data or with a configuration.

    Attributes:
        strategy: the `tf.distribute` strategy that the trainer was made in, over whose replicas it spreads its walkers;
            None for one device.
        stop_reason: why the last training ended: "iterations", "callback" or the reason given to `stop`.
    """

    phases: Phases
    optimizer: keras.optimizers.Optimizer
    stop_training: bool
    run_eagerly: bool
    train_function: Any

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.strategy = _supported(strategy_in_scope())
        self._distribute_strategy = None  # Keras would ask it to distribute data, and run the whole step in a replica
        self.stop_reason = "iterations"

    def stop(self, reason: str) -> None:
        """Ends training after this call of `train_step`; only the first reason counts.

        `stop_training = True`, Keras' own way, ends it too, for the reason "callback".

        Args:
            reason: early_stopping, time_limit, failed, interrupted or terminated.
        """
        if not self.stop_training:
            self.stop_reason = reason
        self.stop_training = True

    def agree_to_stop(self) -> None:
        """Ends training in all processes where it is to end in one of them; called by all after the same call."""
        if n_processes() == 1:
            return
        own = self.stop_reason if self.stop_reason in REASONS else "callback"
        found = numbers_together([self.stop_training and own == reason for reason in REASONS])
        for reason, number in zip(REASONS, found, strict=True):
            if number:
                self.stop_training, self.stop_reason = True, "iterations" if reason == "callback" else reason
                return

    def continue_training(self) -> None:
        """Cancels a `stop` that has not ended the training yet."""
        self.stop_training, self.stop_reason = False, "iterations"

    @contextlib.contextmanager
    def calling(self, phases: Phases) -> Iterator[None]:
        """Lets `fit` call the phases one by one from Python, inside the `with` block.

        Args:
            phases: called instead of the trainer's own; they must do the same.
        """
        kept = self.phases, self.run_eagerly, self.train_function
        self.phases, self.run_eagerly, self.train_function = phases, True, None
        try:
            yield
        finally:
            self.phases, self.run_eagerly, self.train_function = kept

    def _check_compiled(self) -> None:
        if not self.compiled:
            raise RuntimeError("the trainer has no optimiser yet: call compile(optimizer=...) first")

    @in_scope
    def fit_calls(self, counts: list[int], callbacks: list[keras.callbacks.Callback]) -> History:
        """Returns the history of Keras' `fit`, with one epoch per call of `train_step`.

        Args:
            counts: number of iterations of each call.
            callbacks: Keras callbacks.
        """
        self._initial_epoch = None  # BackupAndRestore of an earlier training may have set it
        skipped = None
        if any(isinstance(callback, keras.callbacks.BackupAndRestore) for callback in callbacks):
            skipped = outside_scope(lambda: tf.Variable(0, dtype=tf.int64))  # data cannot read one of a strategy
            callbacks = [*callbacks, SkipRestoredCalls(skipped)]
        self.stop_reason = "iterations"
        if n_processes() > 1:
            callbacks = [*callbacks, _StopTogether()]
        options = {"callbacks": callbacks, "verbose": 0, "shuffle": False}
        data = dataset_of(counts, skipped)
        history = keras.Model.fit(self, data, epochs=len(counts), steps_per_epoch=1, **options)
        if self.stop_training and self.stop_reason == "iterations":
            self.stop_reason = "callback"
        return history

    @property
    def distribute_strategy(self) -> Any:
        """What Keras distributes the data by: nothing, as every process counts the iterations itself."""
        return _NoDistribution() if self.strategy else tf.distribute.get_strategy()

    def make_train_function(self, force: bool = False) -> None:
        """Makes what a call of `fit` runs: the graph of `train_step`, with its loop of iterations."""
        if self.train_function is None or force:
            self.use_step(self.train_step if self.run_eagerly else tf.function(self.train_step, autograph=False))

    def use_step(self, step: Callable[[Tensor], dict[str, Tensor]]) -> None:
        """Lets `fit` run a function in the place of `train_step`, until weights are frozen or released.

        Args:
            step: number of iterations -> what `train_step` returns.
        """
        self.train_function = _OfIterator(step)

    def step_of_none(self) -> tuple[Callable, tuple[Tensor, ...]]:
        """Returns what a call of `fit` runs, traced if it is ever traced, and its argument for no iterations.

        Not by Keras' `fit`, the end of which may write averages over the weights.
        """
        none = tf.constant(0)
        return self.train_step if self.run_eagerly else self.traced_step(none), (none,)

    def traced_step(self, n_iterations: Tensor) -> Traced:
        """Returns what a call of `fit` runs, traced."""
        self.make_train_function()
        if not hasattr(self.train_function.step, "get_concrete_function"):  # it was traced by another process
            self.make_train_function(force=True)
        return self.train_function.step.get_concrete_function(n_iterations)

    def train_on_batch(self, *data: Any, **kwargs: Any) -> None:
        """Refused: there are no batches."""
        raise TypeError("train_on_batch: training needs no data, use fit(iterations=1)")

    def test_on_batch(self, *data: Any, **kwargs: Any) -> None:
        """Refused: there are no batches."""
        raise TypeError("test_on_batch: measuring needs no data, use evaluate_energy()")

    def get_config(self) -> dict[str, Any]:
        """Refused: system and sampler may hold the user's functions, which no configuration can."""
        raise NotImplementedError(_NOT_SAVED)

    def save(self, filepath: Any, overwrite: bool = True, zipped: bool | None = None, **kwargs: Any) -> None:
        """Refused before Keras opens the file, see `get_config`."""
        del filepath, overwrite, zipped, kwargs
        raise NotImplementedError(_NOT_SAVED)

    def export(self, filepath: Any, *arguments: Any, **kwargs: Any) -> None:
        """Refused: what leaves Python is the wave function."""
        del filepath, arguments, kwargs
        raise NotImplementedError(
            "a VariationalMonteCarlo cannot be exported: use tf_nqs.export(ansatz, system, folder)"
        )
