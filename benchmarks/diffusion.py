"""Diffusion Monte Carlo on systems whose energy is known, with no trained wave function: energies, errors, seconds.

Usage: python -m benchmarks.diffusion [--systems a4_v10 harmonic_a8 ...] [--target_error=1e-3] [--max_seconds=120]
       python -m benchmarks.diffusion --calibrate=40 [--systems harmonic_a3]

The guide is that of free fermions. The first form prints a row for each system. The second does many short independent
runs of each system and prints how their deviations compare with their errors: the rms must be from 0.8 to 1.25; it
ends with status 1 if one is not.
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from benchmarks.report import say, show_table
from tf_nqs.diffusion import (
    DiffusionEnergy,
    Guide,
    Stiffness,
    TooShortError,
    best_stiffness,
    diffusion_energy,
    free_fermion_guide,
    free_fermion_positions,
)
from tf_nqs.exact import reference_energy
from tf_nqs.physics import TrappedFermions

SYSTEMS: dict[str, dict[str, Any]] = {
    "a4_v10": {"n_particles": 4, "interaction_strength": 10.0},
    "a4_v-10": {"n_particles": 4, "interaction_strength": -10.0},
    "a4_v20": {"n_particles": 4, "interaction_strength": 20.0},
    "a6_v20": {"n_particles": 6, "interaction_strength": 20.0},
    **{
        f"harmonic_a{n}": {"n_particles": n, "interaction": "harmonic", "interaction_strength": 0.2}
        for n in (3, 8, 12, 24)
    },
    **{f"coth_a{n}": {"n_particles": n, "interaction": "coth", "interaction_strength": 0.3} for n in (8, 12, 24)},
    "calogero_a8": {"n_particles": 8, "interaction": "calogero", "interaction_strength": 2.0},
}
"""Name -> arguments of `TrappedFermions`."""

RMS = (0.8, 1.25)
"""Limits of the rms of deviations in errors."""

CALIBRATED, SHORT_STEPS, N_WALKERS = ("harmonic_a3",), (0.04, 0.02), 128
"""Systems, time steps and number of walkers of the short runs."""


class Start(NamedTuple):
    """A guide and what its walkers start from.

    Attributes:
        guide: of free fermions.
        stiffness: of the guide.
        contact_exponent: of the guide.
        n_particles: A.
    """

    guide: Guide
    stiffness: Stiffness
    contact_exponent: float
    n_particles: int

    def energy(self, n_walkers: int, seed: int, **options: Any) -> DiffusionEnergy:
        """Returns the energy by diffusion, from new walkers."""
        positions = free_fermion_positions(n_walkers, self.n_particles, self.stiffness, self.contact_exponent, seed)
        return diffusion_energy(self.guide, tf.constant(positions), seed=seed, **options)


def start_of(arguments: dict[str, Any], stiffness: Stiffness | None = None) -> Start:
    """Returns the guide of a system; the stiffness with the lowest energy where none is given."""
    system = TrappedFermions(**arguments)
    stiffness = stiffness or best_stiffness(system)
    return Start(free_fermion_guide(system, stiffness), stiffness, system.contact_exponent, system.n_particles)


def row(name: str, target_error: float, max_seconds: float, n_walkers: int) -> list[str]:
    """Returns a row of the table: system, exact energy, energy by diffusion, its error, deviation, seconds."""
    exact = reference_energy(**SYSTEMS[name])
    started = time.monotonic()
    try:
        result = start_of(SYSTEMS[name]).energy(n_walkers, 1, target_error=target_error, max_seconds=max_seconds)
    except TooShortError:
        return [name, f"{exact.energy:.6f}", "-", "-", "-", f"{time.monotonic() - started:.0f}"]
    seconds = time.monotonic() - started
    deviation = (result.energy - exact.energy) / np.hypot(result.energy_error, exact.uncertainty)
    numbers = (exact.energy, result.energy, result.energy_error)
    return [name, *(f"{number:.6f}" for number in numbers), f"{deviation:+.2f}", f"{seconds:.0f}"]


def pulls(name: str, n_runs: int) -> np.ndarray:
    """Returns the deviations in errors of short independent runs, shape (n_runs,).

    Their guide is that of free fermions as they are: the best one has the exact energy of harmonic pairs.
    """
    exact, start = reference_energy(**SYSTEMS[name]).energy, start_of(SYSTEMS[name], Stiffness())
    options: dict[str, Any] = {"time_steps": SHORT_STEPS, "target_error": 1.0, "max_seconds": 600.0}
    results = [start.energy(N_WALKERS, 1000 + seed, **options) for seed in range(n_runs)]
    return np.array([(one.energy - exact) / one.energy_error for one in results])


def main() -> int:
    """Prints the table, or the calibration; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=None)
    parser.add_argument("--target_error", type=float, default=1e-3)
    parser.add_argument("--max_seconds", type=float, default=120.0)
    parser.add_argument("--n_walkers", type=int, default=512)
    parser.add_argument("--calibrate", type=int, default=0, help="number of short runs of each system")
    flags = parser.parse_args()
    if not flags.calibrate:
        rows = []
        for name in flags.systems or SYSTEMS:
            rows.append(row(name, flags.target_error, flags.max_seconds, flags.n_walkers))
            say("  ".join(rows[-1]))
        header = ["system", "exact", "diffusion", "error", "deviation in errors", "seconds"]
        show_table("Energies in hbar*omega by diffusion, guided by free fermions", header, rows)
        return 0
    worst = 1.0
    for name in flags.systems or CALIBRATED:
        found = pulls(name, flags.calibrate)
        rms = float(np.sqrt(np.mean(found**2)))
        mean_error = 1 / np.sqrt(len(found))
        say(f"{name}: rms {rms:.2f}, mean {found.mean():+.2f} +- {mean_error:.2f}, largest {np.abs(found).max():.2f}")
        worst = worst if RMS[0] <= rms <= RMS[1] else rms
    return int(not RMS[0] <= worst <= RMS[1])


if __name__ == "__main__":
    sys.exit(main())
