"""A Keras model that is trained without data: a call of `train_step` is given its number of iterations."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf
from keras.callbacks import History

from tf_nqs.training.iterations import dataset_of
from tf_nqs.training.keras_callbacks import SkipRestoredCalls

_NOT_SAVED = (
    "a VariationalMonteCarlo has no configuration to save: use ansatz.save('name.keras') for the wave function, "
    "save_weights('name.weights.h5') for the state of the training, or tf_nqs.callbacks.RunCheckpoint to go on after "
    "a break"
)


class ModelWithoutData(keras.Model):
    """Runs Keras' loop over calls of `train_step`, and refuses what Keras does with data or with a configuration."""

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
        options = {"callbacks": callbacks, "verbose": 0, "shuffle": False}
        return keras.Model.fit(self, dataset_of(counts, skipped), epochs=len(counts), steps_per_epoch=1, **options)

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
        """Refused: system and sampler may hold functions of one's own, which no configuration can."""
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
