"""The ground-state energy by diffusion Monte Carlo: several time steps, extrapolated to none."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from numpy.polynomial import polynomial
from scipy.stats import chi2

from tf_nqs.diffusion.walk import Generation, Guide, Population, one_generation, start_population
from tf_nqs.types import Tensor

_GENERATION = 0.1
"""Imaginary time between two branchings, in 1/omega."""

_MEMORY = 8.0
"""Imaginary time, in 1/omega, over which the growth of a fixed population is counted: without it the energy of N
walkers is off by a term in 1/N. exp(-8) of the first excitation, which is at most omega above the ground state, is
left."""

_EQUILIBRATION = 6.0
"""Imaginary time before anything is counted, in 1/omega."""

TIME_STEPS = (0.04, 0.02, 0.01)
"""In 1/omega."""

_LONGEST_STEP, _FEWEST_WALKERS = 1.0, 32

_UNLIKELY, _LEAST_ERROR = 0.05, 1e-12

_PER_CALL = 10
"""Generations in one call of the compiled walk."""


class TimeStepEnergy(NamedTuple):
    """An energy at one time step.

    Attributes:
        time_step: tau, in 1/omega.
        energy: mixed estimate <Psi|H|Phi>/<Psi|Phi>, in hbar*omega: exact but for the time step.
        energy_error: standard error, autocorrelation-corrected.
        n_generations: that were counted.
        acceptance: accepted share of the moves.
        effective_walkers: mean over generations.
    """

    time_step: float
    energy: float
    energy_error: float
    n_generations: int
    acceptance: float
    effective_walkers: float


class DiffusionEnergy(NamedTuple):
    """The ground-state energy, extrapolated to time step zero.

    Attributes:
        energy: in hbar*omega.
        energy_error: standard error.
        time_steps: what it is extrapolated from.
    """

    energy: float
    energy_error: float
    time_steps: list[TimeStepEnergy]


class Walk:
    """A population at one time step, and what its generations have measured.

    Args:
        guide: the guide.
        positions: where the walkers start, shape (n_walkers, n_particles), in a_ho.
        time_step: tau, in 1/omega.
        seed: of the random numbers.
        jit_compile: whether XLA compiles the walk.
    """

    def __init__(self, guide: Guide, positions: Tensor, time_step: float, seed: int, jit_compile: bool = True):
        self.time_step = float(time_step)
        self._seed, self._n_calls = seed, 0
        self._n_steps = max(1, round(_GENERATION / time_step))
        self._rows: list[np.ndarray] = []
        self._population = start_population(guide, positions)
        self._trial_energy = tf.reduce_mean(self._population.guide.local_energy)

        def generations(population: Population, trial_energy: Tensor, seed: Tensor) -> tuple:
            tau = tf.constant(self.time_step, population.positions.dtype)

            def body(index: Tensor, population: Population, rows: Tensor) -> tuple:
                key = tf.random.experimental.stateless_fold_in(seed, index)
                population, row = one_generation(guide, population, tau, trial_energy, self._n_steps, key)
                row = tf.stack([tf.cast(number, tau.dtype) for number in row])
                return index + 1, population, tf.tensor_scatter_nd_update(rows, [[index]], [row])

            rows = tf.zeros((_PER_CALL, len(Generation._fields)), tau.dtype)
            return tf.while_loop(lambda index, *_: index < _PER_CALL, body, (0, population, rows))[1:]

        self._generations = tf.function(generations, jit_compile=jit_compile, autograph=False)
        for _ in range(math.ceil(_EQUILIBRATION / self._time_per_call)):
            self._advance()
        self._trial_energy = tf.constant(np.mean(self._rows[-1][:, 0]), self._trial_energy.dtype)
        self._rows.clear()

    @property
    def _time_per_call(self) -> float:
        return _PER_CALL * self._n_steps * self.time_step

    def advance(self, imaginary_time: float) -> None:
        """Continues the walk, and counts its generations.

        Args:
            imaginary_time: at least this long, in 1/omega.
        """
        for _ in range(math.ceil(imaginary_time / self._time_per_call)):
            self._advance()

    def _advance(self) -> None:
        seed = tf.constant([self._seed, self._n_calls], tf.int32)
        self._population, rows = self._generations(self._population, self._trial_energy, seed)
        self._n_calls += 1
        self._rows.append(rows.numpy().astype(np.float64))

    def result(self) -> TimeStepEnergy:
        """Returns the energy by all generations so far."""
        columns = Generation(*np.concatenate(self._rows).T)
        memory = round(_MEMORY / (self._n_steps * self.time_step))
        energy, error = growth_corrected_mean(columns.energy, columns.log_growth, memory)
        return TimeStepEnergy(
            time_step=self.time_step,
            energy=energy,
            energy_error=error,
            n_generations=len(columns.energy),
            acceptance=float(columns.acceptance.mean()),
            effective_walkers=float(columns.effective_walkers.mean()),
        )


def growth_corrected_mean(energies: np.ndarray, log_growths: np.ndarray, memory: int) -> tuple[float, float]:
    """Returns the mean energy with the factors put back that keep the population fixed, and its standard error.

    A fixed population divides all weights by their mean. Each generation therefore counts with the product of the
    mean weights of the last `memory` generations, its own among them.

    Args:
        energies: of each generation, in hbar*omega.
        log_growths: logarithm of each generation's mean weight.
        memory: number of generations.

    Reference: UNR, Eq. 20.
    """
    sums = np.concatenate([[0.0], np.cumsum(log_growths)])
    ends = np.arange(1, len(energies) + 1)
    products = sums[ends] - sums[np.maximum(ends - memory, 0)]
    mean_growth = sums[-1] / len(energies)
    products -= mean_growth * np.minimum(ends, memory)  # the first products have fewer factors
    weights = np.exp(products - products.max())
    weights /= weights.mean()
    energy = float(np.mean(weights * energies))
    influence = weights * (energies - energy)
    return energy, blocked_error(influence)


def blocked_error(series: np.ndarray) -> float:
    """Returns the standard error of the mean of a correlated series of mean zero: the largest over block lengths.

    Blocks are doubled while at least 32 of them are left.

    Args:
        series: shape (n,).

    Reference: Flyvbjerg, Petersen, J. Chem. Phys. 91, 461 (1989).
    """
    errors = []
    while len(series) >= 32:
        errors.append(series.std(ddof=1) / math.sqrt(len(series)))
        series = 0.5 * (series[0 : len(series) // 2 * 2 : 2] + series[1::2])
    return float(max(errors, default=math.inf))


def extrapolated(results: Sequence[TimeStepEnergy]) -> tuple[float, float]:
    """Returns the energy at time step zero and its standard error, by a weighted fit of E + c tau.

    Where three or more time steps do not lie on a line, by more than chance in one of twenty, the fit is
    E + c tau + d tau^2.

    Args:
        results: at two or more different time steps.
    """
    energy, error, misfit = _fitted(results, 1)
    n_free = len(results) - 2
    if n_free and chi2.sf(misfit, n_free) < _UNLIKELY:
        energy, error, _ = _fitted(results, 2)
    return energy, error


def _fitted(results: Sequence[TimeStepEnergy], order: int) -> tuple[float, float, float]:
    """Returns the constant of a polynomial in the time step, its error, and the sum of squared deviations in errors."""
    steps, energies, errors = (
        np.array([getattr(one, name) for one in results]) for name in ("time_step", "energy", "energy_error")
    )
    errors = np.maximum(errors, _LEAST_ERROR)  # an exact guide has none
    coefficients = polynomial.polyfit(steps, energies, order, w=1 / errors)
    design = np.vander(steps / steps.max(), order + 1, increasing=True) / errors[:, None]
    inverse = np.linalg.pinv(design)
    misfit = np.sum(((energies - polynomial.polyval(steps, coefficients)) / errors) ** 2)
    return float(coefficients[0]), float(np.linalg.norm(inverse[0])), float(misfit)


def diffusion_energy(
    guide: Guide,
    positions: Tensor,
    time_steps: Sequence[float] = TIME_STEPS,
    target_error: float = 1e-3,
    max_seconds: float = 300.0,
    seed: int = 0,
    report: Callable[[DiffusionEnergy], None] = lambda result: None,
) -> DiffusionEnergy:
    """Returns the ground-state energy of fermions on a line by diffusion Monte Carlo.

    Exact within its standard error, if the guide has the ground state's nodes: it vanishes where two particles meet,
    and nowhere else.

    Args:
        guide: the guide, positions -> GuideValues; a better one has a smaller error in the same time.
        positions: where the walkers start, shape (n_walkers, n_particles), in a_ho.
        time_steps: in 1/omega, two or more; each has its own walkers.
        target_error: standard error of the extrapolated energy at which the diffusion ends, in hbar*omega.
        max_seconds: wall time after which it ends.
        seed: of the random numbers.
        report: called with the result so far.

    Raises:
        ValueError: an argument is out of its range, or the energy of the guide is not finite on some walker.

    Example:
        >>> from tf_nqs.diffusion import free_fermion_guide
        >>> from tf_nqs.physics import TrappedFermions
        >>> guide = free_fermion_guide(TrappedFermions(2, interaction_strength=0.0))
        >>> positions = tf.constant([[-1.0, 1.0], [-0.5, 1.0]] * 16)
        >>> round(diffusion_energy(guide, positions, time_steps=(0.1, 0.2)).energy, 4)
        2.0
    """
    started = time.monotonic()
    _check(positions, time_steps, target_error, max_seconds)
    walks = [Walk(guide, positions, step, seed + index) for index, step in enumerate(time_steps)]
    while True:
        for walk in walks:
            walk.advance(_MEMORY)
        results = [walk.result() for walk in walks]
        result = DiffusionEnergy(*extrapolated(results), results)
        report(result)
        if result.energy_error <= target_error or time.monotonic() - started > max_seconds:
            return result


def _check(positions: Tensor, time_steps: Sequence[float], target_error: float, max_seconds: float) -> None:
    if len(set(time_steps)) < 2 or not all(0 < step <= _LONGEST_STEP for step in time_steps):
        allowed = f"two or more different numbers above 0, at most {_LONGEST_STEP:g}"
        raise ValueError(f"time_steps = {tuple(time_steps)}: must be {allowed}")
    if positions.shape[0] < _FEWEST_WALKERS:
        raise ValueError(f"n_walkers = {positions.shape[0]}: must be at least {_FEWEST_WALKERS}")
    for name, value in (("target_error", target_error), ("max_seconds", max_seconds)):
        if not 0 < value < math.inf:
            raise ValueError(f"{name} = {value}: must be above 0 and finite")
