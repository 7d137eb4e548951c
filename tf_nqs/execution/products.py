"""The products of all rows of a matrix with each other, spread over the replicas of a strategy.

Stripes of the product, and not kernel blocks, in which each replica multiplies its own rows by all rows: both need all
rows on all replicas, and stripes leave out what is above the diagonal. Milliseconds of CPU time for 2048 walkers and
8712 parameters, on one core:

| what | ms |
|---|---|
| the whole product | 397 |
| two stripes, the share of one of two replicas | 156 |
| kernel block of one of two replicas, 1024 x 2048 | 198 |
| the whole Cholesky factorisation in float64, see `tf_nqs.execution.linear_solve` | 191 |
| centring of the rows, on every replica | 54 |
| exchange of the rows, 36 MB for each replica | 110 |
"""

from __future__ import annotations

import tensorflow as tf

from tf_nqs.execution.replicas import everywhere, gathered, n_replicas, replica_number, some_rows, with_more_rows
from tf_nqs.types import Tensor


def products_of_rows(matrix: Tensor, of_columns: bool = False) -> Tensor:
    """Returns M M^T; on several replicas its lower triangle, and anything above it, which a Cholesky step never reads.

    There the rows of the product are cut into twice as many stripes as there are replicas. A stripe ends at the
    diagonal, so each replica takes two of them, a short one and a long one: all have the same work, and all together
    little more than half of that for the whole product.

    Args:
        matrix: M, shape (n_rows, n_columns), the same on all replicas.
        of_columns: whether it is M^T M instead.
    """
    if (n := n_replicas()) == 1:
        return tf.matmul(matrix, matrix, transpose_a=of_columns, transpose_b=not of_columns)
    n_rows = matrix.shape[1] if of_columns else matrix.shape[0]

    def in_replica(matrix: Tensor) -> Tensor:
        rows = tf.transpose(matrix) if of_columns else matrix
        rows, number = with_more_rows(rows, -n_rows % (2 * n)), replica_number()
        short, long = gathered([_stripe(rows, 2 * n, number), _stripe(rows, 2 * n, 2 * n - 1 - number)])
        from_top = tf.reverse(tf.reshape(long, (n, -1, long.shape[1])), [0])
        return tf.concat([short, tf.reshape(from_top, long.shape)], axis=0)[:n_rows, :n_rows]

    return everywhere(in_replica)(matrix)


def _stripe(rows: Tensor, n_stripes: int, index: Tensor) -> Tensor:
    """The products of a stripe of the rows with all rows to its end, and zeros: shape (n_rows / n_stripes, n_rows)."""
    n_rows = rows.shape[0]
    size = n_rows // n_stripes
    end = (index + 1) * size
    products = tf.matmul(some_rows(rows, index * size, size), rows[:end], transpose_b=True)
    return tf.ensure_shape(tf.pad(products, [[0, 0], [0, n_rows - end]]), (size, n_rows))
