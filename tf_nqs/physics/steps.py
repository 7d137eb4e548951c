"""Whether a potential has steps: there its derivative says nothing about its change."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tf_nqs.physics.hamiltonian import TrappedFermions
from tf_nqs.physics.potentials import in_working_dtype
from tf_nqs.types import Tensor

_LONGEST, _N_INTERVALS = 12.0, 4096
"""Distances and positions up to this many a_ho are searched, in this many intervals."""

_N_HALVINGS, _N_FOLLOWED = 36, 32
"""An interval with a step keeps its change however often it is halved; this many of the worst are followed."""

_TOLERANCE = 1e-3
"""Change that the derivative does not explain, relative to the largest change of the potential, that is a step."""

_Potential = Callable[[Tensor], Tensor]


def has_steps(system: TrappedFermions) -> bool:
    """Returns whether the pair potential or the trap jumps somewhere, or is infinite on an interval.

    Where a potential jumps, its gradient is not its derivative, and relations that hold the gradient, as the virial
    theorem does, cannot be measured with it. Potentials of this package have no steps; others are followed along the
    distance of a pair, and along the position of one particle.

    Args:
        system: the Hamiltonian.
    """
    has_pairs = system.pair_potential is not None and system.n_particles > 1
    if has_pairs and _jumps(lambda r: system.pair_energy(r[None])[0], 0.0):
        return True
    return callable(system.trap) and _jumps(
        lambda x: system.trap_energy(tf.concat([x[:, None], _others(system, x)], axis=1)), -_LONGEST
    )


def _others(system: TrappedFermions, x: Tensor) -> Tensor:
    """Places of the other particles that are nothing special, shape (len(x), n_particles - 1)."""
    places = tf.linspace(tf.constant(-0.731, x.dtype), tf.constant(0.917, x.dtype), system.n_particles + 1)
    return tf.tile(places[None, 1:-1], (tf.shape(x)[0], 1))


def _jumps(function: _Potential, start: float) -> bool:
    """Whether a function of shape (n,) -> (n,) has steps between start and 12, halving intervals that look like it."""
    # Shifted, so that no end lies on a step at a round number, and a pair does not begin at the distance 0.
    ends = np.linspace(start, _LONGEST, _N_INTERVALS + 1) + 1.234e-4
    left, right = ends[:-1], ends[1:]
    values, _ = _value_and_slope(function, ends)
    tolerance = _TOLERANCE * np.ptp(values[np.isfinite(values)]) if np.isfinite(values).any() else 0.0
    for _ in range(_N_HALVINGS):
        unexplained = _unexplained(function, left, right)
        worst = np.argsort(-unexplained, kind="stable")[:_N_FOLLOWED]
        worst = worst[unexplained[worst] > tolerance]
        if worst.size == 0:
            return False
        middle = 0.5 * (left[worst] + right[worst])
        left, right = np.concatenate([left[worst], middle]), np.concatenate([middle, right[worst]])
    return bool(np.any(_unexplained(function, left, right) > tolerance))


def _unexplained(function: _Potential, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """|v(right) - v(left) - mean slope * length| of each interval; 0 where it is not finite on both sides."""
    (first, slope), (last, other_slope) = (_value_and_slope(function, ends) for ends in (left, right))
    with np.errstate(invalid="ignore"):
        change = np.abs(last - first - 0.5 * (slope + other_slope) * (right - left))
    return np.where(np.isfinite(change), change, np.where(np.isfinite(first) != np.isfinite(last), np.inf, 0.0))


def _value_and_slope(function: _Potential, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    def of_tensor(places: Tensor) -> tuple[Tensor, Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(places)
            values = function(places)
        return values, tape.gradient(values, places, unconnected_gradients=tf.UnconnectedGradients.ZERO)

    values, slope = in_working_dtype(of_tensor, x)
    return np.asarray(values, np.float64), np.asarray(slope, np.float64)
