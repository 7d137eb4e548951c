"""The last layer of a symmetric function."""

from __future__ import annotations

import keras
import tensorflow as tf

from tf_nqs.types import Jet, LogDerivatives, Shape, Tensor


@keras.saving.register_keras_serializable("tf_nqs")
class SymmetricHead(keras.layers.Layer):
    """Turns features of particles into one number: y = sum_i h_i . v. The kernel v starts at zero, and so does y.

    Args:
        **kwargs: arguments of `keras.layers.Layer` (name, dtype, trainable).

    Call arguments:
        features: h, shape (n_walkers, n_particles, features).

    Returns:
        y, shape (n_walkers,).
    """

    def build(self, input_shape: Shape) -> None:
        self.kernel = self.add_weight(shape=(input_shape[-1],), initializer="zeros", name="kernel")

    def call(self, features: Tensor) -> Tensor:
        return tf.tensordot(tf.reduce_sum(features, axis=-2), self.kernel, 1)

    def forward_laplacian(self, jet: Jet) -> tuple[Tensor, LogDerivatives]:
        """Carries derivatives by the positions along; the map is linear.

        Args:
            jet: the features and their derivatives.

        Returns:
            y, and its derivatives: d_k y of shape (n_walkers, n_directions) and lap y of shape (n_walkers,).
        """
        return self(jet.value), LogDerivatives(self(jet.jacobian), self(jet.laplacian))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape[:-2]
