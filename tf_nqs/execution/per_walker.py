"""Workaround for a bug of oneDNN, TensorFlow's library for matrix products on the CPU."""

from __future__ import annotations

import tensorflow as tf

from tf_nqs.types import LogAbsPsi, Tensor


def with_each_row_twice(log_abs_psi: LogAbsPsi) -> LogAbsPsi:
    """Returns the same function, computed on every walker and a copy of it.

    The derivatives of ln|Psi| of each walker by the parameters come from a vectorised function of one walker: its
    tensors have a further axis in front of a walker axis of size 1. In TensorFlow 2.21, the float32 product of such a
    tensor (n, 1, A, H) and a matrix (H, K), which `keras.layers.EinsumDense` and `MultiHeadAttention` compute, writes
    out of bounds on CPUs with AVX-512 and crashes the interpreter. With a walker axis of size 2 it works. XLA has its
    own kernels and needs no workaround.

    Args:
        log_abs_psi: callable, (n_walkers, n_particles) -> (n_walkers,); walkers do not depend on each other.
    """

    def of_copies(positions: Tensor) -> Tensor:
        return log_abs_psi(tf.repeat(positions, 2, axis=0))[::2]

    return of_copies
