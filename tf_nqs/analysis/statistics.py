"""The honest error of a mean: from many persistent Markov chains, or from one correlated series.

Energies are in hbar*omega. Nothing here knows what is averaged: local energies, observables and the energies of
successive iterations are all numbers whose neighbours are correlated.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import tensorflow_probability as tfp
from numpy.typing import ArrayLike

MIN_WALKERS_BETWEEN_CHAINS = 32
"""From so many chains on, the spread of their means alone is the error; with fewer, TFP's estimate helps."""

MIN_SAMPLES_FOR_DIAGNOSTICS = 4
"""Fewer rows cannot be split into two halves with a variance each, nor do they show an autocorrelation."""


class MeanEstimate(NamedTuple):
    """A mean over persistent Markov chains and how far it can be trusted; `nan` means: cannot be known.

    Attributes:
        mean: mean of all finite entries.
        error: standard error of `mean`, with the correlation along the chains counted.
        error_naive: sqrt(variance / N), as if all N finite entries were independent.
        variance: sum (e - mean)^2 / (N - 1).
        autocorrelation_time: tau = (error / error_naive)^2, in rows: the number of consecutive rows that are worth one
            independent row; 1 for independent rows, (1 + rho) / (1 - rho) for a long AR(1) chain, at least 1.
        effective_samples: N / tau, the number of independent samples with the same error.
        r_hat: split R-hat, near 1 if the chains agree; None where it is not defined (fewer than four rows or two
            chains, or a constant), huge or inf if the chains differ and none of them moves.
        n_non_finite: number of entries left out because they are not finite.
    """

    mean: float
    error: float
    error_naive: float
    variance: float
    autocorrelation_time: float
    effective_samples: float
    r_hat: float | None
    n_non_finite: int


class SeriesEstimate(NamedTuple):
    """The mean of one correlated series; fields as in `MeanEstimate`, `autocorrelation_time` in entries."""

    mean: float
    error: float
    error_naive: float
    autocorrelation_time: float
    effective_samples: float
    n_non_finite: int


def mean_from_chains(local_energies: ArrayLike) -> MeanEstimate:
    """Returns the mean of samples of persistent, mutually independent walkers with its honest error.

    The walkers are independent chains, so the spread of their means gives the error without any model of the
    correlation along them, and without bias however short the rows are against the autocorrelation time:

        error^2 = K / (K - 1) * sum_k n_k^2 (m_k - mean)^2 / N^2,

    with the mean m_k of the n_k finite entries of walker k, K walkers, N = sum_k n_k; for equal n_k this is
    sd(m_k)^2 / K. Its own relative uncertainty is 1 / sqrt(2 (K - 1)). Two lower bounds are put under it:

    - the naive error, always. A Metropolis chain with Gaussian proposals of fixed width is a positive operator (its
      accepted part has the kernel min(p(x), p(y)) g(x - y), a product of two positive definite kernels; its rejected
      part multiplies by a probability), so no autocovariance is negative and the true error is never below the naive
      one: a smaller estimate is noise. Price for independent rows: 70 instead of 68 % coverage at 64 walkers, less
      with more.
    - sqrt(variance / ESS) with TFP's cross-chain ESS, for fewer than 32 walkers only. There the spread of the means is
      too noisy by itself (8 walkers: 90 % coverage instead of 95 %). With more walkers ESS adds nothing, and the
      larger of two noisy numbers is biased upwards.

    Walkers must have reached equilibrium and must not be coupled (no branching, no common moves). Fewer than about
    eight strongly correlated chains cover too seldom (four: 86 instead of 95 %); a single chain much shorter than its
    autocorrelation time cannot know its error at all.

    Args:
        local_energies: samples of weight 1, in hbar*omega (or any other quantity), shape (n_samples, n_walkers): a row
            per sampling call, a column per persistent walker; also a list of such rows. Non-finite entries are left
            out and counted.

    Returns:
        The estimate, of Python floats.

    Raises:
        ValueError: if the array is not two-dimensional or is empty.

    Reference: A. Vehtari et al., Bayesian Analysis 16, 667 (2021), for ESS and split R-hat (without rank
        normalisation); A. Gelman and D. B. Rubin, Statistical Science 7, 457 (1992); W. G. Cochran, Sampling
        Techniques, 3rd ed., Eq. 6.13 (ratio estimator, unequal n_k).
    """
    samples = np.asarray(local_energies, dtype=np.float64)
    if samples.ndim != 2 or samples.size == 0:
        raise ValueError(f"local_energies must have shape (n_samples, n_walkers), both positive; got {samples.shape}")
    finite = np.isfinite(samples)
    n_finite = int(finite.sum())
    shift, deviations, variance = _centre(samples, finite)
    naive_error = np.sqrt(variance / n_finite) if n_finite > 0 else np.nan

    chains = _fill_holes(deviations, finite)
    candidates = [naive_error, _between_chain_error(deviations, finite)]
    if chains.shape[1] < MIN_WALKERS_BETWEEN_CHAINS:
        candidates.append(np.sqrt(variance / effective_sample_size(chains)))
    error = float(np.fmax.reduce(candidates))
    correlation = _squared_ratio(error, naive_error)
    return MeanEstimate(
        mean=float(shift),
        error=error,
        error_naive=float(naive_error),
        variance=float(variance),
        autocorrelation_time=correlation,
        effective_samples=n_finite / correlation,
        r_hat=split_r_hat(chains),
        n_non_finite=samples.size - n_finite,
    )


def series_mean(energies: ArrayLike) -> SeriesEstimate:
    """Returns the mean of one stationary, correlated series, e.g. the energies of a window of iterations.

    The error is sqrt(variance / ESS), never below the naive one, with TFP's ESS: autocorrelations summed up to the
    first non-positive pair (Geyer). Blocking (Flyvbjerg and Petersen; automatic: Jonsson) aims at the same number, and
    on AR(1) series of 16 to 20 000 entries it was at best as good within the noise and otherwise worse (256 entries,
    rho = 0.9: ESS covers 87, blocking 83, Jonsson 74 % instead of 95 %), so the library's ESS it is. About 50
    autocorrelation times are needed: a shorter series (`effective_samples` below about 50) underestimates its error,
    and one of fewer than four entries gives the naive error only.

    Args:
        energies: in hbar*omega, shape (n_iterations,). Non-finite entries are dropped and counted.

    Returns:
        The estimate, of Python floats; `nan` where it cannot be known.

    Raises:
        ValueError: if the array is not one-dimensional or is empty.

    Reference: C. J. Geyer, Statistical Science 7, 473 (1992); H. Flyvbjerg and H. G. Petersen, J. Chem. Phys. 91, 461
        (1989); M. Jonsson, Phys. Rev. E 98, 043304 (2018).
    """
    series = np.asarray(energies, dtype=np.float64)
    if series.ndim != 1 or series.size == 0:
        raise ValueError(f"energies must have shape (n_iterations,), not empty; got {series.shape}")
    kept = series[np.isfinite(series)]
    mean, deviations, variance = _centre(kept, np.ones(kept.shape, dtype=bool))
    naive_error = np.sqrt(variance / kept.size) if kept.size > 0 else np.nan
    error = float(np.fmax(naive_error, np.sqrt(variance / effective_sample_size(deviations[:, np.newaxis]))))
    correlation = _squared_ratio(error, naive_error)
    return SeriesEstimate(
        mean=float(mean),
        error=error,
        error_naive=float(naive_error),
        autocorrelation_time=correlation,
        effective_samples=kept.size / correlation,
        n_non_finite=series.size - kept.size,
    )


def _centre(samples: np.ndarray, finite: np.ndarray) -> tuple[float, np.ndarray, float]:
    """Returns mean, deviations from it (0 where not finite; same shape) and unbiased variance of the finite entries."""
    n_finite = int(finite.sum())
    if n_finite == 0:
        return np.nan, np.zeros_like(samples), np.nan
    # Subtracting one of the samples first makes the deviations of a constant exactly zero.
    origin = samples[finite][0]
    deviations = np.where(finite, samples, origin) - origin
    offset = deviations.sum() / n_finite
    deviations = np.where(finite, deviations - offset, 0.0)
    variance = float(np.sum(deviations**2)) / (n_finite - 1) if n_finite > 1 else np.nan
    return float(origin + offset), deviations, variance


def _between_chain_error(deviations: np.ndarray, finite: np.ndarray) -> float:
    """Returns the error from the spread of the chain means, see `mean_from_chains`; nan for fewer than two chains."""
    return spread_error(deviations.sum(axis=0), finite.sum(axis=0))


def spread_error(group_sums: np.ndarray, group_sizes: np.ndarray) -> float:
    """Returns the standard error of a mean, from the spread of independent groups of its samples.

    K / (K - 1) * sum_k S_k^2 / N^2 is its square, see `mean_from_chains`: the groups may be chains, or blocks of time.

    Args:
        group_sums: S_k, sums of the deviations from the overall mean, shape (n_groups,).
        group_sizes: number of samples of each group, shape (n_groups,); a group without any does not count.

    Returns:
        The error; nan for fewer than two groups.
    """
    n_groups = int(np.count_nonzero(group_sizes))
    if n_groups < 2:
        return np.nan
    return float(np.sqrt(n_groups / (n_groups - 1) * np.sum(group_sums**2)) / np.sum(group_sizes))


def _fill_holes(deviations: np.ndarray, finite: np.ndarray) -> np.ndarray:
    """Returns chains without holes, shape (n_samples, n_chains): TFP gives NaN for all if one entry is NaN.

    A hole takes the mean of its chain, which moves neither mean nor spread of the chain means; a chain without any
    finite entry is left out.
    """
    if finite.all():
        return deviations
    counts = finite.sum(axis=0)
    chain_means = deviations.sum(axis=0) / np.maximum(counts, 1)
    return np.where(finite, deviations, chain_means)[:, counts > 0]


def _squared_ratio(error: float, naive_error: float) -> float:
    """Returns (error / naive_error)^2; 1 for two zeros (a constant), nan for unknown errors."""
    if error == 0.0:
        return 1.0
    return float((error / naive_error) ** 2)


def effective_sample_size(chains: np.ndarray) -> float:
    """Returns TFP's effective sample size of chains (n_samples, n_chains) together; nan where there is none.

    A negative value (strong anticorrelation, or noise in a short series) has no error to it, so it is nan as well.
    """
    n_samples, n_chains = chains.shape
    if n_samples < MIN_SAMPLES_FOR_DIAGNOSTICS or n_chains == 0:
        return np.nan
    with _quiet_library():
        size = tfp.mcmc.effective_sample_size(
            chains if n_chains > 1 else chains[:, 0],
            filter_beyond_positive_pairs=True,
            cross_chain_dims=1 if n_chains > 1 else None,
        ).numpy()
    return float(size) if size > 0.0 else np.nan


def split_r_hat(chains: np.ndarray) -> float | None:
    """Returns TFP's split R-hat of chains (n_samples, n_chains), or None, see `MeanEstimate`."""
    n_samples, n_chains = chains.shape
    if n_samples < MIN_SAMPLES_FOR_DIAGNOSTICS or n_chains < 2:
        return None
    with _quiet_library():
        r_hat = float(tfp.mcmc.potential_scale_reduction(chains, independent_chain_ndims=1, split_chains=True).numpy())
    return None if np.isnan(r_hat) else r_hat


@contextlib.contextmanager
def _quiet_library() -> Iterator[None]:
    """Silences what TFP says about itself: a complex-to-real cast per call, and remarks when first loaded."""
    logger = logging.getLogger("tensorflow")

    def is_wanted(record: logging.LogRecord) -> bool:
        return "casting an input of type complex" not in record.getMessage()

    logger.addFilter(is_wanted)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.filterwarnings("ignore", "TensorFloat-32", UserWarning)
            yield
    finally:
        logger.removeFilter(is_wanted)
