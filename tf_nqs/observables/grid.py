"""The grid on which densities are given: wide enough to hold the state, fine enough to resolve it."""

from __future__ import annotations

import math

import keras
import numpy as np
import tensorflow as tf

from tf_nqs.observables.conditional import conditional_orbital

_N_CALLS, _N_LOOKED_AT = 20, 64
"""Sampling calls that show how far particles go, and walkers whose orbitals must be resolved."""

_MARGIN = 1.0
"""Beyond the farthest particle seen, in a_ho: Gaussian tails are gone there."""

_FIRST_SPACING, _LEAST_SPACING = 0.1, 0.025
_TOLERANCE = 1e-4
"""Relative change of the norm of orbitals if every second point is left out. All points do much better than that, as
trapezoid sums of smooth functions converge exponentially."""


def choose_grid(vmc: keras.Model) -> np.ndarray:
    """Returns places in a_ho, symmetric about 0, evenly spaced, 4 m + 1 of them; moves the trainer's walkers.

    Args:
        vmc: a compiled trainer whose walkers are in equilibrium.
    """
    farthest = 0.0
    for _ in range(_N_CALLS):
        vmc.walkers, _ = vmc.sample(vmc.walkers)
        farthest = max(farthest, float(tf.reduce_max(tf.abs(vmc.walkers.positions))))
    spacing = _FIRST_SPACING
    while True:
        x = even_grid(farthest + _MARGIN, spacing)
        positions = vmc.walkers.positions[:_N_LOOKED_AT]
        squares = np.asarray(conditional_orbital(vmc.ansatz, positions, tf.constant(x, positions.dtype))) ** 2
        change = np.nanmean(np.abs(2.0 * squares[:, ::2].sum(axis=1) - 1.0))
        if change < _TOLERANCE or spacing / 2 < _LEAST_SPACING:
            return x
        spacing /= 2


def even_grid(half_width: float, spacing: float) -> np.ndarray:
    """Returns 4 m + 1 places from -half_width to half_width or a little more, spacing apart."""
    quarter = math.ceil(half_width / (2.0 * spacing))
    return spacing * np.arange(-2 * quarter, 2 * quarter + 1)
