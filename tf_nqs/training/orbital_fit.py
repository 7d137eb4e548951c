"""Orbitals fitted to given ones: how a wave function is brought to where a system's walkers belong."""

from __future__ import annotations

from collections.abc import Callable

import keras
import tensorflow as tf

from tf_nqs.execution.replicas import everywhere, of_first
from tf_nqs.types import Tensor

_LEARNING_RATE = 1e-2
"""Of Adam at the start, where it falls to nothing."""


def fit_orbitals(
    ansatz: keras.Model, loss_of: Callable[[Tensor], Tensor], iterations: int, learning_rate: float | None = None
) -> float:
    """Fits the generalised Slater matrices of an ansatz to given orbitals, by Adam.

    In the scope of a `tf.distribute` strategy every replica computes the whole gradient.

    Args:
        ansatz: Keras model.
        loss_of: number of the update -> loss, see `orbital_loss`.
        iterations: number of updates.
        learning_rate: a constant one; None for one that falls from 1e-2 to nothing.

    Returns:
        The last loss.
    """
    variables = ansatz.trainable_variables
    falling = keras.optimizers.schedules.CosineDecay(_LEARNING_RATE, iterations)
    optimizer = keras.optimizers.Adam(falling if learning_rate is None else learning_rate)
    optimizer.build(variables)

    def update(iteration: Tensor) -> Tensor:
        with tf.GradientTape() as tape:
            loss = loss_of(iteration)
        gradient = tape.gradient(loss, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        optimizer.apply([of_first(one) for one in gradient], variables)
        return loss

    update_all = everywhere(update)

    def next_update(iteration: Tensor, _: Tensor) -> tuple[Tensor, Tensor]:
        return iteration + 1, update_all(iteration)

    @tf.function(autograph=False)
    def updates() -> Tensor:
        start = (0, tf.zeros((), ansatz.compute_dtype))
        return tf.while_loop(lambda iteration, _: iteration < iterations, next_update, start)[1]

    return float(updates.get_concrete_function()())


def orbital_loss(orbitals: Tensor, target: Tensor) -> Tensor:
    """Returns the mean over walkers, determinants, particles i and orbitals j of (phi_ij - target_ij)^2.

    Args:
        orbitals: phi, shape (n_walkers, D, n_particles, n_particles).
        target: shape (n_walkers, n_particles, n_particles).
    """
    return tf.reduce_mean((orbitals - target[:, None]) ** 2)
