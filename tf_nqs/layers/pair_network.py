"""The network of one distance: features of every pair of particles."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from tf_nqs import defaults
from tf_nqs.layers.condition_shift import shifted
from tf_nqs.layers.initializers import several_scales, uniform_by_fan_in
from tf_nqs.types import Shape, Tensor
from tf_nqs.whole_numbers import whole_number

N_TAILS = 2
"""Features that grow with the distance."""


class PairJet(NamedTuple):
    """Features of pairs with their derivatives by the distance r.

    Attributes:
        value: t(r), shape (..., features).
        first: dt/dr, same shape.
        second: d^2t/dr^2, same shape.
    """

    value: Tensor
    first: Tensor
    second: Tensor


@keras.saving.register_keras_serializable("tf_nqs")
class PairNetwork(keras.layers.Layer):
    """Features of a pair that depend on its signed distance r = x_i - x_j alone.

    With s = r/length:

    t_1 = tanh(k s + b),  t_(n+1) = t_n + tanh(t_n W_n + b_n), and two tails: ln(1 + s^2)/2 and sqrt(1 + s^2) - 1.

    The kernel k of the first layer starts with several scales, from 1/4 to 4, of both signs. The tails grow far out,
    where all tanh are constant: a bound state falls off exponentially, and no sum of bounded features does.

    Args:
        n_features: number of tanh features.
        n_layers: number of tanh layers.
        length: unit of the distances, in a_ho.
        **kwargs: arguments of `keras.layers.Layer` (name, dtype, trainable).

    Call arguments:
        distances: r in a_ho, any shape; (n_walkers, ...) where there is a shift.
        shift: added to the biases of all layers for each walker, shape (n_walkers, n_layers * n_features); None for no
            shift.

    Returns:
        t, shape (..., n_features + 2).

    Raises:
        ValueError: a number is below 1, or length is not positive and finite.
    """

    def __init__(
        self,
        n_features: int = defaults.N_PAIR_FEATURES,
        n_layers: int = defaults.N_PAIR_LAYERS,
        length: float = defaults.PAIR_LENGTH,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.n_features = whole_number("n_features", n_features, 1)
        self.n_layers = whole_number("n_layers", n_layers, 1)
        if not 0 < length < math.inf:
            raise ValueError(f"length = {length}: must be positive and finite")
        self.length = float(length)

    def build(self, input_shape: Shape) -> None:
        n_features, start = self.n_features, uniform_by_fan_in(self.n_features)
        self.scale = self.add_weight(shape=(n_features,), initializer=several_scales, name="scale")
        self.kernels, self.biases = [], []
        for layer in range(self.n_layers):
            bias_start = start if layer else uniform_by_fan_in(1)
            self.biases.append(self.add_weight(shape=(n_features,), initializer=bias_start, name=f"bias_{layer + 1}"))
        for layer in range(1, self.n_layers):
            shape = (n_features, n_features)
            self.kernels.append(self.add_weight(shape=shape, initializer=start, name=f"kernel_{layer + 1}"))

    def call(self, distances: Tensor, shift: Tensor | None = None) -> Tensor:
        return tf.concat(self._parts(distances, shift), axis=-1)

    def sums(self, distances: Tensor, shift: Tensor | None = None) -> Tensor:
        """Returns the sum of t over the last axis of the distances: the same as that of `call`, but faster.

        Args:
            distances: r in a_ho, shape (n_walkers, n_particles, n_others).
            shift: as in `call`.

        Returns:
            Shape (n_walkers, n_particles, n_features + 2).
        """
        return tf.concat([tf.reduce_sum(one, axis=-2) for one in self._parts(distances, shift)], axis=-1)

    def _parts(self, distances: Tensor, shift: Tensor | None) -> tuple[Tensor, Tensor]:
        """The tanh features, shape (..., n_features), and the tails, shape (..., 2)."""
        scaled = self._scaled(distances)
        first_bias, *biases = self._biases(shift)
        features = tf.tanh(_rows(scaled, shift) * self.scale + first_bias)
        for kernel, bias in zip(self.kernels, biases, strict=True):
            features = features + tf.tanh(_product(features, kernel) + bias)
        features = tf.reshape(features, (*_sizes(distances), self.n_features))
        return features, _tails(scaled).value

    def _scaled(self, distances: Tensor) -> Tensor:
        """s = r/length, which XLA computes once per pair.

        A difference of two positions is so cheap that XLA would compute it anew for each feature, although to find the
        two positions takes longer than the rest where A is no power of 2. It keeps the result of a division by a number
        that it cannot know before the call.
        """
        unknown = 0.0 * tf.stop_gradient(self.scale[0])
        return distances / (self.length + unknown)

    def _biases(self, shift: Tensor | None) -> list[Tensor]:
        """The bias of each layer, one per walker if there is a shift."""
        shifts = [None] * self.n_layers if shift is None else tf.split(shift, self.n_layers, axis=1)
        return [shifted(bias, one, 3) for bias, one in zip(self.biases, shifts, strict=True)]

    def derivatives(self, distances: Tensor, shift: Tensor | None = None) -> PairJet:
        """Returns the features and their derivatives by the distances.

        With t = tanh(z): t' = (1 - t^2) z' and t'' = (1 - t^2) (z'' - 2 t z'^2).

        Args:
            distances: r in a_ho, any shape.
            shift: as in `call`.
        """
        scaled = self._scaled(distances)
        first_bias, *biases = self._biases(shift)
        value = tf.tanh(_rows(scaled, shift) * self.scale + first_bias)
        first = (1 - value**2) * self.scale
        second = -2 * value * first * self.scale
        for kernel, bias in zip(self.kernels, biases, strict=True):
            output = tf.tanh(_product(value, kernel) + bias)
            slope = 1 - output**2
            inner = _product(first, kernel)
            second += slope * (_product(second, kernel) - 2 * output * inner**2)
            value, first = value + output, first + slope * inner
        shape, tails = (*_sizes(distances), self.n_features), _tails(scaled)
        parts = zip((value, first, second), tails, strict=True)
        value, first, second = (tf.concat([tf.reshape(one, shape), tail], axis=-1) for one, tail in parts)
        return PairJet(value, first / self.length, second / self.length**2)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (*input_shape, self.n_features + N_TAILS)

    def get_config(self) -> dict[str, Any]:
        own = {"n_features": self.n_features, "n_layers": self.n_layers, "length": self.length}
        return {**super().get_config(), **own}


def _sizes(distances: Tensor) -> list[int | Tensor]:
    """The sizes of all axes, as integers where they are known."""
    unknown = tf.shape(distances)
    return [unknown[axis] if size is None else size for axis, size in enumerate(distances.shape)]


def _rows(scaled: Tensor, shift: Tensor | None) -> Tensor:
    """The distances, one per row: (n_pairs, 1), or (n_walkers, pairs of a walker, 1) if there is a shift.

    XLA multiplies rows by a kernel two to three times faster than arrays of more axes.
    """
    return tf.reshape(scaled, (-1, 1) if shift is None else (_sizes(scaled)[0], -1, 1))


def _product(features: Tensor, kernel: Tensor) -> Tensor:
    """The features times a kernel, as a product of two matrices."""
    if features.shape.rank == 2:
        return tf.matmul(features, kernel)
    rows = tf.matmul(tf.reshape(features, (-1, features.shape[-1])), kernel)
    return tf.reshape(rows, (*_sizes(features)[:-1], kernel.shape[1]))


def _tails(scaled: Tensor) -> PairJet:
    """ln(1 + s^2)/2 and sqrt(1 + s^2) - 1 with their derivatives by s, written so that small s lose no digits."""
    square = scaled**2
    root = tf.sqrt(1 + square)
    return PairJet(
        tf.stack([0.5 * tf.math.log1p(square), square / (1 + root)], axis=-1),
        tf.stack([scaled / (1 + square), scaled / root], axis=-1),
        tf.stack([(1 - square) / (1 + square) ** 2, 1 / ((1 + square) * root)], axis=-1),
    )
