"""Some rows of tensors of random numbers, without drawing the others."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from tf_nqs.execution.replicas import some_rows
from tf_nqs.types import Shape, Tensor

_BYTES_PER_STEP = 16
_AS_TENSORFLOW = 3
"""TensorFlow's number for the generator that it would take itself: Philox on CPUs and GPUs."""


class RowBlock(NamedTuple):
    """One of several equal blocks of the rows of tensors that have one row per walker, or per part of the walkers.

    TensorFlow's generator, Philox, is a function of a counter: each step gives four numbers of 32 bits or two of 64.
    So the rows of a block are drawn by starting it at their place. They are those of all rows, to the last bit.

    Attributes:
        index: which one, integer scalar.
        n_blocks: of how many.

    Reference: Salmon et al., Parallel random numbers: as easy as 1, 2, 3, SC11 (2011).
    """

    index: Tensor
    n_blocks: int

    def of(self, rows: Tensor) -> Tensor:
        """Returns the rows of a tensor (n_rows, ...), shape (n_rows / n_blocks, ...)."""
        size = rows.shape[0] // self.n_blocks
        return some_rows(rows, self.index * size, size)

    def normal(self, shape: Shape, seed: Tensor, dtype: str, place: int = 0) -> Tensor:
        """Returns the rows of `tf.random.stateless_normal(shape, seed, dtype=dtype)`.

        Args:
            shape: of all rows, (n_rows, ...).
            seed: stateless key, int32, shape (2,).
            dtype: "float32" or "float64".
            place: of this tensor among several, drawn with one key as a tensor (n_tensors, n_rows, ...).
        """
        return self._drawn(tf.raw_ops.StatelessRandomNormalV2, shape, seed, dtype, place)

    def uniform(self, shape: Shape, seed: Tensor, dtype: str = "float32") -> Tensor:
        """Returns the rows of `tf.random.stateless_uniform(shape, seed, dtype=dtype)`; arguments as for `normal`."""
        return self._drawn(tf.raw_ops.StatelessRandomUniformV2, shape, seed, dtype, 0)

    def _drawn(self, draw: Callable[..., Tensor], shape: Shape, seed: Tensor, dtype: str, place: int) -> Tensor:
        own = (shape[0] // self.n_blocks, *shape[1:])
        number, per_step = math.prod(own), _BYTES_PER_STEP // tf.as_dtype(dtype).size
        first = place * math.prod(shape) + tf.cast(self.index, tf.int64) * number
        key, counter = tf.raw_ops.StatelessRandomGetKeyCounter(seed=seed)
        low, high = tf.unstack(counter)
        counter = tf.stack([low + tf.cast(first // per_step, tf.uint64), high])
        numbers = draw(shape=[number + per_step], key=key, counter=counter, alg=_AS_TENSORFLOW, dtype=dtype)
        return tf.reshape(tf.slice(numbers, [first % per_step], [number]), own)
