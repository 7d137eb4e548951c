"""The log-envelope signed determinant."""

from __future__ import annotations

import math

import keras
import tensorflow as tf

from tf_nqs.physics.determinant import signed_log_sum_of_determinants, sum_of_determinants_derivatives
from tf_nqs.types import Jet, LogDerivatives, Shape, SignedLog, Tensor


@keras.saving.register_keras_serializable("tf_nqs")
class SlaterDeterminant(keras.layers.Layer):
    """Psi = (A!)^(-1/2) sum_d det(M_d * e_d), as its sign and ln|Psi|; * is the element-wise product.

    The largest log-envelope of each row goes in front of the determinant before exponentiation, so that a
    particle far out neither underflows nor spoils the others.

    Args:
        **kwargs: arguments of `keras.layers.Layer` (name, dtype, trainable).

    Call arguments:
        orbitals: M, shape (n_walkers, n_determinants, n_particles, n_particles).
        log_envelope: ln e, same shape.

    Returns:
        SignedLog of shape (n_walkers,).

    Reference: thesis, Eq. 10 and Fig. 1.
    """

    def call(self, orbitals: Tensor, log_envelope: Tensor) -> SignedLog:
        envelope, log_scales = self._without_row_maxima(log_envelope)
        psi = signed_log_sum_of_determinants(orbitals * envelope, log_scales)
        return _normalised(psi, orbitals.shape[-1])

    def forward_laplacian(
        self, orbitals: Jet, log_envelope: Tensor, first: Tensor, second: Tensor
    ) -> tuple[SignedLog, LogDerivatives]:
        """Carries derivatives by the positions through phi = M * e and its determinants.

        d_k phi_ij = (d_k M_ij + delta_ik M_ij d_i ln e_ij) e_ij
        lap phi_ij = (lap M_ij + 2 d_i M_ij d_i ln e_ij + M_ij [(d_i ln e_ij)^2 + d_i^2 ln e_ij]) e_ij

        Args:
            orbitals: M and its derivatives, as `OrbitalLayer.forward_laplacian` returns them.
            log_envelope: ln e, shape (n_walkers, n_determinants, n_particles, n_particles).
            first: d_i ln e_ij, same shape.
            second: d_i^2 ln e_ij, broadcastable to the same shape.

        Returns:
            Psi, and its derivatives divided by Psi.
        """
        envelope, log_scales = self._without_row_maxima(log_envelope)
        own_particle = tf.eye(orbitals.value.shape[2], dtype=envelope.dtype)[None, None, :, :, None]
        own_derivative = tf.reduce_sum(own_particle * orbitals.jacobian, axis=3)
        jacobian = orbitals.jacobian + own_particle * (orbitals.value * first)[:, :, None]
        laplacian = orbitals.laplacian + 2 * own_derivative * first + orbitals.value * (first**2 + second)
        psi, gradient, laplacian = sum_of_determinants_derivatives(
            orbitals.value * envelope, jacobian * envelope[:, :, None], laplacian * envelope, log_scales
        )
        return _normalised(psi, orbitals.value.shape[-1]), LogDerivatives(gradient, laplacian)

    @staticmethod
    def _without_row_maxima(log_envelope: Tensor) -> tuple[Tensor, Tensor]:
        """The envelope over each row's largest, and the sum of the logarithms taken out, (n_walkers, D).

        Psi does not depend on what is taken out, so no derivative goes through it.
        """
        row_maxima = tf.stop_gradient(tf.reduce_max(log_envelope, axis=-1, keepdims=True))
        return tf.exp(log_envelope - row_maxima), tf.reduce_sum(row_maxima, axis=(-2, -1))

    def build(self, orbitals_shape: Shape, log_envelope_shape: Shape) -> None:
        """Makes no weights."""

    def compute_output_shape(self, orbitals_shape: Shape, log_envelope_shape: Shape) -> SignedLog:
        return SignedLog(orbitals_shape[:1], orbitals_shape[:1])


def _normalised(psi: SignedLog, n_particles: int) -> SignedLog:
    """(A!)^(-1/2) Psi."""
    return SignedLog(psi.sign, psi.log_abs_psi - 0.5 * math.lgamma(n_particles + 1))
