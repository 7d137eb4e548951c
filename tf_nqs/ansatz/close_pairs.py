"""The term in which the gradients of two particles are subtracted and divided by their distance."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tf_nqs.layers.pair_layout import differences_to_others, with_diagonal
from tf_nqs.types import Tensor

_CLOSE = 0.3
"""A pair is close below this * eps^(1/5) of the length, 1.2e-2 of it in float32: there both errors are about equal."""


def sum_of_gradient_quotients(
    gradient: Tensor, positions: Tensor, length: float, curvature_along: Callable[[Tensor, Tensor], Tensor]
) -> Tensor:
    """Returns 2 sum_(i<j) (d_i J - d_j J)/(x_i - x_j) of a smooth symmetric function J.

    The quotient is finite as the pair closes, but eps |d_i J|/|x_i - x_j| of it is rounding noise. J does not change
    when the two particles trade places, so it is even in r = x_i - x_j, and with D = d_i - d_j

    (d_i J - d_j J)/r = 1/2 (D^2 J)(r/sqrt(3)) + O(r^4),

    the Gauss quadrature of the integral of D^2 J from 0 to r, which divides by nothing: D^2 J is taken where the two
    particles have come closer by the factor sqrt(3), around the same centre. This form is taken for the nearest pair
    of a walker where it is close. A second pair that is as close in the same walker keeps its rounding noise; samples
    of |Psi|^2 hold no such walkers. They hold very few with one such pair, so this form is computed only if there are.

    Args:
        gradient: d_i J, shape (n_walkers, n_particles).
        positions: x in a_ho, shape (n_walkers, n_particles), at least two particles.
        length: over which J changes along a pair's distance, in a_ho.
        curvature_along: computes D^2 J, shape (n_walkers,), at positions and along a direction of the same shape.

    Returns:
        Shape (n_walkers,).
    """
    distances = differences_to_others(positions)
    is_apart = distances != 0  # a pair that has met gets the limit
    quotients = differences_to_others(gradient) / tf.where(is_apart, distances, tf.ones_like(distances))
    total = tf.reduce_sum(quotients, axis=(1, 2))
    closest = float(length * _CLOSE * np.finfo(positions.dtype.as_numpy_dtype).eps ** 0.2)
    is_close = tf.reduce_min(tf.abs(distances), axis=(1, 2)) < closest

    def corrected() -> Tensor:
        nearest = _nearest_pair(tf.abs(distances))
        direction = tf.reduce_sum(nearest, axis=2) - tf.reduce_sum(
            with_diagonal(nearest, tf.zeros_like(positions)), axis=1
        )
        distance = tf.reduce_sum(nearest * distances, axis=(1, 2))
        nearer = positions - (0.5 - 0.5 / math.sqrt(3)) * distance[:, None] * direction
        change = curvature_along(nearer, direction) / 2 - tf.reduce_sum(nearest * quotients, axis=(1, 2))
        return total + 2 * tf.where(is_close, change, tf.zeros_like(change))

    return tf.cond(tf.reduce_any(is_close), corrected, lambda: total)


def _nearest_pair(distances: Tensor) -> Tensor:
    """Returns 1 for one ordered pair of each walker that is nearest, and 0 for the others, in the same shape."""
    flat = tf.reshape(distances, (tf.shape(distances)[0], int(np.prod(distances.shape[1:]))))
    nearest = tf.one_hot(tf.argmin(flat, axis=1), flat.shape[1], dtype=distances.dtype)
    return tf.reshape(nearest, tf.shape(distances))
