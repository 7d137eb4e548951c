"""The message that each particle gets from its pairs."""

from __future__ import annotations

import keras
import tensorflow as tf

from tf_nqs.layers.pair_layout import differences_to_others, with_diagonal
from tf_nqs.layers.pair_network import PairJet
from tf_nqs.types import Jet, Shape, Tensor


@keras.saving.register_keras_serializable("tf_nqs")
class PairMessages(keras.layers.Layer):
    """Gives each particle its position and the sum of its pairs' features: h_i = [x_i, sum_(j != i) t(x_i - x_j)].

    It has no weights. Arrays of pairs have one row per particle i and one column per other particle j.

    Args:
        **kwargs: arguments of `keras.layers.Layer` (name, dtype, trainable).

    Call arguments:
        positions: x in a_ho, shape (n_walkers, n_particles).
        sums: sum_(j != i) t(x_i - x_j), shape (n_walkers, n_particles, features).

    Returns:
        h, shape (n_walkers, n_particles, 1 + features).
    """

    def build(self, positions_shape: Shape, sums_shape: Shape) -> None:
        """Makes no weights."""

    def call(self, positions: Tensor, sums: Tensor) -> Tensor:
        return tf.concat([positions[:, :, None], sums], axis=-1)

    def forward_laplacian(self, positions: Tensor, pairs: PairJet) -> Jet:
        """Returns h and its derivatives by the positions.

        With m_i = sum_j t(x_i - x_j): d_k m_i = -t'(x_i - x_k) for k != i, d_i m_i = sum_j t'(x_i - x_j) and
        lap m_i = 2 sum_j t''(x_i - x_j).

        Args:
            positions: x in a_ho, shape (n_walkers, n_particles).
            pairs: t and its derivatives by r, shape (n_walkers, n_particles, n_particles - 1, features).
        """
        by_others = with_diagonal(-pairs.first, tf.reduce_sum(pairs.first, axis=2))
        own = tf.broadcast_to(
            tf.eye(positions.shape[1], dtype=by_others.dtype)[:, :, None], tf.shape(by_others[..., :1])
        )
        jacobian = tf.concat([own, tf.transpose(by_others, (0, 2, 1, 3))], axis=-1)
        laplacian = 2 * tf.reduce_sum(pairs.second, axis=2)
        laplacian = tf.concat([tf.zeros_like(positions)[:, :, None], laplacian], axis=-1)
        return Jet(self(positions, tf.reduce_sum(pairs.value, axis=2)), jacobian, laplacian)

    def derivatives_along(self, positions: Tensor, pairs: PairJet, direction: Tensor) -> Jet:
        """Returns h with its first and second derivative along one direction d of all positions.

        D m_i = sum_j t'(x_i - x_j) (d_i - d_j) and D^2 m_i = sum_j t''(x_i - x_j) (d_i - d_j)^2.

        Args:
            positions: x in a_ho, shape (n_walkers, n_particles).
            pairs: t and its derivatives by r, shape (n_walkers, n_particles, n_particles - 1, features).
            direction: d, shape (n_walkers, n_particles).

        Returns:
            Jet with one direction, and D^2 h as its laplacian.
        """
        opening = differences_to_others(direction)[..., None]
        first = tf.reduce_sum(pairs.first * opening, axis=2)
        second = tf.reduce_sum(pairs.second * opening**2, axis=2)
        jacobian = tf.concat([direction[:, :, None], first], axis=-1)[:, None]
        laplacian = tf.concat([tf.zeros_like(positions)[:, :, None], second], axis=-1)
        return Jet(self(positions, tf.reduce_sum(pairs.value, axis=2)), jacobian, laplacian)

    def compute_output_shape(self, positions_shape: Shape, sums_shape: Shape) -> Shape:
        return (*positions_shape, 1 + sums_shape[-1])
