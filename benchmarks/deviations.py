"""Measured energies of members of a family beside exact ones."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from benchmarks.references import Row
from benchmarks.report import show_table

TOLERANCES = {5: 3e-3, 6: 5e-3}
"""Number of particles -> tolerance of an energy, in hbar*omega; 1e-3 for fewer particles."""

SHARE_OF_ERROR = 0.25
"""Of the tolerance: the error of each measured energy."""


class Deviation(NamedTuple):
    """A member's measured energy beside the exact one.

    Attributes:
        deviation: measured minus exact, in hbar*omega.
        error: standard error of the measured energy.
        tolerance: of the deviation, the uncertainty of the reference not counted.
        variance: of the local energy.
        seconds: of the measurement.
    """

    n_particles: int
    interaction_strength: float
    interaction_range: float
    deviation: float
    error: float
    uncertainty: float
    tolerance: float
    variance: float
    seconds: float

    @property
    def is_within(self) -> bool:
        """Whether the energy is within the tolerance; a reference may lie above the exact energy."""
        return -self.tolerance - self.uncertainty <= self.deviation <= self.tolerance


class Arm(NamedTuple):
    """One way to the energies of several systems.

    Attributes:
        seed: of weights and walkers.
        name: of the way.
        seconds: of training, of all systems together.
        n_iterations: likewise.
        found: energies beside the exact ones.
    """

    seed: int
    name: str
    seconds: float
    n_iterations: int
    found: list[Deviation]


def measured(vmc: Any, row: Row, max_seconds: float) -> Deviation:
    """Measures the energy of a trainer's wave function.

    Args:
        vmc: the trainer.
        row: its system, and the reference.
        max_seconds: of the measurement.
    """
    started, tolerance = time.monotonic(), tolerance_of(row)
    energy = vmc.evaluate_energy(SHARE_OF_ERROR * tolerance, max_seconds, relations=False)
    return Deviation(
        *row.system,
        energy.energy - row.reference_energy,
        energy.energy_error,
        row.reference_uncertainty,
        tolerance,
        energy.variance,
        time.monotonic() - started,
    )


def tolerance_of(row: Row) -> float:
    """Returns the tolerance of a system's energy, in hbar*omega."""
    return TOLERANCES.get(row.n_particles, 1e-3)


def summary(found: list[Deviation]) -> list[str]:
    """Returns one line for each number of particles."""
    lines = []
    for number in sorted({one.n_particles for one in found}):
        rows = [one for one in found if one.n_particles == number]
        off = np.abs([one.deviation for one in rows])
        worst = rows[int(np.argmax(off))]
        within = sum(one.is_within for one in rows)
        lines.append(
            f"A = {number}: {within} of {len(rows)} within {rows[0].tolerance:g}; median {np.median(off):.2e}, "
            f"rms {np.sqrt(np.mean(off**2)):.2e}, largest {worst.deviation:+.2e}({worst.error:.0e}) at "
            f"V0 = {worst.interaction_strength:g}, sigma0 = {worst.interaction_range:g}"
        )
    return lines


def show_arms(arms: Sequence[Arm]) -> None:
    """Prints one table: a row for each way, seed and number of particles."""
    header = ["way", "seed", "seconds", "iterations", "A", "within", "median", "rms", "largest", "at V0, sigma0"]
    rows = []
    for arm in arms:
        for number in sorted({one.n_particles for one in arm.found}):
            some = [one for one in arm.found if one.n_particles == number]
            off = np.abs([one.deviation for one in some])
            worst = some[int(np.argmax(off))]
            within = f"{sum(one.is_within for one in some)} of {len(some)} ({worst.tolerance:g})"
            cells = [arm.name, arm.seed, f"{arm.seconds:.0f}", arm.n_iterations, number, within]
            cells += [f"{np.median(off):.1e}", f"{np.sqrt(np.mean(off**2)):.1e}"]
            cells += [f"{worst.deviation:+.1e}({worst.error:.0e})"]
            rows.append([*map(str, cells), f"{worst.interaction_strength:g}, {worst.interaction_range:g}"])
    show_table("Deviations from exact energies, in ħω, with frozen weights", header, rows)
