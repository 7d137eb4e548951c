"""The wave function of one particle while the others stay where they were sampled."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from tf_nqs.types import Tensor


def conditional_orbital(psi: keras.Model, positions: Tensor, x: Tensor) -> Tensor:
    """Returns Psi(x, x_2, .. x_A) as a function of x, normalised on the grid: sum_g of its squares is 1.

    Averaged over x_2, .. x_A from |Psi|^2, A times the projector on this orbital is the one-body density matrix, for
    the integral over the particle's own place is done exactly:

        rho(x, x') = A <Psi(x, rest) Psi(x', rest) / int |Psi(y, rest)|^2 dy>.

    Each term is positive and has trace A, no ratio of wave functions at sampled places occurs, and small occupations
    come out with small errors.

    Args:
        psi: positions -> (sign, log_abs_psi).
        positions: walkers in a_ho, shape (n_walkers, n_particles); their first particle is the one that is moved.
        x: the grid in a_ho, shape (n_places,), or (n_walkers, n_places) with a copy for each walker.

    Returns:
        Shape (n_walkers, n_places); nan where Psi vanishes on the whole grid.
    """
    n_places, n_particles = x.shape[-1], positions.shape[1]
    rests = tf.repeat(positions[:, tf.newaxis, 1:], n_places, axis=1)
    places = tf.broadcast_to(x, (tf.shape(positions)[0], n_places))[:, :, tf.newaxis]
    sign, log_abs = psi(tf.reshape(tf.concat([places, rests], axis=2), (-1, n_particles)))
    sign, log_abs = (tf.reshape(one, (-1, n_places)) for one in (sign, log_abs))
    values = sign * tf.exp(log_abs - tf.reduce_max(log_abs, axis=1, keepdims=True))
    return values / tf.norm(values, axis=1, keepdims=True)


def spread_on_grid(positions: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Returns the sum over particles of delta(x - x_j), each spread over the four nearest points of the grid.

    Cubic convolution: the weights of a particle sum to 1, and its first three moments are those of the particle, so
    that a smooth density comes out with an error of fourth order in the spacing.

    Args:
        positions: in a_ho, shape (n_walkers, n_others).
        x: evenly spaced grid, at least two spacings wider than the positions, shape (n_places,).

    Returns:
        In 1/a_ho, shape (n_walkers, n_places).

    Reference: R. G. Keys, IEEE Trans. Acoust. Speech Signal Process. 29, 1153 (1981).
    """
    spacing = x[1] - x[0]
    total = np.zeros((len(positions), len(x)))
    for places in positions.T:
        u = np.abs(places[:, np.newaxis] - x) / spacing
        near, far = (1.5 * u - 2.5) * u * u + 1.0, ((2.5 - 0.5 * u) * u - 4.0) * u + 2.0
        total += np.where(u < 1.0, near, np.where(u < 2.0, far, 0.0))
    return total / spacing
