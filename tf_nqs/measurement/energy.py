"""Measuring the energy of a frozen wave function to a requested error."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from tf_nqs.analysis.chain_sums import ChainSums
from tf_nqs.analysis.rounding import rounding_error
from tf_nqs.analysis.statistics import SampledMean
from tf_nqs.execution.agreement import chief_decides, of_chief
from tf_nqs.measurement.walker_rows import Moments, combine_samples, refuse_infinite, typical_values, variance_moments
from tf_nqs.physics.contact import has_finite_parts, with_contact_energy
from tf_nqs.sampling.near_pairs import WeightedPositions
from tf_nqs.types import Estimate, LocalEnergy, Tensor, WalkerState

_LEAST_CALLS = 20
"""Fewer rows would make the convergence diagnostics, and the error of the error, meaningless."""

_FULL_CALLS, _FULL_SAMPLES = 200, 100_000
"""A smaller error than asked for costs seconds; fewer samples miss rare walkers whose local energy is far off."""

_LARGEST_UNCERTAINTY = 0.15
"""An error counts as reached when it is known this well, relatively: not while a few walkers next to nodes make it."""

_LEAST_GROWTH = 1.1
"""Looking after every row would sooner or later find an error that is small by chance."""

_SECONDS_BETWEEN_REPORTS = 2.0

_PARTS = ("total", *LocalEnergy._fields)


class EnergyMeasurement(NamedTuple):
    """An energy measured with frozen parameters and a frozen proposal width, in hbar*omega.

    Attributes:
        energy: mean local energy.
        energy_error: standard error: from the spread of the chains, or from blocks of time where that is significantly
            larger, together with what rounding may shift the mean by, see
            `tf_nqs.analysis.rounding.rounding_error`; nan where it cannot be
            known, because the burn-in did not end in equilibrium or the chains have not mixed.
        energy_error_naive: uncorrected error, as if all samples were independent.
        variance: of the local energy.
        kinetic: mean kinetic energy.
        trap: mean energy in the trap.
        interaction: mean interaction energy.
        acceptance: accepted share of the proposed moves.
        r_hat: split Gelman-Rubin statistic of the chains; 1 when they agree, None if undefined. Of long measurements,
            on some of their rows, evenly spaced.
        effective_samples: number of independent samples with the same error; nan if it is not known.
        n_non_finite: samples left out because their local energy is not finite.
        n_samples: samples counted.
        energy_error_chains: the error from the chains alone.
        energy_error_blocks: the error from blocks of time alone.
        error_uncertainty: relative standard error of energy_error; large where few walkers make the variance.
        autocorrelation_time: in sampling calls, with its error.
        v_score: A variance / (energy - A^2/2)^2, with its error; None without an interaction, and in all traps
            but the harmonic one.
        kinetic_error, trap_error, interaction_error: standard errors of the parts; nan of the first and the last
            where an interaction l(l-1)/r^2 with l <= 1.5 gives them an infinite variance.
        relations: name -> deviation from what the exact state obeys, see `tf_nqs.physics.relations`.
        in_equilibrium: whether the burn-in ended in equilibrium.
        is_mixed: whether the chains agree: R-hat at most 1.05, more only where it rests on few samples.
    """

    energy: float
    energy_error: float
    energy_error_naive: float
    variance: float
    kinetic: float
    trap: float
    interaction: float
    acceptance: float
    r_hat: float | None
    effective_samples: float
    n_non_finite: int
    n_samples: int
    energy_error_chains: float
    energy_error_blocks: float
    error_uncertainty: float
    autocorrelation_time: Estimate
    v_score: Estimate | None
    kinetic_error: float
    trap_error: float
    interaction_error: float
    relations: dict[str, Estimate]
    in_equilibrium: bool = True
    is_mixed: bool = True

    @property
    def non_finite_share(self) -> float:
        """Share of the samples that were left out."""
        return self.n_non_finite / max(self.n_samples + self.n_non_finite, 1)

    def without_unknown_errors(self) -> EnergyMeasurement:
        """Returns the same numbers, with nan for the errors unless they come from mixed chains in equilibrium."""
        if self.in_equilibrium and self.is_mixed:
            return self
        names = ("energy_error", "kinetic_error", "trap_error", "interaction_error", "effective_samples")
        pairs = {name: pair and pair._replace(error=math.nan) for name, pair in self.relations.items()}
        score = self.v_score and self.v_score._replace(error=math.nan)
        time = self.autocorrelation_time._replace(error=math.nan)
        unknown: dict[str, Any] = dict.fromkeys(names, math.nan)
        return self._replace(**unknown, relations=pairs, v_score=score, autocorrelation_time=time)


class Observed(NamedTuple):
    """Quantities measured besides the energy.

    Attributes:
        names: of the relations, see `tf_nqs.physics.relations`.
        deviations: (positions, kinetic energies) -> their local values, shape (n_walkers, len(names)).
        free_energy: A^2/2, from which the V-score counts; None for no V-score.
        contact_exponent: l of an interaction l(l-1)/r^2, which the parts of the local energy lack, see
            `tf_nqs.physics.contact`; 1 for no such interaction.
    """

    names: tuple[str, ...] = ()
    deviations: Callable[[Tensor, Tensor], Tensor] | None = None
    free_energy: float | None = None
    contact_exponent: float = 1.0


_ENERGY_ALONE = Observed()


def measure_energy(
    sample: Callable[[WalkerState], tuple[WalkerState, Tensor]],
    local_energy: Callable[[Tensor], LocalEnergy],
    walkers: WalkerState,
    target_error: float,
    max_seconds: float,
    observed: Observed = _ENERGY_ALONE,
    report: Callable[[SampledMean], None] | None = None,
    with_near_pairs: Callable[[Tensor, Tensor, int], WeightedPositions] | None = None,
) -> tuple[EnergyMeasurement, WalkerState]:
    """Samples until the standard error is at most `target_error`, or the time is over.

    However small the error, 200 sampling calls or 100,000 samples are taken, whichever are fewer. The memory needed
    does not grow with the number of samples. An error that rests on a few walkers only, as next to nodes where the
    local energy diverges, is not believed: sampling continues until the error is known to 15 %. Neither is an error of
    chains that have not mixed: sampling continues until R-hat is at most 1.05. If the time is over before, the errors
    are nan.

    Args:
        sample: moves the walkers by one sampling call, state -> (state, acceptance).
        local_energy: positions (n_walkers, n_particles) -> LocalEnergy.
        walkers: equilibrated walkers.
        target_error: wanted standard error of the energy, in hbar*omega.
        max_seconds: longest wall-clock time; at least 20 sampling calls are made all the same.
        observed: quantities measured besides the energy.
        report: called every few seconds with the estimate so far.
        with_near_pairs: for a short-ranged interaction, (walkers, their weights, number of the sampling call) ->
            samples with weights, see `tf_nqs.sampling.near_pairs`; None for the walkers alone.

    Returns:
        The measurement and the walkers after it.

    Raises:
        ValueError: the potential is infinite where the wave function does not vanish.

    Reference: thesis, Eqs. 12 and 13.
    """
    started = reported = time.monotonic()
    n_walkers = walkers.positions.shape[0]
    record = ChainSums(n_walkers, len(_PARTS) + len(observed.names) + bool(with_near_pairs))
    origin = None
    acceptances, next_look = 0.0, _least_calls(n_walkers)
    while True:
        walkers, acceptance = sample(walkers)
        row, samples = _row(local_energy, walkers.positions, observed, with_near_pairs, record.n_rows)
        if with_near_pairs:
            origin = typical_values(row, n_walkers) if origin is None else origin
            row = combine_samples(row, np.asarray(samples.weights), n_walkers, origin)
        record.add(row)
        acceptances += float(acceptance)
        now = time.monotonic()
        is_late = chief_decides(now - started > max_seconds and record.n_rows >= _LEAST_CALLS)
        if report and now - reported > _SECONDS_BETWEEN_REPORTS:
            report(record.estimate())
            reported = now
        if record.n_rows < next_look and not is_late:
            continue
        estimate = record.estimate()
        is_reached = _is_reached(estimate, target_error, n_walkers) and record.is_mixed()
        if chief_decides(is_late or not np.isfinite(estimate.error) or is_reached):
            mean_acceptance = acceptances / record.n_rows
            measurement = _measurement(record, mean_acceptance, observed, walkers, origin)
            return measurement.without_unknown_errors(), walkers
        # The error falls as 1/sqrt(samples): look again when it should be there, at the latest after doubling.
        wanted = record.n_rows * (estimate.error / target_error) ** 2
        next_look = math.ceil(of_chief(np.clip(wanted, _LEAST_GROWTH * record.n_rows, 2 * record.n_rows)))


def _row(
    local_energy: Callable[[Tensor], LocalEnergy],
    positions: Tensor,
    observed: Observed,
    with_near_pairs: Callable[[Tensor, Tensor, int], WeightedPositions] | None,
    number: int,
) -> tuple[np.ndarray, WeightedPositions]:
    """Returns the quantities of one sampling call, (n_quantities, n_samples), nan where e_L is not finite; samples."""
    samples = WeightedPositions(positions, np.ones(positions.shape[0]))
    if with_near_pairs:
        samples = with_near_pairs(positions, np.ones_like(positions[:, 0]), number)
    energy = local_energy(samples.positions)
    parts = np.array([np.asarray(part, np.float64) for part in energy])
    total = parts.sum(axis=0)
    if not np.isfinite(total).all():
        refuse_infinite(energy, samples.weights)
    parts = np.array(with_contact_energy(LocalEnergy(*parts), samples.positions, observed.contact_exponent))
    rows = [total[np.newaxis], parts]
    if observed.deviations:
        rows.append(np.asarray(observed.deviations(samples.positions, energy.kinetic), np.float64).T)
    return np.where(np.isfinite(total), np.concatenate(rows), np.nan), samples


def _least_calls(n_walkers: int) -> int:
    """Returns the number of sampling calls after which a small error may end a measurement."""
    return max(_LEAST_CALLS, min(_FULL_CALLS, math.ceil(_FULL_SAMPLES / n_walkers)))


def _is_reached(estimate: SampledMean, target_error: float, n_walkers: int) -> bool:
    """Whether the error is small enough, and known well enough; fewer walkers than 100 know it less well at best."""
    largest = max(_LARGEST_UNCERTAINTY, 2.0 / math.sqrt(2.0 * n_walkers))
    return estimate.error <= target_error and estimate.error_uncertainty <= largest


def _measurement(
    record: ChainSums, acceptance: float, observed: Observed, start: WalkerState, origin: np.ndarray | None
) -> EnergyMeasurement:
    total, *rest = [record.estimate(quantity) for quantity in range(len(_PARTS) + len(observed.names))]
    parts, relations = rest[: len(_PARTS) - 1], rest[len(_PARTS) - 1 :]
    kinetic, trap, interaction = parts
    tau = total.autocorrelation_time
    rounding = rounding_error((part.mean for part in parts), np.asarray(start.positions).dtype)
    moments = record.moments() if origin is None else variance_moments(record, origin)
    part_errors = [part.error if has_finite_parts(observed.contact_exponent) else math.nan for part in parts]
    return EnergyMeasurement(
        energy=total.mean,
        energy_error=math.hypot(total.error, rounding),
        energy_error_naive=total.error_naive,
        variance=total.variance if origin is None else _variance(moments),
        kinetic=kinetic.mean,
        trap=trap.mean,
        interaction=interaction.mean,
        acceptance=acceptance,
        r_hat=record.r_hat(),
        effective_samples=total.effective_samples,
        n_non_finite=total.n_non_finite,
        n_samples=total.n_samples,
        energy_error_chains=total.error_chains,
        energy_error_blocks=total.error_blocks,
        error_uncertainty=total.error_uncertainty,
        autocorrelation_time=Estimate(tau, 2.0 * tau * total.error_uncertainty),
        v_score=_v_score(moments, start.positions.shape[1], observed.free_energy),
        kinetic_error=part_errors[0],
        trap_error=trap.error,
        interaction_error=part_errors[2],
        relations={name: one.estimate for name, one in zip(observed.names, relations, strict=True)},
        is_mixed=record.is_mixed(),
    )


def _variance(moments: Moments) -> float:
    """Returns the variance of the local energy."""
    counts, sums, squares, _ = moments
    n_samples = counts.sum()
    return float(max(squares.sum() / n_samples - (sums.sum() / n_samples) ** 2, 0.0)) if n_samples else math.nan


def _v_score(moments: Moments, n_particles: int, free_energy: float | None) -> Estimate | None:
    """Returns A Var(e_L) / (E - free_energy)^2, its error by leaving out one walker after the other."""
    if free_energy is None:
        return None
    counts, sums, squares, origin = moments

    def score(n: Any, s: Any, q: Any) -> Any:
        energy = s / n
        return n_particles * np.maximum(q / n - energy**2, 0.0) / (energy + origin - free_energy) ** 2

    with np.errstate(divide="ignore", invalid="ignore"):
        value = score(counts.sum(), sums.sum(), squares.sum())
        without = score(counts.sum() - counts, sums.sum() - sums, squares.sum() - squares)
    spread = np.sum((without - without.mean()) ** 2) * (without.size - 1) / without.size
    return Estimate(float(value), float(np.sqrt(spread)))
