"""The least-squares problem that a natural gradient solves: derivatives of ln|Psi| of all walkers, and residuals."""

from __future__ import annotations

import math
from collections.abc import Callable

import tensorflow as tf

from tf_nqs.execution.by_system import by_system
from tf_nqs.physics.energy import median, weighted_mean
from tf_nqs.types import Tensor


def scores(log_abs_psi: Callable[..., Tensor], variables: list, positions: Tensor, *rows: Tensor) -> Tensor:
    """Returns O_nk = d ln|Psi(x_n)| / d theta_k, one walker per row.

    Args:
        log_abs_psi: callable, positions (n_walkers, n_particles) and `rows` -> (n_walkers,), each walker on its own.
        variables: the trainable parameters theta, in the order of the columns, each one flattened.
        positions: x in a_ho, shape (n_walkers, n_particles).
        rows: more tensors with one row per walker.

    Returns:
        Shape (n_walkers, n_parameters).
    """

    @tf.autograph.experimental.do_not_convert  # `vectorized_map` would, and reading all sources takes seconds
    def of_one_walker(walker: tuple[Tensor, ...]) -> Tensor:
        with tf.GradientTape() as tape:
            value = log_abs_psi(*(one[None] for one in walker))[0]
        gradients = tape.gradient(value, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        return tf.concat([tf.reshape(gradient, (-1,)) for gradient in gradients], axis=0)

    return tf.vectorized_map(of_one_walker, (positions, *rows))


def unflatten(vector: Tensor, variables: list) -> list[Tensor]:
    """Returns a vector of all parameters, in the order of the columns of `scores`, as one tensor per variable."""
    pieces = tf.split(vector, [math.prod(variable.shape) for variable in variables])
    return [tf.reshape(piece, variable.shape) for piece, variable in zip(pieces, variables, strict=True)]


def centred_system(
    scores: Tensor, local_energy: Tensor, weights: Tensor, leverage_bound: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Returns what every form below solves for: centred scores and residuals, each row times sqrt(R_n / sum R).

    O_nk <- sqrt(R_n / sum R) (O_nk - <O_k>),   eps_n <- -sqrt(R_n / sum R) (e_n - <e>)

    so that F = O^T O is the Fisher matrix and O^T eps = -dE/2, with means weighted by R.

    Next to a node, scores and local energies both diverge as 1/distance, and a few such walkers would decide the
    least-squares problem O phi = eps alone. With a bound, a row of centred scores longer than `leverage_bound` times
    the median row is shortened to that length, and its residual by the same factor: the equation that the walker asks
    for stays the same, it only counts less, as high-leverage points do in robust regression.

    Args:
        scores: shape (n_walkers, n_parameters).
        local_energy: e_L, finite, shape (n_walkers,), in hbar*omega.
        weights: R, shape (n_walkers,).
        leverage_bound: longest row, in lengths of the median one; 0 for no bound.

    Returns:
        Centred scores (n_walkers, n_parameters), residuals (n_walkers,).

    Reference: Mallows, Bell Telephone Laboratories technical memorandum (1975), for bounded leverage.
    """
    shares = tf.sqrt(weights / tf.reduce_sum(weights))
    finite = tf.where(weights[:, None] > 0, scores, tf.zeros_like(scores))
    local_energy = tf.where(weights > 0, local_energy, tf.zeros_like(local_energy))
    centred = finite - weighted_mean(finite, weights)
    if leverage_bound:
        lengths = tf.norm(centred, axis=1)
        longest = leverage_bound * median(lengths, weights > 0)
        shares *= tf.math.divide_no_nan(longest, tf.maximum(lengths, longest))
    return shares[:, None] * centred, -shares * (local_energy - weighted_mean(local_energy, weights))


def centred_family(
    scores: Tensor, local_energy: Tensor, weights: Tensor, factors: Tensor, share: Tensor, leverage_bound: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Returns `centred_system` of each system of a family, each row times sqrt(share factor_k).

    Args:
        scores: shape (n_walkers, n_parameters).
        local_energy: e_L, finite, shape (n_walkers,), in hbar*omega.
        weights: R, shape (n_walkers,).
        factors: how strongly each system counts, shape (n_systems,).
        share: 1 over the number of all systems, scalar.
        leverage_bound: as in `centred_system`.

    Returns:
        Centred scores (n_walkers, n_parameters), residuals (n_walkers,).
    """
    n_systems, n_walkers = factors.shape[0], weights.shape[0]
    rows, residuals = by_system(
        lambda rows, energy, weight: centred_system(rows, energy, weight, leverage_bound),
        n_systems,
        scores,
        local_energy,
        weights,
    )
    root = tf.repeat(tf.sqrt(share * factors), n_walkers // n_systems)
    rows = tf.reshape(rows, scores.shape)
    return root[:, None] * rows, root * tf.reshape(residuals, (n_walkers,))


compiled_centred_system = tf.function(centred_system, jit_compile=True, autograph=False)
"""One pass over the scores instead of five: at 512 walkers and 8712 parameters a tenth of an iteration."""

compiled_centred_family = tf.function(centred_family, jit_compile=True, autograph=False)
"""The same of a family."""
