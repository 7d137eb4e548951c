"""The standard error of the mean of correlated numbers, and what Markov chains say about their own convergence.

Energies are in hbar*omega. Nothing here knows what is averaged: local energies, observables and the energies of
successive iterations are all numbers whose neighbours are correlated.
"""

from __future__ import annotations

import contextlib
import logging
import math
import warnings
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import tensorflow_probability as tfp
from numpy.typing import ArrayLike

from tf_nqs.types import Estimate

MIN_SAMPLES_FOR_DIAGNOSTICS = 4
"""Fewer rows cannot be split into two halves with a variance each, nor do they show an autocorrelation."""


class SampledMean(NamedTuple):
    """The mean of correlated samples and how well it is known; nan where something cannot be known.

    Attributes:
        estimate: mean of all finite samples, with its standard error.
        error_naive: uncorrected error, sqrt(variance / n_samples).
        variance: of a sample, sum (e - mean)^2 / (n_samples - 1).
        autocorrelation_time: tau = (error / error_naive)^2, in rows: the number of consecutive rows that are worth one
            independent row; 1 for independent rows, (1 + rho) / (1 - rho) for a long AR(1) chain, at least 1.
        effective_samples: n_samples / tau, the number of independent samples with the same error.
        n_samples: number of finite samples.
        n_non_finite: number of samples left out because they are not finite.
        error_chains: error from the spread of the means of independent chains; nan for a single series.
        error_blocks: error from the spread of the means of blocks of time; nan for a single series.
        error_uncertainty: relative standard error of the error, from the spread of the chains' shares in it;
            1 / sqrt(2 (n_chains - 1)) for normal numbers, never less, and up to 1/2 if one chain of many makes it; nan
            for a single series.
    """

    estimate: Estimate
    error_naive: float
    variance: float
    autocorrelation_time: float
    effective_samples: float
    n_samples: int
    n_non_finite: int
    error_chains: float = math.nan
    error_blocks: float = math.nan
    error_uncertainty: float = math.nan

    @property
    def mean(self) -> float:
        """The mean."""
        return self.estimate.value

    @property
    def error(self) -> float:
        """Standard error of the mean."""
        return self.estimate.error


def series_mean(energies: ArrayLike) -> SampledMean:
    """Returns the mean of one stationary, correlated series, e.g. the energies of a window of iterations.

    The error is sqrt(variance / ESS), at least the uncorrected one, with TFP's ESS: autocorrelations summed up to the
    first non-positive pair (Geyer). Blocking (Flyvbjerg and Petersen; automatic: Jonsson) aims at the same number, and
    on AR(1) series of 16 to 20 000 entries it was at best equally good within the noise, otherwise worse (256 entries,
    rho = 0.9: ESS covers 87, blocking 83, Jonsson 74 % instead of 95 %), so the ESS of the library is used. About 50
    autocorrelation times are needed: a shorter series (`effective_samples` below about 50) underestimates its error,
    and one of fewer than four entries gives the uncorrected error only.

    Args:
        energies: in hbar*omega, shape (n_iterations,). Non-finite entries are dropped and counted.

    Returns:
        The mean, of Python floats; `nan` where it cannot be known.

    Raises:
        ValueError: if the array is not one-dimensional or is empty.

    Reference: C. J. Geyer, Statistical Science 7, 473 (1992); H. Flyvbjerg and H. G. Petersen, J. Chem. Phys. 91, 461
        (1989); M. Jonsson, Phys. Rev. E 98, 043304 (2018).
    """
    series = np.asarray(energies, dtype=np.float64)
    if series.ndim != 1 or series.size == 0:
        raise ValueError(f"energies of shape {series.shape}: must be (n_iterations,), not empty")
    kept = series[np.isfinite(series)]
    mean, deviations, variance = _centre(kept)
    naive_error = np.sqrt(variance / kept.size) if kept.size > 0 else np.nan
    error = float(np.fmax(naive_error, np.sqrt(variance / effective_sample_size(deviations[:, np.newaxis]))))
    time = autocorrelation_time(error, naive_error)
    return SampledMean(
        estimate=Estimate(mean, error),
        error_naive=float(naive_error),
        variance=variance,
        autocorrelation_time=time,
        effective_samples=kept.size / time,
        n_samples=kept.size,
        n_non_finite=series.size - kept.size,
    )


def _centre(samples: np.ndarray) -> tuple[float, np.ndarray, float]:
    """Returns mean, deviations from it (same shape) and unbiased variance; nan where they are not defined."""
    if samples.size == 0:
        return np.nan, samples, np.nan
    # Subtracting one of the samples first makes the deviations of a constant exactly zero.
    deviations = samples - samples[0]
    offset = deviations.sum() / samples.size
    deviations = deviations - offset
    variance = float(np.sum(deviations**2)) / (samples.size - 1) if samples.size > 1 else np.nan
    return float(samples[0] + offset), deviations, variance


def spread_error(group_sums: np.ndarray, group_sizes: np.ndarray) -> float:
    """Returns the standard error of a mean, from the spread of independent groups of its samples.

    K / (K - 1) * sum_k S_k^2 / N^2 is its square: the groups may be chains, or blocks of time.

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


def autocorrelation_time(error: float, naive_error: float) -> float:
    """Returns (error / naive_error)^2; 1 for two zeros (a constant), nan for unknown errors."""
    return 1.0 if error == 0.0 else float((error / naive_error) ** 2)


def effective_sample_size(chains: np.ndarray) -> float:
    """Returns TFP's effective sample size (ESS) of chains (n_samples, n_chains) together; nan where there is none.

    A negative value (strong anticorrelation, or noise in a short series) has no error to it, so it is nan as well.

    Reference: A. Vehtari et al., Bayesian Analysis 16, 667 (2021).
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
    """Returns TFP's split R-hat of chains (n_samples, n_chains), near 1 if the chains agree.

    None where it is not defined: fewer than four rows or two chains, or a constant. It is huge or inf if the chains
    differ and none of them moves.

    Reference: A. Gelman and D. B. Rubin, Statistical Science 7, 457 (1992); A. Vehtari et al., Bayesian Analysis 16,
        667 (2021), for the split (without rank normalisation).
    """
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
