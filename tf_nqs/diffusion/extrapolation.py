"""From the generations of a diffusion to an energy at time step zero, with its error."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.polynomial import polynomial

from tf_nqs.types import Estimate

_LEAST_ERROR = 1e-12

_FEWEST_BLOCKS = 16
"""With 32 the errors of short walks were too small by a fifth, as their blocks were too short."""


class TimeStepEnergy(NamedTuple):
    """An energy at one time step.

    Attributes:
        time_step: tau, in 1/omega.
        energy: mixed estimate <Psi|H|Phi>/<Psi|Phi>, in hbar*omega: exact but for the time step.
        energy_error: standard error, autocorrelation-corrected.
        n_generations: that were counted.
        acceptance: accepted share of the moves.
        effective_walkers: mean over generations.
        n_non_finite: walkers of all generations that got weight 0, because their energy was not finite.
        drift_in_sigma: energy of the second half less that of the first, in errors: large before equilibrium.
    """

    time_step: float
    energy: float
    energy_error: float
    n_generations: int
    acceptance: float
    effective_walkers: float
    n_non_finite: int = 0
    drift_in_sigma: float = 0.0


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
    weights = growth_weights(log_growths, memory)
    energy = float(np.mean(weights * energies))
    influence = weights * (energies - energy)
    return energy, float(blocked_error(influence))


def growth_weights(log_growths: np.ndarray, memory: int) -> np.ndarray:
    """Returns the weights of generations in `growth_corrected_mean`, of mean 1, shape (n_generations,)."""
    sums = np.concatenate([[0.0], np.cumsum(log_growths)])
    ends = np.arange(1, len(log_growths) + 1)
    products = sums[ends] - sums[np.maximum(ends - memory, 0)]
    mean_growth = sums[-1] / len(log_growths)
    products -= mean_growth * np.minimum(ends, memory)  # the first products have fewer factors
    weights = np.exp(products - products.max())
    return weights / weights.mean()


def blocked_error(series: np.ndarray) -> np.ndarray:
    """Returns the standard error of the mean of a correlated series of mean zero: the largest over block lengths.

    Blocks are doubled while at least 16 of them are left.

    Args:
        series: shape (n, ...).

    Returns:
        Shape (...); infinity where the series is too short.

    Reference: Flyvbjerg, Petersen, J. Chem. Phys. 91, 461 (1989).
    """
    errors = np.full(series.shape[1:], math.inf if len(series) < _FEWEST_BLOCKS else 0.0)
    while len(series) >= _FEWEST_BLOCKS:
        errors = np.maximum(errors, series.std(axis=0, ddof=1) / math.sqrt(len(series)))
        series = 0.5 * (series[0 : len(series) // 2 * 2 : 2] + series[1::2])
    return errors


def extrapolated(results: Sequence[TimeStepEnergy]) -> tuple[float, float]:
    """Returns the energy at time step zero and its standard error.

    It is the constant of a weighted fit of E + c tau + d tau^2; of E + c tau for two time steps. Whether d is needed
    must not be asked of the data: an error that belongs to the simpler fit is too small where d is only hidden in the
    noise.

    Args:
        results: at two or more different time steps.
    """
    coefficients, error = fitted_polynomial(results)
    return float(coefficients[0]), error


def fitted_polynomial(results: Sequence[TimeStepEnergy]) -> tuple[np.ndarray, float]:
    """Returns the coefficients of the fit of `extrapolated`, by rising powers of tau, and the error of the first."""
    order = min(2, len(results) - 1)
    steps, energies, errors = (
        np.array([getattr(one, name) for one in results]) for name in ("time_step", "energy", "energy_error")
    )
    if not np.all(np.isfinite(errors)):  # too few generations so far
        return polynomial.polyfit(steps, energies, order), math.inf
    errors = np.maximum(errors, _LEAST_ERROR)  # an exact guide has none
    coefficients = polynomial.polyfit(steps, energies, order, w=1 / errors)
    design = np.vander(steps / steps.max(), order + 1, increasing=True) / errors[:, None]
    return coefficients, float(np.linalg.norm(np.linalg.pinv(design)[0]))


def observables_at_zero(time_steps: Sequence[float], found: Sequence[Estimate]) -> Estimate:
    """Returns observables at time step zero with their standard errors.

    The fit is that of the energy, but all time steps weigh the same: all walks are about equally long. So the result is
    the same combination of the time steps for every observable, and a density keeps its integral.

    Args:
        time_steps: two or more different ones.
        found: at each of them, arrays of one shape.
    """
    steps = np.asarray(time_steps) / max(time_steps)
    shares = np.linalg.pinv(np.vander(steps, min(2, len(steps) - 1) + 1, increasing=True))[0]
    values, errors = (np.stack([np.asarray(getattr(one, name)) for one in found]) for name in ("value", "error"))
    return Estimate(np.tensordot(shares, values, 1), np.sqrt(np.tensordot(shares**2, errors**2, 1)))
