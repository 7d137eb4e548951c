"""Whether iterations show a fault: an energy that is no number, or that has exploded. Pure, no Keras."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

_LONGEST_MEMORY = 100
_LEAST_MEMORY = 10
"""Iterations that a new one is compared with, at most and at least."""

_LARGEST_JUMP = 20.0
_LARGEST_DEVIATION = 100.0
"""Both must be exceeded: so many times the energy's own scale, and median absolute deviations of the energies before.

In healthy trainings (some 100 of them, repulsive and attractive, by natural gradients and by Adam) the largest jumps
were 0.5 of the scale, and 60 deviations in a training that had settled; a descent from random weights is so much faster
than its own noise that the deviations alone would not do."""


def no_memory() -> np.ndarray:
    """Returns what `find_fault` compares with before the first iteration."""
    return np.empty((2, 0))


def remember(memory: np.ndarray, rows: Mapping[str, np.ndarray]) -> np.ndarray:
    """Returns the energies of the last good iterations and their scales, shape (2, at most 100), in hbar*omega.

    The scale of an energy is |kinetic| + |trap| + |interaction|: it is never near zero where the parts cancel.

    Args:
        memory: of the iterations before.
        rows: columns of new ones: energy, kinetic, trap, interaction.
    """
    scales = np.sum([np.abs(rows[name]) for name in ("kinetic", "trap", "interaction")], axis=0)
    return np.hstack([memory, np.stack([rows["energy"], scales])])[:, -_LONGEST_MEMORY:]


def find_fault(rows: Mapping[str, np.ndarray], memory: np.ndarray) -> str | None:
    """Returns what is wrong with some iterations, as the part of a sentence; None if nothing is.

    Args:
        rows: columns of these iterations: iteration, energy.
        memory: what `remember` has kept of the good ones before.
    """
    energies = rows["energy"]
    is_finite = np.isfinite(energies)
    if not np.all(is_finite):
        return f"no finite energy in iteration {int(rows['iteration'][np.argmin(is_finite)])}"
    if memory.shape[1] < _LEAST_MEMORY:
        return None
    level, scale = np.median(memory, axis=1)
    deviation = np.median(np.abs(memory[0] - level))
    exploded = np.abs(energies - level) > max(_LARGEST_JUMP * scale, _LARGEST_DEVIATION * deviation)
    if not np.any(exploded):
        return None
    first = np.argmax(exploded)
    return f"energy of {energies[first]:.4g} in iteration {int(rows['iteration'][first])}, after {level:.4g}"
