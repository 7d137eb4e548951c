"""Derivatives of ln|Psi| by nested GradientTapes: the general path, for any wave function, and the oracle."""

from __future__ import annotations

import tensorflow as tf

from tf_nqs.types import LogAbsPsi, LogDerivatives, Tensor


def nested_tapes(log_abs_psi: LogAbsPsi, positions: Tensor) -> LogDerivatives:
    """Returns gradient and Laplacian of a wave function given as ln|Psi|.

    (lap Psi)/Psi = sum_i [d_i^2 ln|Psi| + (d_i ln|Psi|)^2].

    Args:
        log_abs_psi: callable, (n_walkers, n_particles) -> (n_walkers,); each walker's value must depend on its
            own positions only.
        positions: walkers in units of a_ho, shape (n_walkers, n_particles).

    Returns:
        LogDerivatives: gradient (n_walkers, n_particles) and laplacian (n_walkers,).

    Reference: thesis, Eq. 14.
    """
    positions = tf.convert_to_tensor(positions)
    columns = tf.unstack(positions, axis=1)
    with tf.GradientTape(persistent=True, watch_accessed_variables=False) as outer:
        outer.watch(columns)
        stacked = tf.stack(columns, axis=1)
        with tf.GradientTape(watch_accessed_variables=False) as inner:
            inner.watch(stacked)
            value = log_abs_psi(stacked)
        gradient = inner.gradient(value, stacked, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        components = tf.unstack(gradient, axis=1)
    second = [
        outer.gradient(component, column, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        for component, column in zip(components, columns, strict=True)
    ]
    del outer
    return LogDerivatives(gradient, tf.add_n(second) + tf.reduce_sum(gradient**2, axis=1))
