"""A way around a fault of oneDNN, which TensorFlow multiplies matrices by on the CPU."""

from __future__ import annotations

import tensorflow as tf

from tf_nqs.types import LogAbsPsi, Tensor


def with_each_row_twice(log_abs_psi: LogAbsPsi) -> LogAbsPsi:
    """Returns the same function, computed on every walker and a copy of it.

    To differentiate ln|Psi| of each walker by the parameters, a batch of one walker is vectorised: its tensors get one
    more axis in front of their first one, of size 1. In TensorFlow 2.21 a float32 product of such a tensor, of shape
    (n, 1, A, H), and a matrix (H, K), as `keras.layers.EinsumDense` and `MultiHeadAttention` form it, writes outside
    of its memory on CPUs with AVX-512: the interpreter dies. With a first axis of size 2 it does not. XLA has kernels
    of its own and needs no such detour.

    Args:
        log_abs_psi: callable, (n_walkers, n_particles) -> (n_walkers,), each walker on its own.
    """

    def of_copies(positions: Tensor) -> Tensor:
        return log_abs_psi(tf.repeat(positions, 2, axis=0))[::2]

    return of_copies
