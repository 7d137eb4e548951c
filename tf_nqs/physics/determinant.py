"""The signed logarithm of a sum of determinants, with exact first and second derivatives everywhere.

Psi = sum_d exp(s_d) det(phi_d) is kept as (sign, ln|Psi|). Two factorisations, both vectorised over walkers and
made of operations that XLA compiles:

* the value needs Gaussian elimination with partial pivoting, the cheapest stable one: the sampler calls it often;
* derivatives need every cofactor, also those of singular matrices, which occur when one of several determinants
  vanishes. There phi = X diag(p) Y with complete pivoting, X and Y well conditioned and only the pivots p small.
  In the basis B = X^-1 dphi Y^-1 the determinant's differentials hold no division at all:

      d det   = det X det Y  sum_i     B_ii                      prod_{k != i}    p_k
      d^2 det = det X det Y  sum_{i,j} (B_ii B_jj - B_ij B_ji)   prod_{k != i, j} p_k

  (the second one for a perturbation linear in its parameter). Singular matrices need no special case.

Inside this file walkers are the last axis, so that every operation is a long contiguous loop.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tf_nqs.types import SignedLog, Tensor


class DeterminantDerivatives(NamedTuple):
    """What the forward Laplacian returns: Psi, and its derivatives divided by Psi.

    Attributes:
        psi: the sign and ln|Psi|, shape (n_walkers,) each.
        gradient: (d_k Psi)/Psi, shape (n_walkers, n_directions).
        laplacian: sum_k (d_k^2 Psi)/Psi, shape (n_walkers,).
    """

    psi: SignedLog
    gradient: Tensor
    laplacian: Tensor


class _Factors(NamedTuple):
    """phi = X diag(pivots) Y of n matrices: X^-1 (A, A, n), Y^-1 (A, A, n), ln|pivots| (A, n), signs (A, n), (n,)."""

    inverse_left: Tensor
    inverse_right: Tensor
    log_pivots: Tensor
    pivot_signs: Tensor
    permutation_sign: Tensor


def signed_log_sum_of_determinants(matrices: Tensor, log_scales: Tensor) -> SignedLog:
    """Returns the sign and ln|.| of sum_d exp(s_d) det(phi_d); differentiable twice, for any rank of phi_d.

    Args:
        matrices: phi, shape (n_walkers, n_determinants, n_particles, n_particles).
        log_scales: s, shape (n_walkers, n_determinants).

    Returns:
        SignedLog of shape (n_walkers,); where the sum vanishes: sign 0, ln|.| = -inf, and finite derivatives.

    Reference: thesis, Sec. 2.3.1; Pfau et al., Phys. Rev. Research 2, 033429 (2020), App. C, for cofactors.
    """
    return SignedLog(*_signed_log_sum(matrices, log_scales))


@tf.custom_gradient
def _signed_log_sum(matrices: Tensor, log_scales: Tensor) -> tuple[tuple[Tensor, Tensor], Callable]:
    """The value, and d ln|Psi| = sum_d sign(Psi) exp(s_d - ln|Psi|) (d det_d + det_d ds_d)."""
    sign, log_abs = _combine(*_eliminate(matrices), log_scales)

    def gradient(_: Tensor, upstream: Tensor) -> tuple[Tensor, Tensor]:
        # Psi is formed again, in units of its value: a second derivative must also see how Psi itself changes.
        relative = log_scales - tf.stop_gradient(_finite(log_abs))[:, None]
        determinants, cofactors = _determinants_and_cofactors(matrices, relative)
        inverse = tf.math.reciprocal_no_nan(tf.reduce_sum(determinants, axis=1))
        factor = (upstream * tf.where(sign == 0, tf.zeros_like(inverse), inverse))[:, None]
        return factor[..., None, None] * cofactors, factor * determinants

    return (sign, log_abs), gradient


@tf.custom_gradient
def _determinants_and_cofactors(matrices: Tensor, log_scales: Tensor) -> tuple[tuple[Tensor, Tensor], Callable]:
    """exp(s) det(phi) and exp(s) d det(phi) / d phi, in the shapes of s and phi; see above for their gradients."""
    factors = _factorise(matrices)
    scales = _flat(log_scales)
    signs, log_abs = _signs_and_logs(factors)
    determinants = tf.reshape(signs * tf.exp(log_abs + scales), tf.shape(log_scales))
    cofactors = _walkers_first(_rotate_back(_as_diagonal(_minors(factors, scales)), factors), matrices)

    def gradient(of_determinants: Tensor, of_cofactors: Tensor) -> tuple[Tensor, Tensor]:
        rotated = _rotate(_walkers_last(of_cofactors), factors)
        diagonal, pair_minors = _diagonal(rotated), _pair_minors(factors, scales)
        contracted = _as_diagonal(tf.reduce_sum(pair_minors * diagonal[None], axis=1)) - pair_minors * _transpose(
            rotated
        )
        second = _walkers_first(_rotate_back(contracted, factors), matrices)
        of_scales = of_determinants * determinants + tf.reduce_sum(of_cofactors * cofactors, axis=(-2, -1))
        return of_determinants[..., None, None] * cofactors + second, of_scales

    return (determinants, cofactors), gradient


def sum_of_determinants_derivatives(
    matrices: Tensor, jacobian: Tensor, laplacian: Tensor, log_scales: Tensor
) -> DeterminantDerivatives:
    """Carries value, gradient and Laplacian through Psi = sum_d exp(s_d) det(phi_d), with s_d held constant.

    sum_k d_k^2 Psi = sum_d exp(s_d) (d det[sum_k d_k^2 phi] + sum_k d^2 det[d_k phi, d_k phi]).

    Everything is divided by Psi as it is formed, so that the local kinetic energy -1/2 (lap Psi)/Psi never
    appears as a difference of two terms that diverge at a node.

    Args:
        matrices: phi, shape (n_walkers, n_determinants, n_particles, n_particles).
        jacobian: d_k phi, shape (n_walkers, n_determinants, n_directions, n_particles, n_particles).
        laplacian: sum_k d_k^2 phi, shape of `matrices`.
        log_scales: s, shape (n_walkers, n_determinants).

    Returns:
        DeterminantDerivatives.

    Reference: Li et al., Nat. Mach. Intell. 6, 209 (2024), arXiv:2307.08214, for the forward Laplacian.
    """
    n_determinants = matrices.shape[1]
    factors = _factorise(matrices)
    shape = tf.shape(log_scales)
    signs, log_abs = _signs_and_logs(factors)
    psi = SignedLog(*_combine(tf.reshape(signs, shape), tf.reshape(log_abs, shape), log_scales))

    # Psi is formed again, in units of its value: far out, ln|Psi| has too few digits for what is divided by it.
    scales = _flat(log_scales - _finite(psi.log_abs_psi)[:, None])
    own = tf.reduce_sum(tf.reshape(signs * tf.exp(log_abs + scales), shape), axis=1)
    inverse = tf.where(psi.sign == 0, tf.zeros_like(own), tf.math.reciprocal_no_nan(own))
    minors, pair_minors = _minors(factors, scales), _pair_minors(factors, scales)
    first = _diagonal(_rotate(_walkers_last(laplacian), factors))
    second = tf.reduce_sum(first * minors, axis=0)
    gradient = []
    for direction in range(jacobian.shape[2]):
        rotated = _rotate(_walkers_last(jacobian[:, :, direction]), factors)
        diagonal = _diagonal(rotated)
        pairs = diagonal[:, None] * diagonal[None] - rotated * _transpose(rotated)
        gradient.append(tf.reduce_sum(diagonal * minors, axis=0))
        second += tf.reduce_sum(pair_minors * pairs, axis=(0, 1))

    def over_psi(values: Tensor) -> Tensor:
        return inverse * tf.reduce_sum(tf.reshape(values, (-1, n_determinants)), axis=1)

    return DeterminantDerivatives(psi, tf.stack([over_psi(g) for g in gradient], axis=1), over_psi(second))


def _combine(signs: Tensor, log_abs: Tensor, log_scales: Tensor) -> tuple[Tensor, Tensor]:
    """Sign and ln|.| of sum_d signs_d exp(log_abs_d + log_scales_d), over the last axis, free of overflow."""
    exponents = log_abs + log_scales
    largest = _finite(tf.reduce_max(exponents, axis=-1))
    total = tf.reduce_sum(signs * tf.exp(exponents - largest[..., None]), axis=-1)
    return tf.sign(total), largest + tf.math.log(tf.abs(total))


def _eliminate(matrices: Tensor) -> tuple[Tensor, Tensor]:
    """Signs and ln|det| by Gaussian elimination with partial pivoting, shapes (n_walkers, n_determinants)."""
    work = _walkers_last(matrices)
    sign = tf.ones_like(work[0, 0])
    log_abs = tf.zeros_like(sign)
    for n_rows in range(work.shape[0], 0, -1):
        order = tf.range(n_rows, dtype=tf.int32)[:, None]
        largest = tf.argmax(tf.abs(work[:, 0]), axis=0, output_type=tf.int32)
        pivot_row = tf.reduce_sum(tf.where((order == largest)[:, None], work, tf.zeros_like(work)), axis=0)
        pivot = pivot_row[0]
        sign *= tf.sign(pivot) * tf.where(largest > 0, -tf.ones_like(sign), tf.ones_like(sign))
        log_abs += tf.math.log(tf.abs(pivot))
        others = tf.where((order[1:] == largest)[:, None], work[:1], work[1:])
        factors = others[:, 0] * tf.math.reciprocal_no_nan(pivot)
        work = others[:, 1:] - factors[:, None] * pivot_row[1:]
    shape = tf.shape(matrices)[:2]
    return tf.reshape(sign, shape), tf.reshape(log_abs, shape)


def _factorise(matrices: Tensor) -> _Factors:
    """phi = X diag(pivots) Y by elimination with complete pivoting; rows and columns are marked used, not swapped."""
    work = _walkers_last(matrices)
    n, dtype = work.shape[0], work.dtype
    left = right = tf.eye(n, dtype=dtype)[..., None] + tf.zeros_like(work)
    free_rows = free_columns = tf.ones_like(work[0])
    sign = tf.ones_like(work[0, 0])
    pivots, inverse_left, inverse_right = [], [], []
    order = tf.range(n, dtype=tf.int32)[:, None]
    for _ in range(n):
        candidates = tf.where(free_rows[:, None] * free_columns[None] > 0, tf.abs(work), -tf.ones_like(work))
        largest = tf.argmax(tf.reshape(candidates, (n * n, -1)), axis=0, output_type=tf.int32)
        is_row = tf.cast(order == largest // n, dtype)
        is_column = tf.cast(order == largest % n, dtype)
        # The parity of both permutations: how many free rows (columns) stand before the chosen one.
        before = tf.reduce_sum(free_rows * tf.cast(order < largest // n, dtype), axis=0)
        before += tf.reduce_sum(free_columns * tf.cast(order < largest % n, dtype), axis=0)
        sign *= 1 - 2 * tf.math.floormod(before, 2)
        free_rows, free_columns = free_rows - is_row, free_columns - is_column

        row = tf.reduce_sum(is_row[:, None] * work, axis=0)
        column = tf.reduce_sum(is_column[None] * work, axis=1)
        pivot = tf.reduce_sum(is_column * row, axis=0)
        inverse = tf.math.reciprocal_no_nan(pivot)
        row_factors = free_rows * column * inverse
        column_factors = free_columns * row * inverse
        left_row = tf.reduce_sum(is_row[:, None] * left, axis=0)
        right_column = tf.reduce_sum(is_column[None] * right, axis=1)
        work -= row_factors[:, None] * row[None]
        left -= row_factors[:, None] * left_row[None]
        right -= right_column[:, None] * column_factors[None]
        pivots.append(pivot)
        inverse_left.append(left_row)
        inverse_right.append(right_column)
    pivots = tf.stack(pivots)
    # A vanishing pivot counts as a tiny one: products without it are exact, those with it negligible, 1/p finite.
    tiny = 64 * np.finfo(dtype.as_numpy_dtype).tiny
    log_pivots = tf.math.log(tf.maximum(tf.abs(pivots), tiny))
    return _Factors(
        inverse_left=tf.stack(inverse_left),
        inverse_right=tf.stack(inverse_right, axis=1),
        log_pivots=log_pivots,
        pivot_signs=tf.sign(pivots),
        permutation_sign=sign,
    )


def _signs_and_logs(factors: _Factors) -> tuple[Tensor, Tensor]:
    """Sign and ln|.| of det(phi), shape (n,) each."""
    signs = tf.reduce_prod(factors.pivot_signs, axis=0) * factors.permutation_sign
    return signs, tf.reduce_sum(factors.log_pivots, axis=0)


def _minors(factors: _Factors, scales: Tensor) -> Tensor:
    """exp(s) det X det Y prod_{k != i} p_k, shape (A, n)."""
    signs = _nonzero_signs(factors)
    log_minors = scales + tf.reduce_sum(factors.log_pivots, axis=0) - factors.log_pivots
    return factors.permutation_sign * tf.reduce_prod(signs, axis=0) * signs * tf.exp(log_minors)


def _pair_minors(factors: _Factors, scales: Tensor) -> Tensor:
    """exp(s) det X det Y prod_{k != i, j} p_k for i != j, and 0 for i = j; shape (A, A, n)."""
    signs = _nonzero_signs(factors)
    log_pairs = factors.log_pivots[:, None] + factors.log_pivots[None]
    log_minors = scales + tf.reduce_sum(factors.log_pivots, axis=0) - log_pairs
    signs = factors.permutation_sign * tf.reduce_prod(signs, axis=0) * signs[:, None] * signs[None]
    # The diagonal goes before exponentiation, where 1/p_i^2 might overflow.
    is_diagonal = tf.eye(log_minors.shape[0], dtype=tf.bool)[..., None]
    return signs * tf.exp(tf.where(is_diagonal, tf.cast(-np.inf, log_minors.dtype), log_minors))


def _nonzero_signs(factors: _Factors) -> Tensor:
    return tf.where(factors.pivot_signs < 0, -tf.ones_like(factors.pivot_signs), tf.ones_like(factors.pivot_signs))


def _rotate(matrix: Tensor, factors: _Factors) -> Tensor:
    """B = X^-1 matrix Y^-1, all (A, A, n)."""
    return _matmul(_matmul(factors.inverse_left, matrix), factors.inverse_right)


def _rotate_back(matrix: Tensor, factors: _Factors) -> Tensor:
    """X^-T matrix Y^-T, the adjoint of `_rotate`."""
    return _matmul(_matmul(_transpose(factors.inverse_left), matrix), _transpose(factors.inverse_right))


def _matmul(a: Tensor, b: Tensor) -> Tensor:
    """Matrix product of (A, A, n) with (A, A, n)."""
    return tf.reduce_sum(a[:, :, None] * b[None], axis=1)


def _transpose(matrix: Tensor) -> Tensor:
    return tf.transpose(matrix, [1, 0, 2])


def _diagonal(matrix: Tensor) -> Tensor:
    return tf.stack([matrix[i, i] for i in range(matrix.shape[0])])


def _as_diagonal(values: Tensor) -> Tensor:
    return tf.eye(values.shape[0], dtype=values.dtype)[..., None] * values[None]


def _flat(values: Tensor) -> Tensor:
    return tf.reshape(values, (-1,))


def _walkers_last(matrices: Tensor) -> Tensor:
    """(n_walkers, n_determinants, A, A) -> (A, A, n_walkers * n_determinants)."""
    n_particles = matrices.shape[-1]
    return tf.transpose(tf.reshape(matrices, (-1, n_particles, n_particles)), [1, 2, 0])


def _walkers_first(flat: Tensor, like: Tensor) -> Tensor:
    """The inverse of `_walkers_last`, to the shape of `like`."""
    return tf.reshape(tf.transpose(flat, [2, 0, 1]), tf.shape(like))


def _finite(values: Tensor) -> Tensor:
    """Infinities replaced by 0: where Psi vanishes its derivatives are given unscaled, hence finite."""
    return tf.where(tf.math.is_finite(values), values, tf.zeros_like(values))
