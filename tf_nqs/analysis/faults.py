"""Detects faults of a training: energies that are not finite or have diverged. Pure functions, no Keras."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

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


class Fault(NamedTuple):
    """The first fault of the systems of a family.

    Attributes:
        row: index of its iteration in the rows that were judged.
        systems: indices of all systems with a fault in this iteration.
        text: the fault of the first of them, as a part of a sentence.
    """

    row: int
    systems: list[int]
    text: str


def no_memory(*n_systems: int) -> np.ndarray:
    """Returns the memory of `find_fault` before the first iteration.

    Args:
        *n_systems: number of systems of a family; nothing for a single system.
    """
    return np.empty((2, 0, *n_systems))


def remember(memory: np.ndarray, rows: Mapping[str, np.ndarray]) -> np.ndarray:
    """Returns the energies of the last good iterations and their scales, shape (2, at most 100), in hbar*omega.

    The scale of an energy is |kinetic| + |trap| + |interaction|: it stays large if the parts cancel.

    Args:
        memory: energies and scales of the iterations before; of a family with an axis (n_systems,) behind.
        rows: columns of the new iterations: energy, kinetic, trap, interaction; of a family likewise.
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
    columns = {name: rows[name][:, None] for name in ("energy", "kinetic", "trap", "interaction")}
    lowest = np.full(columns["energy"].shape, np.nan if lowest_energy is None else lowest_energy)
    fault = find_fault_of_systems(columns | {"iteration": rows["iteration"]}, memory[..., None], lowest)
    return fault and fault.text


def find_fault_of_systems(
    rows: Mapping[str, np.ndarray], memory: np.ndarray, lowest_energies: np.ndarray
) -> Fault | None:
    """Returns the first fault of the systems of a family, each of which is judged alone, as `find_fault` does it.

    Args:
        rows: columns of these iterations: iteration, of shape (n_iterations,), and energy, kinetic, trap, interaction,
            of shape (n_iterations, n_systems).
        memory: returned by `remember` for the good iterations before.
        lowest_energies: lower bounds of the energies, shape (n_iterations, n_systems), in hbar*omega; NaN if unknown.
    """
    known = np.hstack([memory, _energies_and_scales(rows)])
    for index, iteration in enumerate(rows["iteration"]):
        end = memory.shape[1] + index
        now = {name: rows[name][index] for name in ("energy", "kinetic", "trap", "interaction")}
        texts = _faults(now, known[:, max(0, end - _LONGEST_MEMORY) : end], lowest_energies[index])
        if texts:
            first = min(texts)
            return Fault(index, sorted(texts), texts[first].format(f"in iteration {int(iteration)}"))
    return None


def _faults(now: Mapping[str, np.ndarray], before: np.ndarray, lowest: np.ndarray) -> dict[int, str]:
    """Returns system -> its fault in one iteration; `{}` stands for the iteration.

    Args:
        now: columns of the iteration, shape (n_systems,) each.
        before: energies and scales of those before, shape (2, n_iterations, n_systems).
        lowest: bounds, shape (n_systems,).
    """
    energy, kinetic = now["energy"], now["kinetic"]
    if not np.all(np.isfinite(energy)):
        return {int(one): "no finite energy {}" for one in np.flatnonzero(~np.isfinite(energy))}
    if before.shape[1] < _LEAST_MEMORY:
        return {}
    level, scale = np.median(before, axis=1)
    deviation = np.median(np.abs(before[0] - level), axis=0)
    limit = np.maximum(_LARGEST_JUMP * scale, _LARGEST_DEVIATION * deviation)
    # While the wave function moves into a well, walkers that lag behind make both about equally negative.
    slack = limit + np.abs(now["trap"] + now["interaction"])
    has_jumped, is_too_low = energy - level > limit, energy < lowest - limit
    is_negative = np.isnan(lowest) & (kinetic < -slack)
    found = {}
    for one in map(int, np.flatnonzero(has_jumped | is_too_low | is_negative)):
        found[one] = f"energy of {energy[one]:.4g} {{}}, after {level[one]:.4g}"
        if is_negative[one] and not has_jumped[one]:
            found[one] = f"kinetic energy of {kinetic[one]:.4g} {{}}: no state has less than 0"
        elif is_too_low[one]:
            found[one] += f": no state has less than {lowest[one]:.4g}"
    return found
