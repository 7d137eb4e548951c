"""The permutation-equivariant layer."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from tf_nqs.layers.condition_shift import shifted
from tf_nqs.layers.initializers import uniform_by_fan_in
from tf_nqs.layers.separable_jet import SeparableJet
from tf_nqs.types import Jet, Shape, Tensor
from tf_nqs.whole_numbers import whole_number


@keras.saving.register_keras_serializable("tf_nqs")
class EquivariantLayer(keras.layers.Layer):
    """One layer shared by all particles, which sees each particle's features and their mean over particles.

    h'_i = tanh(h_i W_self + mean_j(h_j) W_mean + b) [+ h_i]

    which equals the thesis' tanh([h_i, mean(h)] W + b) with W cut into two halves: the mean's product is then
    needed once per walker instead of once per particle.

    Args:
        n_features: number of outputs H of each particle.
        residual: whether h_i is added to the output; the inputs must then have n_features features.
        **kwargs: arguments of `keras.layers.Layer` (name, dtype, trainable).

    Call arguments:
        features: h, shape (n_walkers, n_particles, n_inputs).
        shift: added to b for each walker, shape (n_walkers, n_features); None for no shift.

    Returns:
        h', shape (n_walkers, n_particles, n_features).

    Raises:
        ValueError: n_features is below 1, or a residual layer gets another number of inputs than n_features.

    Reference: thesis, Eqs. 4-7.
    """

    def __init__(self, n_features: int, residual: bool = True, **kwargs: Any):
        super().__init__(**kwargs)
        self.n_features = whole_number("n_features", n_features, 1)
        self.residual = residual

    def build(self, input_shape: Shape) -> None:
        n_inputs = input_shape[-1]
        if self.residual and n_inputs != self.n_features:
            raise ValueError(f"residual = True: needs {self.n_features} input features, got {n_inputs}")
        self.n_inputs = n_inputs
        start = uniform_by_fan_in(2 * n_inputs)
        self.kernel = self.add_weight(shape=(2 * n_inputs, self.n_features), initializer=start, name="kernel")
        self.bias = self.add_weight(shape=(self.n_features,), initializer=start, name="bias")

    @property
    def _own_kernel(self) -> Tensor:
        return self.kernel[: self.n_inputs]

    @property
    def _shared_kernel(self) -> Tensor:
        return self.kernel[self.n_inputs :]

    def _linear(self, features: Tensor) -> Tensor:
        """h_i W_self + mean_j(h_j) W_mean over the axes (..., particles, features)."""
        # Sums of slices and products with a single feature become parts of XLA's loops over all walkers; a reduction
        # over the particles and a matrix product would not (5 to 10 % of an iteration).
        mean = tf.add_n(tf.split(features, features.shape[-2], axis=-2)) / features.shape[-2]
        if self.n_inputs == 1:
            return features * self._own_kernel[0] + mean * self._shared_kernel[0]
        return tf.tensordot(features, self._own_kernel, 1) + tf.tensordot(mean, self._shared_kernel, 1)

    def call(self, features: Tensor, shift: Tensor | None = None) -> Tensor:
        output = tf.tanh(self._linear(features) + shifted(self.bias, shift, 3))
        return output + features if self.residual else output

    def forward_laplacian_of_positions(self, positions: Tensor, shift: Tensor | None = None) -> SeparableJet:
        """Returns the output and its derivatives, if the features h_i are the positions x_i themselves.

        z_i = x_i w + mean_j(x_j) u + b has the constant derivatives d_k z_i = delta_ik w + u/A, and no second ones.

        Args:
            positions: x in a_ho, shape (n_walkers, n_particles).
            shift: as in `call`.
        """
        n_particles, features = positions.shape[1], positions[:, :, None]
        output = tf.tanh(self._linear(features) + shifted(self.bias, shift, 3))
        slope = 1 - output**2
        own, shared = self._own_kernel[0], self._shared_kernel[0] / n_particles
        square = (own + shared) ** 2 + (n_particles - 1) * shared**2
        laplacian = -2 * output * slope * square
        result = SeparableJet(value=output, own=slope * own, shared=slope * shared, laplacian=laplacian)
        return result._replace(value=output + features, own=result.own + 1) if self.residual else result

    def forward_laplacian_of_separable(self, jet: SeparableJet, shift: Tensor | None = None) -> Jet:
        """Carries derivatives along where d_k h_i = delta_ik P_i + Q_i, by products with 2A instead of A^2 terms.

        d_k z_i = delta_ik p_i + q_i + r_k with p_i = P_i W_self, q_i = Q_i W_self + mean_j(Q_j) W_mean and
        r_k = P_k W_mean/A; with m the mean of r over particles,

        sum_k (d_k z_i)^2 = A (q_i + m)^2 + sum_k (r_k - m)^2 + p_i (p_i + 2 q_i + 2 r_i).

        Args:
            jet: the features and their derivatives.
            shift: as in `call`.

        Returns:
            The output and its derivatives.
        """
        n_particles = jet.value.shape[1]
        output = tf.tanh(self._linear(jet.value) + shifted(self.bias, shift, 3))
        slope = 1 - output**2
        own, shared = tf.tensordot(jet.own, self._own_kernel, 1), self._linear(jet.shared)
        by_other = tf.tensordot(jet.own, self._shared_kernel / n_particles, 1)
        mean = tf.reduce_mean(by_other, axis=1, keepdims=True)
        squares = n_particles * (shared + mean) ** 2 + tf.reduce_sum((by_other - mean) ** 2, axis=1, keepdims=True)
        squares += own * (own + 2 * (shared + by_other))
        laplacian = slope * (self._linear(jet.laplacian) - 2 * output * squares)
        result = SeparableJet(value=output, own=slope * own, shared=slope * shared, laplacian=laplacian)
        if self.residual:
            result = SeparableJet(*(new + old for new, old in zip(result, jet, strict=True)))
        return result.expanded(slope[:, None] * by_other[:, :, None])

    def forward_laplacian(self, jet: Jet, shift: Tensor | None = None) -> Jet:
        """Carries derivatives by the positions along: with t = tanh(z), t' = 1 - t^2 and t'' = -2 t t'.

        d_k t = t' d_k z,    lap t = t' lap z + t'' sum_k (d_k z)^2.

        Args:
            jet: the features and their derivatives.
            shift: as in `call`.

        Returns:
            The output and its derivatives.

        Reference: Li et al., Nat. Mach. Intell. 6, 209 (2024).
        """
        output = tf.tanh(self._linear(jet.value) + shifted(self.bias, shift, 3))
        slope = 1 - output**2
        jacobian = self._linear(jet.jacobian)
        curvature = -2 * output * tf.reduce_sum(jacobian**2, axis=1)
        result = Jet(output, slope[:, None] * jacobian, slope * (self._linear(jet.laplacian) + curvature))
        return Jet(*(new + old for new, old in zip(result, jet, strict=True))) if self.residual else result

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (*input_shape[:-1], self.n_features)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "n_features": self.n_features, "residual": self.residual}
