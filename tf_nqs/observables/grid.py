"""The grid on which densities are given: wide enough to hold the state, fine enough to resolve it."""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf

from tf_nqs.observables.conditional import conditional_orbital
from tf_nqs.trainer import Trainer

_N_CALLS, _N_LOOKED_AT = 20, 64
"""Sampling calls that show how far particles go, and walkers whose orbitals must be resolved."""

_MARGIN = 1.0
"""Beyond the farthest particle seen, in a_ho: Gaussian tails are gone there."""

_LOST = 25.0
"""Particles further out than this factor times the median distance are lost, not in a tail: even where the density
falls as an exponential only one in 2^25 is there."""

_MOST_PLACES = 1001
"""Largest number of places: a measurement takes about 1 KiB for each pair of places, 1 GiB for these."""

_FIRST_SPACING, _LEAST_SPACING = 0.1, 0.025
_TOLERANCE = 1e-4
"""Relative change of the norm of orbitals if every second point is left out. All points do much better than that, as
trapezoid sums of smooth functions converge exponentially."""


class NothingMeasuredError(RuntimeError):
    """A wave function gives no finite number; the message is one line."""


def choose_grid(vmc: Trainer, multiple: int = 4) -> np.ndarray:
    """Returns places in a_ho, symmetric about 0 and evenly spaced; moves the trainer's walkers.

    They reach beyond the farthest particle that some sampling calls have shown, but not to one further out than 25
    times the median distance from 0. They are 0.1 a_ho apart, or closer where orbitals need it, but never more than
    1001: a state that is wider than this allows gets a coarser grid.

    Args:
        vmc: a compiled trainer whose walkers are in equilibrium.
        multiple: the number of places is 1 more than a multiple of this, which is a multiple of 4. Grids of several
            states have the same number of places more often if it is larger.

    Raises:
        NothingMeasuredError: the wave function is not finite, or zero, at all walkers.
    """
    farthest = 0.0
    for _ in range(_N_CALLS):
        walkers, _ = vmc.phases.sample(vmc.walkers)
        vmc.place_walkers(walkers)
        distances = np.abs(np.asarray(vmc.walkers.positions))
        farthest = max(farthest, float(distances.max(initial=0.0, where=distances <= _LOST * np.median(distances))))
    half_width = farthest + _MARGIN
    spacing = max(_FIRST_SPACING, 2.0 * half_width / (_MOST_PLACES - 1 - multiple))
    while True:
        x = even_grid(half_width, spacing, multiple)
        positions = vmc.walkers.positions[:_N_LOOKED_AT]
        squares = np.asarray(conditional_orbital(vmc.ansatz, positions, tf.constant(x, positions.dtype))) ** 2
        if np.isnan(squares).any(axis=1).all():
            raise NothingMeasuredError("the wave function vanishes, or is not finite, wherever it was looked at")
        change = np.nanmean(np.abs(2.0 * squares[:, ::2].sum(axis=1) - 1.0))
        if change < _TOLERANCE or spacing / 2 < _LEAST_SPACING or 2 * len(x) > _MOST_PLACES:
            return x
        spacing /= 2


def even_grid(half_width: float, spacing: float, multiple: int = 4) -> np.ndarray:
    """Returns multiple * m + 1 places from -half_width to half_width or a little more, spacing apart."""
    half = multiple // 2 * math.ceil(2.0 * half_width / (multiple * spacing))
    return spacing * np.arange(-half, half + 1)
