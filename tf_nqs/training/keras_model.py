"""A Keras model that is trained without data: a call of `train_step` is given its number of iterations."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf
from keras.callbacks import History

from tf_nqs.trainer import Phases
from tf_nqs.training.iterations import dataset_of
from tf_nqs.training.keras_callbacks import SkipRestoredCalls

_NOT_SAVED = (
    "a VariationalMonteCarlo has no configuration to save: use ansatz.save('name.keras') for the wave function, "
    "save_weights('name.weights.h5') for the state of the training, or tf_nqs.callbacks.RunCheckpoint to go on after "
    "a break"
)


class ModelWithoutData(keras.Model):
    """Runs Keras' loop over calls of `train_step`, and refuses what Keras does with data or with a configuration.

    Attributes:
        stop_reason: why the last training ended: "iterations", "callback" or the reason given to `stop`.
    """

    phases: Phases
    optimizer: keras.optimizers.Optimizer
    stop_training: bool
    run_eagerly: bool
    train_function: Any

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
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

    def fit_calls(self, counts: list[int], callbacks: list[keras.callbacks.Callback]) -> History:
        """Returns the history of Keras' `fit`, with one epoch per call of `train_step`.

        Args:
            counts: number of iterations of each call.
            callbacks: Keras callbacks.
        """
        self._initial_epoch = None  # BackupAndRestore of an earlier training may have set it
        skipped = None
        if any(isinstance(callback, keras.callbacks.BackupAndRestore) for callback in callbacks):
            skipped = tf.Variable(0, dtype=tf.int64)
            callbacks = [*callbacks, SkipRestoredCalls(skipped)]
        self.stop_reason = "iterations"
        options = {"callbacks": callbacks, "verbose": 0, "shuffle": False}
        data = dataset_of(counts, skipped)
        history = keras.Model.fit(self, data, epochs=len(counts), steps_per_epoch=1, **options)
        if self.stop_training and self.stop_reason == "iterations":
            self.stop_reason = "callback"
        return history

    def trace_train_step(self) -> None:
        """Traces a call of no iterations. Not by Keras' `fit`, the end of which may write averages over the weights."""
        self.make_train_function()
        self.train_function(iter(dataset_of([0])))

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
