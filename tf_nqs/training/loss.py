"""The surrogate loss whose gradient is the energy's."""

from __future__ import annotations

import tensorflow as tf

from tf_nqs.physics.energy import weighted_mean
from tf_nqs.types import Tensor


def surrogate_loss(log_abs_psi: Tensor, local_energy: Tensor, weights: Tensor) -> Tensor:
    """Returns a scalar with the energy's gradient: its value means nothing.

    loss = 2 sum(R (e_L - E) ln|Psi|) / sum(R),  E = sum(R e_L)/sum(R),
    with no gradient through R, e_L and E, so that d loss = 2 <R (e_L - E) d ln|Psi|>/<R> = dE.

    The mean subtracted is the *weighted* one: the plain mean would bias the gradient when samples are reused.

    Args:
        log_abs_psi: ln|Psi|, shape (n_walkers,); the only argument that the gradient flows through.
        local_energy: e_L, clipped or not, finite, shape (n_walkers,), in hbar*omega.
        weights: R, shape (n_walkers,).

    Reference: thesis, Eqs. 15 and 19 (which leave the factor 2 out).
    """
    energy = weighted_mean(local_energy, weights)
    coefficients = tf.stop_gradient(2 * weights * (local_energy - energy) / tf.reduce_sum(weights))
    counted = tf.where(weights > 0, log_abs_psi, tf.zeros_like(log_abs_psi))
    return tf.reduce_sum(coefficients * counted)
