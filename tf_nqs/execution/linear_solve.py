"""Solves a symmetric linear system, its Cholesky factorisation spread over the replicas of a strategy."""

from __future__ import annotations

import tensorflow as tf

from tf_nqs.execution.products import products_of_rows
from tf_nqs.execution.replicas import everywhere, gathered, n_replicas, own_rows, with_more_rows
from tf_nqs.types import Tensor

FEWEST_ROWS = 1024
"""The factorisation of a smaller matrix takes less time than the messages about its blocks."""


def solve_positive_definite(matrix: Tensor, right_side: Tensor) -> Tensor:
    """Returns M^-1 b by Cholesky factorisation, which reads the lower triangle of M alone.

    On several replicas M is cut into four blocks, (A, .) above (B, C), with A half as large. Every replica computes
    L = chol(A), then its rows of W = B L^-T, its share of W W^T, and chol(C - W W^T). The two steps in the middle are
    three quarters of the work.

    Args:
        matrix: M, shape (n_rows, n_rows), the same on all replicas.
        right_side: b, shape (n_rows,).

    Returns:
        Shape (n_rows,); NaN if M is not positive definite in floating point.

    Reference: Golub and Van Loan, Matrix Computations, 4th ed., Sec. 4.2.9 (block Cholesky).
    """
    n_rows = matrix.shape[0]
    if n_replicas() == 1 or n_rows < FEWEST_ROWS:
        return tf.linalg.cholesky_solve(tf.linalg.cholesky(matrix), right_side[:, None])[:, 0]
    half = n_rows // 2
    upper, lower = right_side[:half, None], right_side[half:, None]
    first = tf.linalg.cholesky(matrix[:half, :half])
    coupling = _rows_over_factor(matrix[half:, :half], first)
    second = tf.linalg.cholesky(matrix[half:, half:] - products_of_rows(coupling))
    upper = tf.linalg.triangular_solve(first, upper)
    lower = tf.linalg.cholesky_solve(second, lower - tf.matmul(coupling, upper))
    upper = tf.linalg.triangular_solve(first, upper - tf.matmul(coupling, lower, transpose_a=True), adjoint=True)
    return tf.concat([upper, lower], axis=0)[:, 0]


def _rows_over_factor(rows: Tensor, factor: Tensor) -> Tensor:
    """Returns B L^-T: its rows do not depend on each other, and each replica computes some of them."""
    n_rows = rows.shape[0]

    def in_replica(rows: Tensor, factor: Tensor) -> Tensor:
        own = own_rows(with_more_rows(rows, -n_rows % n_replicas()))
        return gathered([tf.transpose(tf.linalg.triangular_solve(factor, tf.transpose(own)))])[0][:n_rows]

    return everywhere(in_replica)(rows, factor)
