"""Measuring the energy of a frozen wave function to a requested error."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from tf_nqs.analysis.statistics import MeanEstimate, mean_from_chains
from tf_nqs.types import LocalEnergy, Tensor, WalkerState

_LEAST_SAMPLES = 20
"""Fewer rows would make the convergence diagnostics, and the error of the error, meaningless."""


class EnergyMeasurement(NamedTuple):
    """An energy measured with frozen parameters and a frozen proposal width, in hbar*omega.

    Attributes:
        energy: mean local energy.
        energy_error: honest standard error, the correlation along the Markov chains accounted for.
        energy_error_naive: standard error as if all samples were independent.
        variance: of the local energy.
        kinetic: mean kinetic energy.
        trap: mean energy in the trap.
        interaction: mean interaction energy.
        acceptance: accepted share of the proposed moves.
        r_hat: split Gelman-Rubin statistic of the chains; 1 when they agree, None if undefined.
        effective_samples: independent samples that would give the same error.
        n_non_finite: samples left out because their local energy is not finite.
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


def measure_energy(
    sample: Callable[[WalkerState], tuple[WalkerState, Tensor]],
    local_energy: Callable[[Tensor], LocalEnergy],
    walkers: WalkerState,
    target_error: float,
    max_seconds: float,
) -> tuple[EnergyMeasurement, WalkerState]:
    """Samples until the honest error is at most `target_error`, or the time is over.

    Args:
        sample: moves the walkers by one sampling call, state -> (state, acceptance).
        local_energy: positions (n_walkers, n_particles) -> LocalEnergy.
        walkers: equilibrated walkers.
        target_error: wanted standard error of the energy, in hbar*omega.
        max_seconds: longest wall-clock time; at least 20 sampling calls are made all the same.

    Returns:
        The measurement and where the walkers stand.

    Reference: thesis, Eqs. 12 and 13.
    """
    started = time.monotonic()
    totals, parts, acceptances = [], [], []
    next_look = _LEAST_SAMPLES
    while True:
        walkers, acceptance = sample(walkers)
        energy = LocalEnergy(*(np.asarray(part, np.float64) for part in local_energy(walkers.positions)))
        is_finite = np.isfinite(energy.total)
        totals.append(energy.total)
        parts.append([np.sum(part[is_finite]) for part in energy])
        acceptances.append(float(acceptance))
        is_late = time.monotonic() - started > max_seconds
        if len(totals) < next_look and not (is_late and len(totals) >= _LEAST_SAMPLES):
            continue
        estimate = mean_from_chains(np.stack(totals))
        if is_late or estimate.error <= target_error or not np.isfinite(estimate.error):
            return _measurement(estimate, parts, acceptances, len(is_finite)), walkers
        # The error falls as 1/sqrt(samples): look again when it should be there, at the latest after doubling.
        ratio = estimate.error / target_error
        wanted = len(totals) * ratio * ratio
        next_look = int(np.clip(wanted, len(totals) + 1, 2 * len(totals)))


def _measurement(estimate: MeanEstimate, parts: list, acceptances: list, n_walkers: int) -> EnergyMeasurement:
    n_finite = len(parts) * n_walkers - estimate.n_non_finite
    kinetic, trap, interaction = np.sum(parts, axis=0) / n_finite if n_finite else [np.nan] * 3
    return EnergyMeasurement(
        energy=float(estimate.mean),
        energy_error=float(estimate.error),
        energy_error_naive=float(estimate.error_naive),
        variance=float(estimate.variance),
        kinetic=float(kinetic),
        trap=float(trap),
        interaction=float(interaction),
        acceptance=float(np.mean(acceptances)),
        r_hat=estimate.r_hat,
        effective_samples=float(estimate.effective_samples),
        n_non_finite=int(estimate.n_non_finite),
    )
