"""Ground-state wave functions in closed form, of the systems in `tf_nqs.exact.closed_forms`; for tests and benchmarks.

    Psi = prod_{i<j} f(x_ij) exp(-Omega sum_i (x_i - X)^2/2 - A X^2/2),    x_ij = x_i - x_j, X the mean of all x,

with f(r) = r, sinh(c r) for coth, and sign(r) |r|^l for calogero; not normalised.

Reference: see `tf_nqs.exact.closed_forms`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tf_nqs.named_systems import NamedSystem, check_parameters, has_closed_form
from tf_nqs.types import SignedLog, Tensor


def closed_form_state(system: NamedSystem) -> Callable[[Tensor], SignedLog]:
    """Returns the exact ground state, not normalised.

    Args:
        system: names and parameters.

    Returns:
        Callable, positions in a_ho, shape (n_walkers, n_particles) -> SignedLog of shape (n_walkers,).

    Raises:
        ValueError: there is no closed form for the system, or a parameter is out of its range.

    Example:
        >>> psi = closed_form_state(NamedSystem(3, "coth", 0.6))
        >>> sign, log_abs_psi = psi(tf.constant([[-1.0, 0.0, 1.5]]))
    """
    check_parameters(system)
    if not has_closed_form(system):
        raise ValueError(
            f"interaction = {system.interaction}, trap = {system.trap}: no closed form; "
            "must be none, harmonic, coth or calogero in the harmonic trap"
        )
    n_particles, omega = system.n_particles, system.internal_frequency
    first, second = np.triu_indices(n_particles, k=1)

    def psi(positions: Tensor) -> SignedLog:
        positions = tf.convert_to_tensor(positions)
        distances = tf.gather(positions, first, axis=1) - tf.gather(positions, second, axis=1)
        centre = tf.reduce_mean(positions, axis=1)
        internal = tf.reduce_sum((positions - centre[:, None]) ** 2, axis=1)
        gaussian = -0.5 * (omega * internal + n_particles * centre**2)
        nodes = tf.reduce_sum(_log_node(system, tf.abs(distances)), axis=1)
        return SignedLog(tf.reduce_prod(tf.sign(distances), axis=1), nodes + gaussian)

    return psi


def _log_node(system: NamedSystem, distances: Tensor) -> Tensor:
    """ln f(r) of the factor of one pair, r >= 0."""
    if system.interaction == "calogero":
        return system.interaction_strength * tf.math.log(distances)
    if system.interaction == "coth":
        t = system.interaction_strength * distances  # sinh(t) = exp(t) (1 - exp(-2t))/2, which does not overflow
        return t + tf.math.log(-tf.math.expm1(-2.0 * t)) - math.log(2.0)
    return tf.math.log(distances)
