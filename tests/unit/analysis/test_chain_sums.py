"""Running sums: the numbers of the whole array, from memory that does not grow, and drifts that chains cannot see."""

from __future__ import annotations

import numpy as np
import pytest

from tf_nqs.analysis import format_with_error
from tf_nqs.analysis.chain_sums import ChainSums
from tf_nqs.analysis.statistics import effective_sample_size, split_r_hat


def record_of(rows):
    record = ChainSums(rows.shape[1])
    for row in rows:
        record.add(row[np.newaxis])
    return record


@pytest.mark.parametrize("n_rows", [20, 64, 65, 1000])
def test_estimates_are_those_of_the_whole_array(n_rows):
    """However often blocks were joined: sums are sums."""
    rows = 10.9 + np.random.default_rng(0).normal(size=(n_rows, 64)).cumsum(axis=0) * 0.01
    rows[3, 5] = np.nan
    rows[7:, 11] = np.inf
    record, finite = record_of(rows), np.isfinite(rows)
    found, whole = record.estimate(), rows[finite]
    chains = np.where(finite, rows - whole.mean(), 0.0)
    assert found.mean == pytest.approx(whole.mean(), rel=1e-12)
    assert found.error_chains == pytest.approx(
        np.sqrt(64 / 63 * np.sum(chains.sum(axis=0) ** 2)) / whole.size, rel=1e-9
    )
    assert found.error_naive == pytest.approx(np.sqrt(whole.var(ddof=1) / whole.size), rel=1e-9)
    assert found.variance == pytest.approx(whole.var(ddof=1), rel=1e-9)
    assert (found.n_samples, found.n_non_finite) == (whole.size, rows.size - whole.size)
    if n_rows < 512:  # all rows are still kept as they are; a hole takes the mean of its walker
        means = np.nanmean(np.where(finite, rows, np.nan), axis=0)
        assert record.r_hat() == pytest.approx(split_r_hat(np.where(finite, rows, means)), rel=1e-9)


def test_few_walkers_lean_on_effective_samples():
    """Four chains alone know their spread badly."""
    rows = np.random.default_rng(1).normal(size=(200, 4)).cumsum(axis=0)
    spread = np.std(rows.mean(axis=0), ddof=1) / 2.0
    expected = max(spread, np.sqrt(rows.var(ddof=1) / effective_sample_size(rows)))
    assert record_of(rows).estimate().error == pytest.approx(expected, rel=1e-9)


def test_memory_does_not_grow():
    rows = np.random.default_rng(2).normal(size=(5000, 8))
    record = record_of(rows)
    kept = sum(np.asarray(value).nbytes for value in vars(record).values())
    assert kept < rows.nbytes
    assert record.estimate().mean == pytest.approx(rows.mean(), abs=1e-12)


def test_blocks_agree_with_chains_in_equilibrium_and_see_a_common_drift():
    """All walkers drift together by two of their own standard deviations: to the chains nothing is wrong."""
    random = np.random.default_rng(3)
    rows = random.normal(size=(640, 256))
    calm = record_of(rows).estimate()
    assert calm.error == max(calm.error_chains, calm.error_naive)
    # 64 blocks and 256 chains know their errors to 9 and 4 %.
    assert calm.error_blocks == pytest.approx(calm.error_chains, rel=0.3)
    drifting = record_of(rows + np.linspace(-1, 1, 640)[:, np.newaxis])
    found = drifting.estimate()
    assert found.error == found.error_blocks > 10 * found.error_chains
    assert drifting.drift() > 100
    assert abs(record_of(rows).drift()) < 4


def test_the_error_knows_when_a_single_walker_makes_it():
    random = np.random.default_rng(4)
    rows = random.normal(size=(100, 256))
    assert record_of(rows).estimate().error_uncertainty == pytest.approx(1 / np.sqrt(512), rel=0.3)
    rows[50, 17] = 1e4
    assert record_of(rows).estimate().error_uncertainty == pytest.approx(0.5, rel=0.01)


def test_two_walkers_know_their_error_badly():
    """Their deviations are equal and opposite, which looked like an error known to 1e-15."""
    rows = np.random.default_rng(5).normal(size=(300, 2))
    estimate = record_of(rows).estimate()
    assert estimate.error_uncertainty == pytest.approx(1 / np.sqrt(2), rel=1e-6)
    tau = estimate.autocorrelation_time
    printed = format_with_error(tau, 2 * tau * estimate.error_uncertainty)
    assert len(printed.partition("(")[0]) <= 4  # one decimal: 1.6(2.3)


def test_constants_and_nothing_finite():
    constant = record_of(np.full((30, 40), 8.1)).estimate()
    assert (constant.mean, constant.error, constant.autocorrelation_time, constant.error_uncertainty) == (8.1, 0, 1, 0)
    nothing = record_of(np.full((30, 40), np.nan)).estimate()
    assert np.isnan(nothing.mean) and np.isnan(nothing.error)
    assert (nothing.n_samples, nothing.n_non_finite) == (0, 1200)


@pytest.mark.parametrize(("n_rows", "n_walkers"), [(20, 16), (20, 64), (200, 16)])
def test_independent_chains_are_mixed_however_short(n_rows, n_walkers):
    """Of 16 walkers and 20 rows, R-hat alone is above 1.05 in one of twenty; 60 records of which none may fail."""
    random = np.random.default_rng(0)
    assert all(record_of(random.normal(size=(n_rows, n_walkers))).is_mixed() for _ in range(60))


def test_chains_of_their_own_are_not_mixed():
    random = np.random.default_rng(0)
    own = random.normal(size=64)
    assert not record_of(own + random.normal(size=(20, 64))).is_mixed()
    assert not record_of(own * 0.3 + random.normal(size=(2000, 64))).is_mixed()  # R-hat = 1.09
    assert record_of(own * 0.1 + random.normal(size=(2000, 64))).is_mixed()  # 1.01


def test_where_r_hat_is_not_defined_nothing_speaks_against_the_chains():
    assert record_of(np.random.default_rng(0).normal(size=(20, 1))).is_mixed()
    assert record_of(np.full((20, 4), 2.0)).is_mixed()
