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
    return np.hstack([memory, _energies_and_scales(rows)])[:, -_LONGEST_MEMORY:]


def _energies_and_scales(rows: Mapping[str, np.ndarray]) -> np.ndarray:
    scales = np.sum([np.abs(rows[name]) for name in ("kinetic", "trap", "interaction")], axis=0)
    return np.stack([rows["energy"], scales])


def find_fault(rows: Mapping[str, np.ndarray], memory: np.ndarray, lowest_energy: float | None = None) -> str | None:
    """Returns what is wrong with some iterations, as the part of a sentence; None if nothing is.

    Each iteration is compared with those right before it, in the same call or an earlier one. A rise is a fault if it
    is a jump. A fall is what training is for, however steep: it is a fault only if no state can have such an energy.

    Args:
        rows: columns of these iterations: iteration, energy, kinetic, trap, interaction.
        memory: what `remember` has kept of the good ones before.
        lowest_energy: bound below which no state's energy lies, in hbar*omega; None if it is not known. Then the
            kinetic energy is looked at, which is never negative either.
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
        # Walkers that lag behind a wave function on its way into a well make both as negative as each other.
        slack = limit + abs(rows["trap"][index] + rows["interaction"][index])
        if lowest_energy is None and (kinetic := rows["kinetic"][index]) < -slack:
            return f"kinetic energy of {kinetic:.4g} in iteration {int(iteration)}: no state has less than 0"
    return None
