"""How a training is cut into calls of compiled iterations."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import tensorflow as tf


def call_lengths(iterations: int, iterations_per_call: int, periods: Iterable[int] = ()) -> list[int]:
    """Returns the number of iterations of each call: as many as allowed, but a call ends at every multiple of a period.

    Args:
        iterations: of all calls together.
        iterations_per_call: of one call at most.
        periods: e.g. the windows of callbacks, which want to see the model as each window leaves it.

    Returns:
        Numbers of at least 1 whose sum is `iterations`.
    """
    ends = {iterations}.union(*(range(period, iterations, period) for period in periods))
    lengths, start = [], 0
    for end in sorted(ends):
        full, rest = divmod(end - start, iterations_per_call)
        lengths += [iterations_per_call] * full + [rest] * (rest > 0)
        start = end
    return lengths


def dataset_of(lengths: list[int]) -> tf.data.Dataset:
    """Returns the lengths of calls as what Keras' `fit` iterates over."""
    options = tf.data.Options()
    # There is nothing to tune, and its thread made one fit in seven run on a single core (measured on two).
    options.autotune.enabled = False
    return tf.data.Dataset.from_tensor_slices(np.array(lengths, np.int32)).with_options(options)
