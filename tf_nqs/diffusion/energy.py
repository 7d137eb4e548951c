"""The ground-state energy by diffusion Monte Carlo: several time steps, extrapolated to none."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tf_nqs import defaults
from tf_nqs.analysis.rounding import rounding_error
from tf_nqs.diffusion.extrapolation import TimeStepEnergy, extrapolated, observables_at_zero
from tf_nqs.diffusion.time_step import Observe, Walk, WalkState, compiled_generations
from tf_nqs.diffusion.walk import Guide
from tf_nqs.types import Estimate, Tensor

_ROUND = 8.0
"""Imaginary time between two looks at the error, in 1/omega."""

_SHORTEST = 96.0
"""Imaginary time that is counted at least, in 1/omega: 16 blocks of 6, without which no error is known."""


class DiffusionEnergy(NamedTuple):
    """The ground-state energy, extrapolated to time step zero.

    Attributes:
        energy: in hbar*omega.
        energy_error: standard error, together with what rounding in the guide may shift the energy by.
        time_steps: what it is extrapolated from.
        mixed, forward: what was observed, extrapolated too: by the walkers as they are, see `Walk.observables`, and by
            their descendants, which is exact; None if nothing was.
    """

    energy: float
    energy_error: float
    time_steps: list[TimeStepEnergy]
    mixed: Estimate | None = None
    forward: Estimate | None = None


class Progress(NamedTuple):
    """How far a diffusion is, and all that it needs to go on.

    Attributes:
        states: of the walks, one for each time step.
        seconds: wall time so far.
        edge: of the density, see `observables.Look`; kept by what continues; nan where nothing is observed.
    """

    states: list[WalkState]
    seconds: float
    edge: float = math.nan


class TooShortError(ValueError):
    """The time was over before the walkers had walked long enough for an error to be known."""


def diffusion_energy(
    guide: Guide,
    positions: Tensor,
    time_steps: Sequence[float] = defaults.DIFFUSION_TIME_STEPS,
    target_error: float = 1e-3,
    max_seconds: float = 300.0,
    seed: int = 0,
    report: Callable[[DiffusionEnergy], None] = lambda result: None,
    keep: Callable[[Callable[[], Progress]], None] = lambda progress: None,
    earlier: Progress | None = None,
    jit_compile: bool = True,
    observe: Observe | None = None,
) -> DiffusionEnergy:
    """Returns the ground-state energy of fermions on a line by diffusion Monte Carlo.

    Exact within its standard error, if the guide has the ground state's nodes: it vanishes where two particles meet,
    and nowhere else.

    Args:
        guide: the guide, positions -> GuideValues; a better one has a smaller error in the same time.
        positions: where the walkers start, shape (n_walkers, n_particles), in a_ho.
        time_steps: in 1/omega, two or more, from 1e-4 to 1; each has its own walkers.
        target_error: standard error of the extrapolated energy at which the diffusion ends, in hbar*omega.
        max_seconds: wall time after which it ends; that of an earlier part counts.
        seed: of the random numbers.
        report: called with the result so far.
        keep: called often, with a function that returns the progress so far.
        earlier: progress of a diffusion with the same arguments, which this one continues.
        jit_compile: whether XLA compiles the walk.
        observe: what else to measure, such as `tf_nqs.diffusion.look_at`: positions -> means over the walkers.

    Raises:
        ValueError: an argument is out of its range, the energy of the guide is finite on no walker, or
            (`TooShortError`) max_seconds is too short for any result.

    Example:
        >>> from tf_nqs.diffusion import free_fermion_guide, free_fermion_positions
        >>> from tf_nqs.physics import TrappedFermions
        >>> guide = free_fermion_guide(TrappedFermions(2, interaction_strength=0.0))
        >>> positions = free_fermion_positions(n_walkers=32, n_particles=2)
        >>> round(diffusion_energy(guide, positions, time_steps=(0.1, 0.2)).energy, 4)
        2.0
    """
    started = time.monotonic() - (earlier.seconds if earlier else 0.0)
    positions = tf.convert_to_tensor(positions)
    _check(positions, time_steps, target_error, max_seconds)
    check_energies(guide, positions)
    states = earlier.states if earlier else [None] * len(time_steps)
    generations = compiled_generations(guide, jit_compile)
    walks = [
        Walk(guide, positions, step, seed, index, generations, state, observe)
        for index, (step, state) in enumerate(zip(time_steps, states, strict=True))
    ]
    while True:
        is_late = _advance(walks, started + max_seconds, keep, started)
        counted = min(walk.counted_time for walk in walks)
        is_long = counted >= _SHORTEST
        if is_late and not is_long:
            raise TooShortError(
                f"max_seconds: must be longer; {counted:.0f} of at least {_SHORTEST:.0f}/omega are counted"
            )
        results = [walk.result() for walk in walks]
        energy, error = extrapolated(results)
        rounding = rounding_error([energy], positions.dtype.as_numpy_dtype)
        result = DiffusionEnergy(energy, math.hypot(error, rounding), results)
        report(result)
        if is_late or (is_long and result.energy_error <= target_error):
            return result if observe is None else _with_observables(result, walks)


def _with_observables(result: DiffusionEnergy, walks: Sequence[Walk]) -> DiffusionEnergy:
    steps = [walk.time_step for walk in walks]
    mixed, forward = zip(*(walk.observables() for walk in walks), strict=True)
    return result._replace(mixed=observables_at_zero(steps, mixed), forward=observables_at_zero(steps, forward))


def _advance(walks: Sequence[Walk], end: float, keep: Callable[[Callable[[], Progress]], None], started: float) -> bool:
    """Continues all walks by `_ROUND`, or until the time is over; returns whether it is over."""
    # The end of a round is a multiple of its length, so that a continued walk stops where an uninterrupted one does.
    n_rounds = min(walk.counted_time for walk in walks) // _ROUND + 1
    while (slowest := min(walks, key=lambda walk: walk.counted_time)).counted_time < n_rounds * _ROUND:
        slowest.advance_once()
        keep(lambda: Progress([walk.state for walk in walks], time.monotonic() - started))
        if time.monotonic() > end:
            return True
    return False


def check_energies(guide: Guide, positions: Tensor) -> None:
    """Refuses a start where no walker has a finite energy.

    Raises:
        ValueError: one line.
    """
    if not np.any(np.isfinite(guide(positions).local_energy)):
        raise ValueError(f"the local energy is finite on none of {positions.shape[0]} walkers")


def _check(positions: Tensor, time_steps: Sequence[float], target_error: float, max_seconds: float) -> None:
    shortest, longest = defaults.SHORTEST_TIME_STEP, defaults.LONGEST_TIME_STEP
    are_different = 2 <= len(time_steps) == len(set(time_steps))
    if not (are_different and all(shortest <= step <= longest for step in time_steps)):
        allowed = f"two or more different numbers from {shortest:g} to {longest:g}"
        raise ValueError(f"time_steps = {tuple(time_steps)}: must be {allowed}")
    if positions.shape[0] < defaults.FEWEST_DIFFUSION_WALKERS:
        raise ValueError(f"n_walkers = {positions.shape[0]}: must be at least {defaults.FEWEST_DIFFUSION_WALKERS}")
    for name, value in (("target_error", target_error), ("max_seconds", max_seconds)):
        if not 0 < value < math.inf:
            raise ValueError(f"{name} = {value}: must be above 0 and finite")
