"""The surrogate loss whose gradient is the energy's."""

from __future__ import annotations

import tensorflow as tf

from tf_nqs.execution.by_system import by_system
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


def loss_of_systems(log_abs_psi: Tensor, local_energy: Tensor, weights: Tensor, factors: Tensor | None) -> Tensor:
    """Returns the surrogate loss of one system, or the sum of those of a family's systems, each times its factor.

    Args:
        log_abs_psi: ln|Psi|, shape (n_walkers,).
        local_energy: e_L, shape (n_walkers,), in hbar*omega.
        weights: R, shape (n_walkers,).
        factors: shape (n_systems,); None for one system.
    """
    if factors is None:
        return surrogate_loss(log_abs_psi, local_energy, weights)
    losses = by_system(surrogate_loss, factors.shape[0], log_abs_psi, local_energy, weights)
    return tf.reduce_sum(factors * tf.reshape(losses, (-1,)))
