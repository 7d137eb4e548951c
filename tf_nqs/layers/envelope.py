"""The Gaussian envelope, in the log domain."""

from __future__ import annotations

from typing import Any

import keras

from tf_nqs import defaults
from tf_nqs.types import Shape, Tensor
from tf_nqs.whole_numbers import whole_number


@keras.saving.register_keras_serializable("tf_nqs")
class LogEnvelope(keras.layers.Layer):
    """The logarithm of the Gaussian by which each orbital vanishes far out: ln e_ij = -(x_i w_j)^2.

    The weights start at 1/sqrt(2), the oscillator's own envelope exp(-x^2/2).

    Args:
        n_orbitals: number of orbitals A of each determinant.
        n_determinants: number of determinants D.
        **kwargs: arguments of `keras.layers.Layer` (name, dtype, trainable).

    Call arguments:
        positions: x in a_ho, shape (n_walkers, n_particles).

    Returns:
        ln e, shape (n_walkers, n_determinants, n_particles, n_orbitals).

    Raises:
        ValueError: an argument is below 1.

    Reference: thesis, Eq. 9.
    """

    def __init__(self, n_orbitals: int, n_determinants: int = defaults.N_DETERMINANTS, **kwargs: Any):
        super().__init__(**kwargs)
        self.n_orbitals = whole_number("n_orbitals", n_orbitals, 1)
        self.n_determinants = whole_number("n_determinants", n_determinants, 1)

    def build(self, input_shape: Shape) -> None:
        self.inverse_width = self.add_weight(
            shape=(self.n_determinants, self.n_orbitals),
            initializer=keras.initializers.Constant(0.5**0.5),
            name="inverse_width",
        )

    def call(self, positions: Tensor) -> Tensor:
        return -((positions[:, None, :, None] * self.inverse_width[None, :, None, :]) ** 2)

    def derivatives(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Returns d ln e_ij / d x_i (n_walkers, n_determinants, n_particles, n_orbitals) and d^2 ln e_ij / d x_i^2.

        The second one does not depend on the positions: its shape is (1, n_determinants, 1, n_orbitals).

        Args:
            positions: x in a_ho, shape (n_walkers, n_particles).
        """
        second = -2 * self.inverse_width[None, :, None, :] ** 2
        return positions[:, None, :, None] * second, second

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (input_shape[0], self.n_determinants, input_shape[1], self.n_orbitals)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "n_orbitals": self.n_orbitals, "n_determinants": self.n_determinants}
