"""The antisymmetric factor of fermions on a line."""

from __future__ import annotations

import math
from typing import Any

import keras
import tensorflow as tf

from tf_nqs import defaults
from tf_nqs.layers.pair_layout import differences_to_others
from tf_nqs.physics.pairs import pair_differences
from tf_nqs.types import Shape, SignedLog, Tensor


@keras.saving.register_keras_serializable("tf_nqs")
class VandermondeFactor(keras.layers.Layer):
    """V = N prod_(i<j) sign(x_i - x_j) abs(x_i - x_j)^l, as its sign and ln|V|.

    The norm N is chosen so that V exp(-sum_i x_i^2/2) is normalised: it is the ground state of free fermions for
    l = 1, and of the Calogero interaction l (l - 1)/r^2 for any l.

    Args:
        exponent: l, at least 1.
        **kwargs: arguments of `keras.layers.Layer` (name, dtype, trainable).

    Call arguments:
        positions: x in a_ho, shape (n_walkers, n_particles).

    Returns:
        SignedLog of shape (n_walkers,): sign 0 and ln|V| = -inf where two particles meet.

    Raises:
        ValueError: exponent is below 1 or not finite.

    Reference: Calogero, J. Math. Phys. 12, 419 (1971); for N, Mehta's integral, Forrester and Warnaar,
        arXiv:0710.3981, Eq. 1.5.
    """

    def __init__(self, exponent: float = defaults.CONTACT_EXPONENT, **kwargs: Any):
        super().__init__(**kwargs)
        if not 1 <= exponent < math.inf:
            raise ValueError(f"exponent = {exponent}: must be finite and at least 1")
        self.exponent = float(exponent)

    def call(self, positions: Tensor) -> SignedLog:
        n_particles = positions.shape[1]
        distances = pair_differences(positions)
        # The sum of logarithms, not the logarithm of the product: the latter overflows for 64 particles.
        logs = tf.reduce_sum(tf.math.log(tf.abs(distances)), axis=1)
        log_norm = -0.5 * _log_mehta_integral(n_particles, self.exponent)
        return SignedLog(tf.reduce_prod(tf.sign(distances), axis=1), self.exponent * logs + log_norm)

    def gradient(self, positions: Tensor) -> Tensor:
        """Returns d_i ln|V| = l sum_(j != i) 1/(x_i - x_j), shape (n_walkers, n_particles)."""
        return self.exponent * tf.reduce_sum(1 / differences_to_others(positions), axis=2)

    def laplacian(self, positions: Tensor) -> Tensor:
        """Returns (lap V)/V = 2 l (l - 1) sum_(i<j) 1/(x_i - x_j)^2, shape (n_walkers,); zero for l = 1.

        The other terms of |grad ln|V||^2 + lap ln|V| cancel in every three particles.

        Args:
            positions: x in a_ho, shape (n_walkers, n_particles).
        """
        if self.exponent == 1:
            return tf.zeros_like(positions[:, 0])
        inverse_squares = tf.reduce_sum(differences_to_others(positions) ** -2, axis=(1, 2))
        return self.exponent * (self.exponent - 1) * inverse_squares

    def compute_output_shape(self, input_shape: Shape) -> SignedLog:
        return SignedLog(input_shape[:1], input_shape[:1])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "exponent": self.exponent}


def _log_mehta_integral(n_particles: int, exponent: float) -> float:
    """ln of the integral of prod_(i<j) abs(x_i - x_j)^(2l) exp(-sum_i x_i^2) over all x.

    It is pi^(A/2) 2^(-l A (A - 1)/2) prod_(j=1..A) Gamma(1 + j l)/Gamma(1 + l).
    """
    gammas = [math.lgamma(1 + j * exponent) - math.lgamma(1 + exponent) for j in range(1, n_particles + 1)]
    powers = n_particles / 2 * math.log(math.pi) - exponent * n_particles * (n_particles - 1) / 2 * math.log(2)
    return powers + math.fsum(gammas)
