"""A population at one time step: its generations in one compiled call, and all that it needs to go on later."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tf_nqs.diffusion.extrapolation import TimeStepEnergy, blocked_error, growth_corrected_mean, growth_weights
from tf_nqs.diffusion.walk import (
    Generation,
    Guide,
    GuideValues,
    Population,
    new_population,
    one_generation,
    start_population,
)
from tf_nqs.types import Estimate, Tensor

_GENERATION = 0.1
"""Imaginary time between two branchings, in 1/omega."""

_MEMORY = 8.0
"""Imaginary time, in 1/omega, over which the growth of a fixed population is counted: without it the energy of N
walkers is off by a term in 1/N. What is left of the first excitation decays as exp(-8 gap/(hbar*omega))."""

_EQUILIBRATION = 6.0
"""Imaginary time before anything is counted, in 1/omega."""

PER_CALL = 10
"""Generations in one call of the compiled walk."""

_MOST_STEPS = 20
"""In a generation. Generations of shorter time steps are shorter: time limit and Ctrl-C wait for the end of a call."""

_FORWARD = 4.0
"""Imaginary time, in 1/omega, after which the positions of ancestors are looked at: a walker's number of living
descendants then makes its mixed probability |Psi Phi| that of the ground state, Phi^2."""

ROW_LENGTH = len(Generation._fields)
"""Numbers that are kept of a generation."""


def n_steps(time_step: float) -> int:
    """Returns the number of steps in a generation."""
    return min(max(1, round(_GENERATION / time_step)), _MOST_STEPS)


def time_per_call(time_step: float) -> float:
    """Returns the imaginary time of one call of the compiled walk, in 1/omega."""
    return PER_CALL * n_steps(time_step) * time_step


def n_carried(time_step: float) -> int:
    """Returns the number of calls after which the positions of ancestors are looked at."""
    return max(1, round(_FORWARD / time_per_call(time_step)))


def forward_time(time_step: float) -> float:
    """Returns the imaginary time of the forward walking, in 1/omega: as near to 4 as whole calls are."""
    return n_carried(time_step) * time_per_call(time_step)


Observe = Callable[[np.ndarray], np.ndarray]
"""Positions (n_walkers, n_particles) in a_ho -> means over the walkers, (n_observables,)."""

Generations = Callable[..., tuple[Population, Tensor]]
"""(population, trial_energy, seed, time_step, n_steps) -> the population, and a row for each of its generations."""


class WalkState(NamedTuple):
    """All that a walk needs to go on, as NumPy arrays.

    Attributes:
        positions, log_abs_psi, gradient, local_energy: of the walkers, see `Population`.
        carried: positions of the walkers' ancestors at the ends of the last calls, oldest first, shape (n_calls,
            n_walkers, n_particles); empty if nothing is observed.
        observed: means over the walkers at the end of each call, and over their ancestors, shape (n_calls, 2,
            n_observables).
        rows: `Generation` of each generation so far, shape (n_generations, n_fields).
    """

    positions: np.ndarray
    log_abs_psi: np.ndarray
    gradient: np.ndarray
    local_energy: np.ndarray
    carried: np.ndarray
    observed: np.ndarray
    rows: np.ndarray


@functools.lru_cache(maxsize=1)
def compiled_generations(guide: Guide, jit_compile: bool = True) -> Generations:
    """Returns the function that does `PER_CALL` generations; it is compiled once for all time steps.

    The last one is remembered: another diffusion with the same guide need not compile it again.

    Args:
        guide: the guide.
        jit_compile: whether XLA compiles it.
    """

    def generations(
        population: Population, trial_energy: Tensor, seed: Tensor, time_step: Tensor, n_steps: Tensor
    ) -> tuple[Population, Tensor]:
        population = population._replace(ancestors=tf.range(population.positions.shape[0]))

        def body(index: Tensor, population: Population, rows: Tensor) -> tuple:
            key = tf.random.experimental.stateless_fold_in(seed, index)
            population, row = one_generation(guide, population, time_step, trial_energy, n_steps, key)
            row = tf.stack([tf.cast(number, time_step.dtype) for number in row])
            return index + 1, population, tf.tensor_scatter_nd_update(rows, [[index]], [row])

        rows = tf.zeros((PER_CALL, ROW_LENGTH), time_step.dtype)
        _, population, rows = tf.while_loop(lambda index, *_: index < PER_CALL, body, (0, population, rows))
        return population, rows

    compiled: Generations = tf.function(generations, jit_compile=jit_compile, autograph=False)
    return compiled


class Walk:
    """A population at one time step, and what its generations have measured.

    Args:
        guide: the guide.
        positions: where the walkers start, shape (n_walkers, n_particles), in a_ho.
        time_step: tau, in 1/omega.
        seed: of the random numbers.
        index: number of the walk among those with this seed.
        generations: of `compiled_generations`; None makes one.
        state: of an earlier walk with the same arguments, which this one continues; None starts a new one.
        observe: positions (n_walkers, n_particles) -> means over the walkers, (n_observables,); None for nothing.
    """

    def __init__(
        self,
        guide: Guide,
        positions: Tensor,
        time_step: float,
        seed: int,
        index: int = 0,
        generations: Generations | None = None,
        state: WalkState | None = None,
        observe: Observe | None = None,
    ):
        self.time_step = float(time_step)
        self._key = tf.random.experimental.stateless_fold_in(tf.constant([seed % 2**31, 0]), index)
        self._n_steps, self._n_carried = n_steps(time_step), n_carried(time_step)
        self._generations, self._observe = generations or compiled_generations(guide), observe
        if state is None:
            self._population = start_population(guide, positions)
            self._rows: list[np.ndarray] = []
            self._carried: list[np.ndarray] = []
            self._observed: list[np.ndarray] = []
        else:
            guide_values = GuideValues(*map(tf.constant, (state.log_abs_psi, state.gradient, state.local_energy)))
            self._population = new_population(tf.constant(state.positions), guide_values)
            self._rows = list(state.rows.reshape(-1, PER_CALL, ROW_LENGTH))
            self._carried, self._observed = list(state.carried), list(state.observed)

    @property
    def state(self) -> WalkState:
        """All that a later walk needs to go on where this one is."""
        positions = np.asarray(self._population.positions)
        rows = np.concatenate([np.zeros((0, ROW_LENGTH)), *self._rows])
        carried = np.reshape(self._carried, (-1, *positions.shape)).astype(positions.dtype)
        observed = np.stack(self._observed) if self._observed else np.zeros((0, 2, 0), np.float32)
        log_abs_psi, gradient, local_energy = map(np.asarray, self._population.guide)
        return WalkState(positions, log_abs_psi, gradient, local_energy, carried, observed, rows)

    @property
    def counted(self) -> Generation:
        """The generations after the equilibration, as columns of shape (n_generations,)."""
        rows = [np.zeros((0, ROW_LENGTH)), *self._rows[self._n_equilibration :]]
        return Generation(*np.concatenate(rows).T)

    @property
    def counted_time(self) -> float:
        """Imaginary time after the equilibration, in 1/omega."""
        return max(0, len(self._rows) - self._n_equilibration) * time_per_call(self.time_step)

    @property
    def _n_equilibration(self) -> int:
        return math.ceil(_EQUILIBRATION / time_per_call(self.time_step))

    def advance_once(self) -> None:
        """Continues the walk by one compiled call.

        Raises:
            ValueError: all walkers have come to energies that are not finite.
        """
        self._population, rows = self._generations(
            self._population,
            self._constant(self._trial_energy),
            tf.random.experimental.stateless_fold_in(self._key, len(self._rows)),
            self._constant(self.time_step),
            tf.constant(self._n_steps),
        )
        self._rows.append(np.asarray(rows, np.float64))
        if not np.all(np.isfinite(self._rows[-1])):
            raise ValueError("the local energy is finite on no walker any more")
        if self._observe is not None:
            self._look(self._observe)

    def _look(self, observe: Observe) -> None:
        """Observes the walkers, and the ancestors that they had some calls ago."""
        positions, ancestors = (np.asarray(one) for one in (self._population.positions, self._population.ancestors))
        self._carried = [*(earlier[ancestors] for earlier in self._carried), positions]
        mixed = observe(positions)
        forward = np.full_like(mixed, np.nan)
        if len(self._carried) > self._n_carried:
            forward = observe(self._carried.pop(0))
        self._observed.append(np.stack([mixed, forward]).astype(np.float32))

    def _constant(self, value: Any) -> Tensor:
        return tf.constant(value, self._population.positions.dtype)

    @property
    def _trial_energy(self) -> float:
        """A median, because a single walker with a huge energy moves a mean so far that no other walker branches."""
        if len(self._rows) >= self._n_equilibration:
            return float(np.median(self._rows[self._n_equilibration - 1][:, 0]))
        energies = np.asarray(self._population.guide.local_energy, np.float64)  # all weights are equal between calls
        return float(np.median(energies[np.isfinite(energies)]))

    def result(self) -> TimeStepEnergy:
        """Returns the energy by all generations so far, whose number must be above 0."""
        columns = self.counted
        memory = round(_MEMORY / (self._n_steps * self.time_step))
        energy, error = growth_corrected_mean(columns.energy, columns.log_growth, memory)
        return TimeStepEnergy(
            time_step=self.time_step,
            energy=energy,
            energy_error=error,
            n_generations=len(columns.energy),
            acceptance=float(columns.acceptance.mean()),
            effective_walkers=float(columns.effective_walkers.mean()),
            n_non_finite=int(columns.n_non_finite.sum()),
            drift_in_sigma=_drift_in_sigma(columns, memory),
        )

    def observables(self) -> tuple[Estimate, Estimate]:
        """Returns the mixed and the forward-walking means of what is observed, with standard errors.

        The mixed ones, <Psi|O|Phi>/<Psi|Phi>, have an error of first order in that of the guide. In the others each
        walker counts with the number of its descendants some time later, which gives the ground state's own.
        """
        observed, growths = np.stack(self._observed).astype(np.float64), np.concatenate(self._rows)[:, 1]
        memory = round(_MEMORY / (self._n_steps * self.time_step))
        found = []
        for which, n_calls in enumerate((0, self._n_carried)):
            first = self._n_equilibration + n_calls
            weights = growth_weights(growths[self._n_equilibration * PER_CALL :], memory + n_calls * PER_CALL)
            weights = weights[n_calls * PER_CALL + PER_CALL - 1 :: PER_CALL, np.newaxis]
            values = observed[first:, which]
            if not len(values):
                nothing = np.full(values.shape[1:], np.nan)
                found.append(Estimate(nothing, nothing))
                continue
            mean = np.sum(weights * values, axis=0) / weights.sum()
            influence = weights * (values - mean) / weights.mean()
            found.append(Estimate(mean, blocked_error(influence)))
        return found[0], found[1]


def _drift_in_sigma(columns: Generation, memory: int) -> float:
    """Returns the energy of the second half less that of the first, in errors."""
    middle = len(columns.energy) // 2
    halves = [
        growth_corrected_mean(columns.energy[part], columns.log_growth[part], memory)
        for part in (slice(middle), slice(middle, None))
    ]
    (first, first_error), (second, second_error) = halves
    error = math.hypot(first_error, second_error)
    return (second - first) / error if math.isfinite(error) and error > 0 else 0.0
