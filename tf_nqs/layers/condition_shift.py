"""The layer that tells a network which system of a family a walker belongs to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras
import tensorflow as tf

from tf_nqs import defaults
from tf_nqs.types import Shape, Tensor
from tf_nqs.whole_numbers import whole_number

Shifts = Mapping[str, Tensor]
"""Name of a layer -> shift of its pre-activations, shape (n_walkers, outputs of the layer)."""

NO_SHIFTS: Shifts = {}
"""Of a wave function of one system."""


@keras.saving.register_keras_serializable("tf_nqs")
class ConditionShift(keras.layers.Layer):
    """Shifts of the pre-activations of other layers, by the features c of a walker's system.

    s = [tanh(c K + b), c] W

    At a fixed system the shifts are constants, so that a member of a family is a wave function of one system, whose
    biases are b + s. The kernel W starts small: at first all members are nearly the same.

    Args:
        sizes: name of a layer -> number of its shifts.
        n_hidden: number of tanh units.
        **kwargs: arguments of `keras.layers.Layer` (name, dtype, trainable).

    Call arguments:
        features: c, shape (n_walkers, n_features).

    Returns:
        Name of a layer -> its shifts, shape (n_walkers, size).
    """

    def __init__(self, sizes: Mapping[str, int], n_hidden: int = defaults.N_CONDITION_FEATURES, **kwargs: Any):
        super().__init__(**kwargs)
        self.sizes = dict(sizes)
        self.n_hidden = whole_number("n_hidden", n_hidden, 1)

    def build(self, input_shape: Shape) -> None:
        n_features, n_outputs = input_shape[-1], sum(self.sizes.values())
        normal, small = (
            keras.initializers.RandomNormal(stddev=deviation, seed=keras.random.SeedGenerator())
            for deviation in (1.0, defaults.CONDITION_START * self.n_hidden**-0.5)
        )
        self.kernel = self.add_weight(shape=(n_features, self.n_hidden), initializer=normal, name="kernel")
        self.bias = self.add_weight(shape=(self.n_hidden,), initializer=normal, name="bias")
        shape = (self.n_hidden + n_features, n_outputs)
        self.output_kernel = self.add_weight(shape=shape, initializer=small, name="output_kernel")

    def call(self, features: Tensor) -> dict[str, Tensor]:
        hidden = tf.tanh(tf.matmul(features, self.kernel) + self.bias)
        shifts = tf.matmul(tf.concat([hidden, features], axis=1), self.output_kernel)
        return dict(zip(self.sizes, tf.split(shifts, list(self.sizes.values()), axis=1), strict=True))

    def compute_output_shape(self, input_shape: Shape) -> dict[str, Shape]:
        return {name: (input_shape[0], size) for name, size in self.sizes.items()}

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "sizes": dict(self.sizes), "n_hidden": self.n_hidden}


def with_shift(method: Callable[..., Any], features: Any, shift: Tensor | None) -> Any:
    """Calls a layer, or a method of one, with a shift if there is one: layers of the user's own may not know of it."""
    return method(features) if shift is None else method(features, shift)


def shifted(bias: Tensor, shift: Tensor | None, rank: int) -> Tensor:
    """Returns a bias, or one per walker.

    Args:
        bias: shape (features,).
        shift: shape (n_walkers, features); None for no shift.
        rank: of the pre-activations, (n_walkers, ..., features).
    """
    if shift is None:
        return bias
    return bias + tf.reshape(shift, (-1, *[1] * (rank - 2), shift.shape[-1]))
