"""Diffusion Monte Carlo on systems whose energy is known, or not: energies, errors, seconds.

Usage: python -m benchmarks.diffusion [--systems a4_v10 harmonic_a8 ...] [--target_error=1e-3] [--max_seconds=120]
                                      [--runs=FOLDER]
       python -m benchmarks.diffusion --calibrate=40 [--systems harmonic_a3]
       python -m benchmarks.diffusion --cost --runs=FOLDER [--systems a4_v10 ...]

The first form prints a row for each system, guided by the best guide that needs no training, or with --runs by the
trained wave function in FOLDER/SYSTEM. The second does many short independent runs of each system and prints how their
deviations compare with their errors: the rms must be from 0.8 to 1.25; it ends with status 1 if one is not. The third
compares a step of the diffusion with a Metropolis step of the same walkers and wave function.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from benchmarks.report import say, show_table
from tf_nqs import defaults, load
from tf_nqs.diffusion import (
    Guide,
    Stiffness,
    TooShortError,
    best_guide,
    diffusion_energy,
    free_fermion_guide,
    free_fermion_positions,
)
from tf_nqs.diffusion.walk import Population, diffusion_step, start_population
from tf_nqs.exact import reference_energy
from tf_nqs.execution.compilation import compiled_phase
from tf_nqs.experiment.diffusion_guide import choose_guide, last_walkers
from tf_nqs.physics import TrappedFermions
from tf_nqs.sampling import MetropolisHastings
from tf_nqs.sampling.mixed_precision import sampling_in
from tf_nqs.storage.run_folder import RunFolder
from tf_nqs.types import WalkerState

SYSTEMS: dict[str, dict[str, Any]] = {
    "a4_v10": {"n_particles": 4, "interaction_strength": 10.0},
    "a4_v-10": {"n_particles": 4, "interaction_strength": -10.0},
    "a4_v20": {"n_particles": 4, "interaction_strength": 20.0},
    "a6_v20": {"n_particles": 6, "interaction_strength": 20.0},
    **{
        f"a{n}_v{v}": {"n_particles": n, "interaction_strength": float(v)} for n in (8, 10, 12) for v in (-5, 5, 10, 20)
    },
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


def start_of(name: str, runs: str | None, n_walkers: int) -> tuple[Guide, Any]:
    """Returns the guide of a system and where its walkers start.

    Args:
        name: of the system.
        runs: folder with a run of this name, whose wave function is the guide; None for a guide without training.
        n_walkers: number of walkers.
    """
    system = TrappedFermions(**SYSTEMS[name])
    if runs is None:
        untrained = best_guide(system, n_walkers, 1)
        return untrained.guide, untrained.positions
    folder = RunFolder(Path(runs, name))
    walkers = last_walkers(folder, system.n_particles)
    chosen = choose_guide(system, load(folder).ansatz, "run", n_walkers, 1, walkers)
    return chosen.guide, chosen.positions


def row(name: str, flags: argparse.Namespace) -> list[str]:
    """Returns a row of the table: system, exact energy, energy by diffusion, its error, deviation, seconds."""
    exact = reference_energy(**SYSTEMS[name], max_seconds=600.0)
    started, used = time.monotonic(), time.process_time()
    options = {"target_error": flags.target_error, "max_seconds": flags.max_seconds, "time_steps": flags.time_steps}
    guide, positions = start_of(name, flags.runs, flags.n_walkers)
    known = "-" if exact.energy is None else f"{exact.energy:.6f}"
    try:
        result = diffusion_energy(guide, positions, seed=flags.seed, **options)
    except TooShortError as error:
        say(f"{name}: {error}")
        return [name, known, "-", "-", "-", *_seconds(started, used)]
    numbers = [f"{result.energy:.6f}", f"{result.energy_error:.6f}"]
    if exact.energy is None:
        return [name, known, *numbers, "-", *_seconds(started, used)]
    deviation = (result.energy - exact.energy) / np.hypot(result.energy_error, exact.uncertainty)
    return [name, known, *numbers, f"{deviation:+.2f}", *_seconds(started, used)]


def _seconds(started: float, used: float) -> list[str]:
    return [f"{time.monotonic() - started:.0f}", f"{time.process_time() - used:.0f}"]


def cost(name: str, runs: str, n_walkers: int, n_steps: int = 100) -> list[str]:
    """Returns a row: system, milliseconds of a step of the diffusion and of a Metropolis step, and their ratio."""
    guide, positions = start_of(name, runs, n_walkers)
    ansatz = load(Path(runs, name)).ansatz
    step, key = tf.constant(0.01, positions.dtype), tf.constant([1, 2])

    @tf.function(jit_compile=True, autograph=False)
    def diffusion(population: Population) -> Population:
        def body(index: Any, population: Population) -> tuple[Any, Population]:
            seed = tf.random.experimental.stateless_fold_in(key, index)
            return index + 1, diffusion_step(guide, population, step, tf.zeros_like(step), seed)[0]

        return tf.while_loop(lambda index, _: index < n_steps, body, (0, population))[1]

    sampler = MetropolisHastings(n_walkers, n_steps)
    state = WalkerState(positions, key, tf.constant(0.3, positions.dtype))
    sample = sampling_in("ansatz", sampler, ansatz, positions.shape[1], lambda walk: compiled_phase(walk, True))
    metropolis = tf.function(sample, autograph=False)  # as in training
    population = start_population(guide, positions)
    both = [_milliseconds(lambda: diffusion(population)), _milliseconds(lambda: metropolis(state))]
    each = [one / n_steps for one in both]
    return [name, *(f"{one:.3f}" for one in each), f"{each[0] / each[1]:.2f}"]


def _milliseconds(work: Callable[[], Any], n_calls: int = 7) -> float:
    """Returns the shortest time of a call in milliseconds, after one that compiles."""
    times = []
    for _ in range(n_calls + 1):
        started = time.perf_counter()
        tf.nest.map_structure(np.asarray, work())
        times.append(time.perf_counter() - started)
    return 1000 * min(times[1:])


def pulls(name: str, n_runs: int) -> np.ndarray:
    """Returns the deviations in errors of short independent runs, shape (n_runs,).

    Their guide is that of free fermions as they are: the best one has the exact energy of harmonic pairs.
    """
    system, exact = TrappedFermions(**SYSTEMS[name]), reference_energy(**SYSTEMS[name]).energy
    guide, exponent = free_fermion_guide(system), system.contact_exponent
    options: dict[str, Any] = {"time_steps": SHORT_STEPS, "target_error": 1.0, "max_seconds": 600.0}
    results = []
    for seed in range(1000, 1000 + n_runs):
        start = free_fermion_positions(N_WALKERS, system.n_particles, Stiffness(), exponent, seed)
        results.append(diffusion_energy(guide, tf.constant(start), seed=seed, **options))
    return np.array([(one.energy - exact) / one.energy_error for one in results])


def main() -> int:
    """Prints the table, or the calibration; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=None)
    parser.add_argument("--target_error", type=float, default=1e-3)
    parser.add_argument("--max_seconds", type=float, default=120.0)
    parser.add_argument("--n_walkers", type=int, default=512)
    parser.add_argument("--time_steps", nargs="+", type=float, default=defaults.DIFFUSION_TIME_STEPS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--runs", help="folder of trained runs that bear the names of systems")
    parser.add_argument("--cost", action="store_true", help="compare a step with a Metropolis step")
    parser.add_argument("--calibrate", type=int, default=0, help="number of short runs of each system")
    flags = parser.parse_args()
    if flags.cost:
        header = ["system", "ms of a diffusion step", "ms of a Metropolis step", "ratio"]
        rows = [cost(name, flags.runs, flags.n_walkers) for name in flags.systems or SYSTEMS]
        show_table(f"Steps of {flags.n_walkers} walkers", header, rows)
        return 0
    if not flags.calibrate:
        rows = []
        for name in flags.systems or SYSTEMS:
            rows.append(row(name, flags))
            say("  ".join(rows[-1]))
        header = ["system", "exact", "diffusion", "error", "deviation in errors", "seconds", "CPU seconds"]
        guide = "trained wave functions" if flags.runs else "the best guide without training"
        show_table(f"Energies in hbar*omega by diffusion, guided by {guide}", header, rows)
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
