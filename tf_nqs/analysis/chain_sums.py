"""Running sums along persistent walkers: means and standard errors in memory that does not grow."""

from __future__ import annotations

import numpy as np

from tf_nqs.analysis.statistics import (
    SampledMean,
    autocorrelation_time,
    effective_sample_size,
    split_r_hat,
    spread_error,
)
from tf_nqs.types import Estimate

_MIN_WALKERS_BETWEEN_CHAINS = 32
"""With fewer chains the spread of their means is known too badly; TFP's effective sample size is used as well."""

_MAX_BLOCKS = 64
"""Blocks of time kept of every walker; when they are full, neighbours are joined."""

_MAX_ROWS = 512
"""Rows of the first quantity kept as they are, for R-hat; when they are full, every second one is forgotten."""

LARGEST_R_HAT = 1.05
"""Above it the chains have not mixed: they are shorter than about 40 of their correlation times."""

_R_HAT_NOISE = 5.0
"""Standard deviations that R-hat of a few short, independent chains may lie above 1; 1 in 1000 of 16 has more."""

_DISAGREEMENT = 2.0
"""Standard deviations by which the error from blocks must exceed that from chains to be believed instead of it."""


class ChainSums:
    """Takes row after row of quantities measured along the same walkers; gives their means and standard errors.

    The walkers are independent chains, so the spread of their means gives the error without any model of the
    correlation along them, and without bias however short the rows are against the autocorrelation time:

        error^2 = K / (K - 1) * sum_k n_k^2 (m_k - mean)^2 / N^2,

    with the mean m_k of the n_k finite samples of walker k, K walkers, N = sum_k n_k; for equal n_k this is
    sd(m_k)^2 / K. Its own relative uncertainty is 1 / sqrt(2 (K - 1)). Three lower bounds are put under it:

    - the uncorrected error, always. A Metropolis chain with Gaussian proposals of fixed width is a positive operator
      (its accepted part has the kernel min(p(x), p(y)) g(x - y), a product of two positive definite kernels; its
      rejected part multiplies by a probability), so no autocovariance is negative and the true error is never below
      the uncorrected one: a smaller estimate is noise. Price for independent rows: 70 instead of 68 % coverage at 64
      walkers, less with more.
    - sqrt(variance / ESS) with TFP's cross-chain ESS, of the first quantity, for fewer than 32 walkers. There the
      spread of the means is too noisy by itself (8 walkers: 90 % coverage instead of 95 %). With more walkers ESS adds
      nothing, and the larger of two noisy numbers is biased upwards.
    - the error from blocks of time, where it is significantly larger: it sees what all walkers have in common, a
      drift. In equilibrium both agree; simply taking the larger of two noisy numbers would give too large an error
      every time.

    Walkers must have reached equilibrium and must not be coupled (no branching, no common moves). Fewer than about
    eight strongly correlated chains cover too seldom (four: 86 instead of 95 %); a single chain much shorter than its
    autocorrelation time cannot know its error at all.

    Args:
        n_walkers: number of persistent walkers.
        n_quantities: number of quantities that a row holds for each walker.

    Reference: W. G. Cochran, Sampling Techniques, 3rd ed., Eq. 6.13 (ratio estimator, unequal n_k).
    """

    def __init__(self, n_walkers: int, n_quantities: int = 1):
        self.n_rows = 0
        self._sums = np.zeros((_MAX_BLOCKS, n_quantities, n_walkers))
        self._counts = np.zeros((_MAX_BLOCKS, n_quantities, n_walkers), np.int64)
        self._squares = np.zeros((n_quantities, n_walkers))
        self._origin = np.full((n_quantities, 1), np.nan)
        self._rows_per_block = 1
        self._kept_rows: list[np.ndarray] = []
        self._stride = 1

    def add(self, row: np.ndarray) -> None:
        """Counts one more sample of every walker; those not finite are left out.

        Args:
            row: shape (n_quantities, n_walkers).
        """
        row = np.asarray(row, np.float64)
        finite = np.isfinite(row)
        if np.isnan(self._origin).any():  # sums of what is near zero lose no digits
            self._origin = np.where(np.isnan(self._origin), _medians(row, finite), self._origin)
        deviations = np.where(finite, row - self._origin, 0.0)
        if self.n_rows == _MAX_BLOCKS * self._rows_per_block:
            self._join_blocks()
        block = self.n_rows // self._rows_per_block
        self._sums[block] += deviations
        self._counts[block] += finite
        self._squares += deviations**2
        if self.n_rows % self._stride == 0:
            self._keep(np.where(finite[0], deviations[0], np.nan))
        self.n_rows += 1

    def estimate(self, quantity: int = 0) -> SampledMean:
        """Returns the mean of one quantity over all rows so far, with its errors."""
        sums, counts = self._sums[:, quantity], self._counts[:, quantity]
        n_samples = int(counts.sum())
        n_non_finite = self.n_rows * counts.shape[1] - n_samples
        if n_samples == 0:
            unknown = dict.fromkeys(("error_naive", "variance", "autocorrelation_time", "effective_samples"), np.nan)
            return SampledMean(Estimate(np.nan, np.nan), **unknown, n_samples=0, n_non_finite=n_non_finite)
        offset = sums.sum() / n_samples
        spare = self._squares[quantity].sum() - n_samples * offset**2
        variance = max(spare, 0.0) / (n_samples - 1) if n_samples > 1 else np.nan
        naive = np.sqrt(variance / n_samples)
        by_chain, by_block = ((sums - offset * counts).sum(axis=axis) for axis in (0, 1))
        chains = spread_error(by_chain, counts.sum(axis=0))
        blocks = spread_error(by_block, counts.sum(axis=1))
        uncertainty = _relative_uncertainty(by_chain)
        candidates = [naive, chains]
        n_blocks = np.count_nonzero(counts.any(axis=1))
        noise = np.hypot(uncertainty, _relative_uncertainty(by_block))
        if n_blocks >= _MAX_BLOCKS // 4 and blocks > chains * np.exp(_DISAGREEMENT * noise):
            candidates.append(blocks)
        if quantity == 0 and counts.shape[1] < _MIN_WALKERS_BETWEEN_CHAINS:
            candidates.append(np.sqrt(variance / effective_sample_size(self._record())))
        error = float(np.fmax.reduce(candidates))
        tau = autocorrelation_time(error, naive)
        return SampledMean(
            estimate=Estimate(float(self._origin[quantity, 0] + offset), error),
            error_naive=float(naive),
            variance=float(variance),
            autocorrelation_time=tau,
            effective_samples=float(n_samples / tau),
            n_samples=n_samples,
            n_non_finite=n_non_finite,
            error_chains=chains,
            error_blocks=blocks,
            error_uncertainty=uncertainty,
        )

    def r_hat(self) -> float | None:
        """Returns the split R-hat of the first quantity; None where it is not defined."""
        return split_r_hat(self._record())

    def is_mixed(self) -> bool:
        """Whether R-hat says nothing against an error from these chains; also true where R-hat is not defined."""
        r_hat = self.r_hat()
        # The variance of 2 n_walkers means of half a chain, which R-hat rests on, is itself known so well only.
        noise = _R_HAT_NOISE * np.sqrt(2.0 / (2 * self._squares.shape[1] - 1)) / (self.n_rows / 2)
        return r_hat is None or bool(r_hat <= max(LARGEST_R_HAT, 1.0 + noise))

    def drift(self, quantity: int = 0) -> float:
        """Returns by how many standard errors the second half of the rows differs from the first, walker by walker."""
        last = -(-self.n_rows // self._rows_per_block)
        halves = []
        for blocks in (slice(0, last // 2), slice(last // 2, last)):
            counts = self._counts[blocks, quantity].sum(axis=0)
            with np.errstate(invalid="ignore"):
                halves.append(self._sums[blocks, quantity].sum(axis=0) / counts)
        steps = halves[1] - halves[0]
        steps = steps[np.isfinite(steps)]
        spread = np.std(steps, ddof=1) if steps.size > 1 else np.nan
        return float(np.mean(steps) / spread * np.sqrt(steps.size)) if spread > 0 else 0.0

    def moments(self, quantity: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
        """Returns each walker's count, sum and sum of squares of one quantity less an origin, and that origin."""
        counts, sums = self._counts[:, quantity].sum(axis=0), self._sums[:, quantity].sum(axis=0)
        return counts, sums, self._squares[quantity], float(self._origin[quantity, 0])

    def _join_blocks(self) -> None:
        for kept in (self._sums, self._counts):
            kept[: _MAX_BLOCKS // 2] = kept[::2] + kept[1::2]
            kept[_MAX_BLOCKS // 2 :] = 0
        self._rows_per_block *= 2

    def _keep(self, row: np.ndarray) -> None:
        self._kept_rows.append(row)
        if len(self._kept_rows) == _MAX_ROWS:
            del self._kept_rows[1::2]
            self._stride *= 2

    def _record(self) -> np.ndarray:
        """The kept rows, shape (n_kept, n_walkers); holes take the mean of their walker, lost walkers are left out."""
        rows = np.stack(self._kept_rows)
        finite = np.isfinite(rows)
        counts = finite.sum(axis=0)
        means = np.where(finite, rows, 0.0).sum(axis=0) / np.maximum(counts, 1)
        return np.where(finite, rows, means)[:, counts > 0]


def _medians(row: np.ndarray, finite: np.ndarray) -> np.ndarray:
    """Returns the median of the finite entries of each quantity, nan where there are none, shape (n_quantities, 1)."""
    return np.array([[np.median(one[kept]) if kept.any() else np.nan] for one, kept in zip(row, finite, strict=True)])


def _relative_uncertainty(group_sums: np.ndarray) -> float:
    """Returns the relative standard error of sqrt(sum S_k^2), from the spread of the S_k^2.

    At least that of normal numbers: the S_k sum to 0, so that those of two groups are equal whatever they are.
    """
    squares = group_sums**2
    mean = np.mean(squares)
    if not mean > 0:
        return 0.0
    of_normal_numbers = 1.0 / np.sqrt(2.0 * max(squares.size - 1, 1))
    return float(max(0.5 * np.std(squares) / (mean * np.sqrt(squares.size)), of_normal_numbers))
