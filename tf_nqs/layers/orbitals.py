"""The linear layer from features to orbitals."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from tf_nqs import defaults
from tf_nqs.layers.initializers import uniform_by_fan_in
from tf_nqs.types import Jet, Shape, Tensor
from tf_nqs.whole_numbers import whole_number


@keras.saving.register_keras_serializable("tf_nqs")
class OrbitalLayer(keras.layers.Layer):
    """Projects each particle's features on the orbitals of every determinant: M_i = h_i W_M + b.

    Args:
        n_orbitals: number of orbitals A of each determinant.
        n_determinants: number of determinants D.
        **kwargs: arguments of `keras.layers.Layer` (name, dtype, trainable).

    Call arguments:
        features: h, shape (n_walkers, n_particles, n_features).

    Returns:
        M, shape (n_walkers, n_determinants, n_particles, n_orbitals).

    Raises:
        ValueError: an argument is below 1.

    Reference: thesis, Eq. 8.
    """

    def __init__(self, n_orbitals: int, n_determinants: int = defaults.N_DETERMINANTS, **kwargs: Any):
        super().__init__(**kwargs)
        self.n_orbitals = whole_number("n_orbitals", n_orbitals, 1)
        self.n_determinants = whole_number("n_determinants", n_determinants, 1)

    def build(self, input_shape: Shape) -> None:
        start = uniform_by_fan_in(input_shape[-1])
        n_outputs = self.n_determinants * self.n_orbitals
        self.kernel = self.add_weight(shape=(input_shape[-1], n_outputs), initializer=start, name="kernel")
        self.bias = self.add_weight(shape=(n_outputs,), initializer=start, name="bias")

    def call(self, features: Tensor) -> Tensor:
        return self._by_determinant(tf.tensordot(features, self.kernel, 1) + self.bias)

    def forward_laplacian(self, jet: Jet) -> Jet:
        """Carries derivatives by the positions along; the map is linear.

        Args:
            jet: the features and their derivatives.

        Returns:
            Jet with value and laplacian (n_walkers, n_determinants, n_particles, n_orbitals) and jacobian
            (n_walkers, n_determinants, n_directions, n_particles, n_orbitals).
        """
        jacobian = self._by_determinant(tf.tensordot(jet.jacobian, self.kernel, 1))
        return Jet(
            self(jet.value),
            tf.transpose(jacobian, [0, 2, 1, 3, 4]),
            self._by_determinant(tf.tensordot(jet.laplacian, self.kernel, 1)),
        )

    def _by_determinant(self, outputs: Tensor) -> Tensor:
        """(..., particles, D * A) -> (..., D, particles, A)."""
        shape = tf.shape(outputs)
        split = tf.reshape(outputs, tf.concat([shape[:-1], [self.n_determinants, self.n_orbitals]], axis=0))
        split.set_shape((*outputs.shape[:-1], self.n_determinants, self.n_orbitals))
        rank = split.shape.rank
        return tf.transpose(split, [*range(rank - 3), rank - 2, rank - 3, rank - 1])

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (*input_shape[:-2], self.n_determinants, input_shape[-2], self.n_orbitals)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "n_orbitals": self.n_orbitals, "n_determinants": self.n_determinants}
