"""The pairs of particles of a walker, in one order for all who look at them."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tf_nqs.types import Tensor


def pair_indices(n_particles: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the indices i and j of all pairs i < j, shape (n_pairs,) each, with n_pairs = A (A - 1) / 2."""
    return np.triu_indices(n_particles, k=1)


def pair_differences(positions: Tensor) -> Tensor:
    """Returns x_i - x_j of all pairs i < j, shape (n_walkers, n_pairs), in the order of `pair_indices`.

    Args:
        positions: x in a_ho, shape (n_walkers, n_particles).
    """
    first, second = pair_indices(positions.shape[1])
    return tf.gather(positions, first, axis=1) - tf.gather(positions, second, axis=1)
