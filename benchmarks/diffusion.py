"""Diffusion Monte Carlo on systems whose energy is known, or not: energies, errors, seconds.

Usage: python -m benchmarks.diffusion [--systems a4_v10 harmonic_a8 ...] [--target_error=1e-3] [--max_seconds=120]
                                      [--runs=FOLDER]
       python -m benchmarks.diffusion --calibrate=40 [--systems harmonic_a3] [--target_error=0.0075]
       python -m benchmarks.diffusion --cost --runs=FOLDER [--systems a4_v10 ...]

The first form prints a row for each system, guided by the best guide that needs no training, or with --runs by the
trained wave function in FOLDER/SYSTEM. The second does many short independent runs of each system and prints how their
deviations compare with their errors: the rms must be from 0.8 to 1.25; it ends with status 1 if one is not. Some runs
reach the default target as soon as they may end, others later, so that the rule that ends a run is calibrated too. The
third compares a step of the diffusion with a Metropolis step of the same walkers and wave function.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from benchmarks.report import say, show_table
from tf_nqs import defaults, load
from tf_nqs.diffusion import (
    DiffusionEnergy,
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

TARGET = 1e-3
"""Default target of the table, in hbar*omega."""

CALIBRATED, SHORT_TARGET, N_SHORT_WALKERS = ("harmonic_a3",), 0.0075, 128
"""Default systems, target and number of walkers of the short runs; the target is near the median of their errors at the
first look at which they may end."""


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


class ShortRuns(NamedTuple):
    """What short independent runs have found.

    Attributes:
        pulls: deviations in errors, shape (n_runs,).
        n_looks: how often each has looked at its error before it ended, shape (n_runs,).
    """

    pulls: np.ndarray
    n_looks: np.ndarray

    def summary(self) -> str:
        """Returns the rms and the mean of the deviations, and how many runs were longer than the shortest."""
        pulls, looks, n_runs = self.pulls, self.n_looks, len(self.pulls)
        rms, largest = np.sqrt(np.mean(pulls**2)), np.abs(pulls).max()
        return (
            f"rms {rms:.2f}, mean {pulls.mean():+.2f} +- {1 / np.sqrt(n_runs):.2f}, largest {largest:.2f}; "
            f"{np.sum(looks > looks.min())} of {n_runs} runs longer than the shortest, the longest "
            f"{looks.max() / looks.min():.2g} times"
        )


def short_runs(
    name: str,
    n_runs: int,
    target_error: float = SHORT_TARGET,
    time_steps: Sequence[float] = defaults.DIFFUSION_TIME_STEPS,
    n_walkers: int = N_SHORT_WALKERS,
) -> ShortRuns:
    """Does short independent runs, with the default time steps and so with the default fit.

    Their guide is that of free fermions as they are: the best one has the exact energy of harmonic pairs.

    Args:
        name: of a system whose energy is known.
        n_runs: number of runs.
        target_error: at which a run ends, in hbar*omega.
        time_steps: in 1/omega.
        n_walkers: number of walkers of each time step.
    """
    system, exact = TrappedFermions(**SYSTEMS[name]), reference_energy(**SYSTEMS[name]).energy
    guide, exponent = free_fermion_guide(system), system.contact_exponent
    options: dict[str, Any] = {"time_steps": time_steps, "target_error": target_error, "max_seconds": 3600.0}
    pulls, n_looks = [], []
    for seed in range(1000, 1000 + n_runs):
        start = free_fermion_positions(n_walkers, system.n_particles, Stiffness(), exponent, seed)
        looks: list[DiffusionEnergy] = []
        found = diffusion_energy(guide, tf.constant(start), seed=seed, report=looks.append, **options)
        pulls.append((found.energy - exact) / found.energy_error)
        n_looks.append(len(looks))
    return ShortRuns(np.array(pulls), np.array(n_looks))


def main() -> int:
    """Prints the table, or the calibration; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=None)
    parser.add_argument("--target_error", type=float, help=f"default: {TARGET:g}, of short runs {SHORT_TARGET:g}")
    parser.add_argument("--max_seconds", type=float, default=120.0)
    n_walkers = f"default: {defaults.N_DIFFUSION_WALKERS}, of short runs {N_SHORT_WALKERS}"
    parser.add_argument("--n_walkers", type=int, help=n_walkers)
    parser.add_argument("--time_steps", nargs="+", type=float, default=defaults.DIFFUSION_TIME_STEPS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--runs", help="folder of trained runs that bear the names of systems")
    parser.add_argument("--cost", action="store_true", help="compare a step with a Metropolis step")
    parser.add_argument("--calibrate", type=int, default=0, help="number of short runs of each system")
    flags = parser.parse_args()
    is_short = flags.calibrate > 0
    flags.target_error = flags.target_error or (SHORT_TARGET if is_short else TARGET)
    flags.n_walkers = flags.n_walkers or (N_SHORT_WALKERS if is_short else defaults.N_DIFFUSION_WALKERS)
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
        found = short_runs(name, flags.calibrate, flags.target_error, flags.time_steps, flags.n_walkers)
        rms = float(np.sqrt(np.mean(found.pulls**2)))
        say(f"{name}: {found.summary()}")
        worst = worst if RMS[0] <= rms <= RMS[1] else rms
    return int(not RMS[0] <= worst <= RMS[1])


if __name__ == "__main__":
    sys.exit(main())
