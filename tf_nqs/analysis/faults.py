"""Detects faults of a training: energies that are not finite or have diverged. Pure functions, no Keras."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

_LONGEST_MEMORY = 100
_LEAST_MEMORY = 10
"""Maximum and minimum number of earlier iterations that a new one is compared with."""

_LARGEST_JUMP = 20.0
_LARGEST_DEVIATION = 100.0
"""A jump must exceed both limits: multiples of the scale of the energy, and of the median absolute deviation before it.

In about 100 healthy trainings (repulsive and attractive, natural gradients and Adam) the largest jumps were 0.5 of the
scale, and 60 deviations after the descent. The deviations alone are not enough: a descent from random weights is much
faster than its noise."""


def no_memory() -> np.ndarray:
    """Returns the memory of `find_fault` before the first iteration."""
    return np.empty((2, 0))


def remember(memory: np.ndarray, rows: Mapping[str, np.ndarray]) -> np.ndarray:
    """Returns the energies of the last good iterations and their scales, shape (2, at most 100), in hbar*omega.

    The scale of an energy is |kinetic| + |trap| + |interaction|: it stays large if the parts cancel.

    Args:
        memory: energies and scales of the iterations before.
        rows: columns of the new iterations: energy, kinetic, trap, interaction.
    """
    return np.hstack([memory, _energies_and_scales(rows)])[:, -_LONGEST_MEMORY:]


def _energies_and_scales(rows: Mapping[str, np.ndarray]) -> np.ndarray:
    scales = np.sum([np.abs(rows[name]) for name in ("kinetic", "trap", "interaction")], axis=0)
    return np.stack([rows["energy"], scales])


def find_fault(rows: Mapping[str, np.ndarray], memory: np.ndarray, lowest_energy: float | None = None) -> str | None:
    """Returns the fault of some iterations as a part of a sentence; None without a fault.

    Each iteration is compared with those before it, in the same call or an earlier one. A jump upwards is a fault. A
    fall, however steep, is a fault only if no state can have such an energy.

    Args:
        rows: columns of these iterations: iteration, energy, kinetic, trap, interaction.
        memory: returned by `remember` for the good iterations before.
        lowest_energy: lower bound of the energy of any state, in hbar*omega; None if unknown. Then the kinetic
            energy is checked, which is never negative.
    """
    known = np.hstack([memory, _energies_and_scales(rows)])
    for index, (iteration, energy) in enumerate(zip(rows["iteration"], rows["energy"], strict=True)):
        if not np.isfinite(energy):
            return f"no finite energy in iteration {int(iteration)}"
        end = memory.shape[1] + index
        before = known[:, max(0, end - _LONGEST_MEMORY) : end]
        if before.shape[1] < _LEAST_MEMORY:
            continue
        level, scale = np.median(before, axis=1)
        limit = max(_LARGEST_JUMP * scale, _LARGEST_DEVIATION * np.median(np.abs(before[0] - level)))
        if energy - level > limit:
            return f"energy of {energy:.4g} in iteration {int(iteration)}, after {level:.4g}"
        if lowest_energy is not None and energy < lowest_energy - limit:
            bound = f"no state has less than {lowest_energy:.4g}"
            return f"energy of {energy:.4g} in iteration {int(iteration)}, after {level:.4g}: {bound}"
        # While the wave function moves into a well, walkers that lag behind make both about equally negative.
        slack = limit + abs(rows["trap"][index] + rows["interaction"][index])
        if lowest_energy is None and (kinetic := rows["kinetic"][index]) < -slack:
            return f"kinetic energy of {kinetic:.4g} in iteration {int(iteration)}: no state has less than 0"
    return None
