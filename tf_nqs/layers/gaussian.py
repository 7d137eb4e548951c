"""The Gaussian factor of a wave function of trapped particles, in the log domain."""

from __future__ import annotations

import keras
import tensorflow as tf

from tf_nqs.types import LogDerivatives, Shape, Tensor


@keras.saving.register_keras_serializable("tf_nqs")
class GaussianFactor(keras.layers.Layer):
    """The quadratic form g = -w^2/2 sum_i x_i^2 - u/A sum_(i<j) (x_i - x_j)^2; the factor is exp(g).

    Its weights w and u start at 1 and 0: the oscillator's own Gaussian exp(-sum_i x_i^2/2).

    Args:
        **kwargs: arguments of `keras.layers.Layer` (name, dtype, trainable).

    Call arguments:
        positions: x in a_ho, shape (n_walkers, n_particles).
        shift: added to w and u for each walker, shape (n_walkers, 2); None for no shift.

    Returns:
        g, shape (n_walkers,).
    """

    def build(self, input_shape: Shape) -> None:
        self.inverse_width = self.add_weight(shape=(), initializer="ones", name="inverse_width")
        self.pair_stiffness = self.add_weight(shape=(), initializer="zeros", name="pair_stiffness")

    def _weights(self, shift: Tensor | None) -> tuple[Tensor, Tensor]:
        """w and u, one of each per walker if there is a shift."""
        if shift is None:
            return tf.convert_to_tensor(self.inverse_width), tf.convert_to_tensor(self.pair_stiffness)
        return self.inverse_width + shift[:, 0], self.pair_stiffness + shift[:, 1]

    def call(self, positions: Tensor, shift: Tensor | None = None) -> Tensor:
        inverse_width, pair_stiffness = self._weights(shift)
        # sum_(i<j) (x_i - x_j)^2 = A sum_i (x_i - mean(x))^2
        squares = tf.reduce_sum(positions**2, axis=1)
        internal = tf.reduce_sum(_from_centre(positions) ** 2, axis=1)
        return -0.5 * inverse_width**2 * squares - pair_stiffness * internal

    def derivatives(self, positions: Tensor, shift: Tensor | None = None) -> tuple[LogDerivatives, Tensor]:
        """Returns gradient and Laplacian of g, and the quotient (d_i g - d_j g)/(x_i - x_j), the same for all pairs.

        Args:
            positions: x in a_ho, shape (n_walkers, n_particles).
            shift: as in `call`.

        Returns:
            Gradient (n_walkers, n_particles), and Laplacian and quotient: scalars, or (n_walkers,) if there is a shift.
        """
        n_particles = positions.shape[1]
        inverse_width, pair_stiffness = self._weights(shift)
        trap, pairs = -(inverse_width**2), -2 * pair_stiffness
        gradient = trap[..., None] * positions + pairs[..., None] * _from_centre(positions)
        return LogDerivatives(gradient, n_particles * trap + (n_particles - 1) * pairs), trap + pairs

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape[:1]


def _from_centre(positions: Tensor) -> Tensor:
    return positions - tf.reduce_mean(positions, axis=1, keepdims=True)
