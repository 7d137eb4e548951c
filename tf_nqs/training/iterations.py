"""How a training is cut into calls of compiled iterations."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import tensorflow as tf


def call_lengths(iterations: int, iterations_per_call: int, periods: Iterable[int] = (), done: int = 0) -> list[int]:
    """Returns the number of iterations of each call: as many as allowed, but a call ends at every multiple of a period.

    Args:
        iterations: of all calls together.
        iterations_per_call: of one call at most.
        periods: e.g. the windows of callbacks, which want to see the model as each window leaves it.
        done: iterations that are behind already; calls end where they would without this break.

    Returns:
        Numbers of at least 1 whose sum is `iterations - done`.
    """
    ends = {iterations}.union(*(range(period, iterations, period) for period in periods))
    lengths, start = [], 0
    for end in sorted(ends):
        full, rest = divmod(end - start, iterations_per_call)
        lengths += [iterations_per_call] * full + [rest] * (rest > 0)
        start = end
    return _without_first(lengths, done)


def _without_first(lengths: list[int], done: int) -> list[int]:
    """Returns the calls that are left after a number of their iterations."""
    left = []
    for length in lengths:
        left += [length - min(done, length)] * (length > done)
        done -= min(done, length)
    return left


def dataset_of(lengths: list[int], skipped: tf.Variable | None = None) -> tf.data.Dataset:
    """Returns the lengths of calls as what Keras' `fit` iterates over.

    Args:
        lengths: number of iterations of each call.
        skipped: how many calls are left out at the start, read when the first one is asked for; None for none.
    """
    options = tf.data.Options()
    # There is nothing to tune, and its thread made one fit in seven run on a single core (measured on two).
    options.autotune.enabled = False
    counts = np.array(lengths, np.int32)
    if skipped is None:
        return tf.data.Dataset.from_tensor_slices(counts).with_options(options)
    return tf.data.Dataset.range(len(counts)).map(lambda call: tf.gather(counts, call + skipped)).with_options(options)
