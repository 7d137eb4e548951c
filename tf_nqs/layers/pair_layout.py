"""How numbers of ordered pairs of particles are kept: one row per particle, one column per other particle."""

from __future__ import annotations

import tensorflow as tf

from tf_nqs.types import Tensor


def differences_to_others(values: Tensor) -> Tensor:
    """Returns v_i - v_j for every particle i and every other particle j, in the order of j.

    Args:
        values: v, one per particle, shape (n_walkers, n_particles).

    Returns:
        Shape (n_walkers, n_particles, n_particles - 1).
    """
    return without_diagonal(values[:, :, None] - values[:, None, :])


def without_diagonal(square: Tensor) -> Tensor:
    """Returns a square array without its diagonal.

    In the flat array the diagonal elements are n_particles + 1 apart. So without the first element it is a rectangle
    whose last column is the rest of the diagonal.

    Args:
        square: shape (n_walkers, n_particles, n_particles, ...).

    Returns:
        Shape (n_walkers, n_particles, n_particles - 1, ...).
    """
    n_walkers, n_particles, features = tf.shape(square)[0], square.shape[1], square.shape[3:]
    flat = tf.reshape(square, (n_walkers, n_particles**2, *features))[:, 1:]
    blocks = tf.reshape(flat, (n_walkers, n_particles - 1, n_particles + 1, *features))[:, :, :-1]
    return tf.reshape(blocks, (n_walkers, n_particles, n_particles - 1, *features))


def with_diagonal(others: Tensor, diagonal: Tensor) -> Tensor:
    """Returns the square array that has a diagonal: the inverse of `without_diagonal`.

    Args:
        others: shape (n_walkers, n_particles, n_particles - 1, ...).
        diagonal: shape (n_walkers, n_particles, ...).

    Returns:
        Shape (n_walkers, n_particles, n_particles, ...).
    """
    n_walkers, n_particles, features = tf.shape(diagonal)[0], diagonal.shape[1], diagonal.shape[2:]
    blocks = tf.reshape(others, (n_walkers, n_particles - 1, n_particles, *features))
    rectangle = tf.concat([blocks, diagonal[:, 1:, None]], axis=2)
    flat = tf.reshape(rectangle, (n_walkers, n_particles**2 - 1, *features))
    square = tf.concat([diagonal[:, :1], flat], axis=1)
    return tf.reshape(square, (n_walkers, n_particles, n_particles, *features))
