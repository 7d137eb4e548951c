"""The standard error: exact truths on small arrays, calibration on AR(1) chains of known correlation."""

import json
import logging

import numpy as np
import pytest
from scipy.signal import lfilter

from tf_nqs.analysis.chain_sums import ChainSums
from tf_nqs.analysis.statistics import SampledMean, series_mean

N_REPEATS = 400


def record_of(rows):
    """Returns the running sums of rows of shape (n_walkers,), or (n_quantities, n_walkers)."""
    rows = np.asarray(rows)
    rows = rows[:, np.newaxis] if rows.ndim == 2 else rows
    record = ChainSums(rows.shape[2], rows.shape[1])
    for row in rows:
        record.add(row)
    return record


def mean_of(rows):
    return record_of(rows).estimate()


def means_of(make_rows, n_repeats, at_once=50):
    """Returns the means of repeated measurements; make_rows(n) gives n of them, (n_samples, n, n_walkers)."""
    records = [record_of(make_rows(at_once)) for _ in range(n_repeats // at_once)]
    return [record.estimate(quantity) for record in records for quantity in range(at_once)]


def ar1_chains(rng, rho, shape):
    """Returns stationary AR(1) chains along axis 0, mean 0, variance 1, autocorrelation rho^lag."""
    noise = rng.normal(size=shape)
    noise[1:] *= np.sqrt(1.0 - rho**2)
    return lfilter([1.0], [1.0, -rho], noise, axis=0)


def true_error(rho, n_samples, n_walkers):
    """Returns the exact standard error of the mean of all entries of `ar1_chains`."""
    lags = np.arange(1, n_samples)
    return np.sqrt((1.0 + 2.0 * np.sum((1.0 - lags / n_samples) * rho**lags)) / (n_samples * n_walkers))


def coverage(estimates):
    """Returns the fractions of estimates whose one-sigma and 95 % interval hold the true mean 0."""
    pulls = np.array([abs(estimate.mean) / estimate.error for estimate in estimates])
    return np.mean(pulls < 1.0), np.mean(pulls < 1.96)


@pytest.mark.parametrize("rho", [0.0, 0.9, 0.99])
@pytest.mark.parametrize(("n_samples", "n_walkers"), [(8, 64), (8, 1024), (40, 256), (200, 64)])
def test_intervals_cover_as_often_as_they_say(rho, n_samples, n_walkers):
    """68 and 95 % of the intervals hold the truth, however long the chains are correlated."""
    rng = np.random.default_rng([int(100 * rho), n_samples, n_walkers])
    estimates = means_of(lambda n: ar1_chains(rng, rho, (n_samples, n, n_walkers)), N_REPEATS)
    one_sigma, two_sigma = coverage(estimates)
    # 7 and 4 points are what the project demands; three binomial standard deviations at 400 repeats are 7.0 and 3.3.
    assert one_sigma == pytest.approx(0.683, abs=0.07)
    assert two_sigma == pytest.approx(0.95, abs=0.04)
    # The estimate scatters by 1 / sqrt(2 (n_walkers - 1)), and the floor lifts its mean by at most 0.4 of that.
    scatter = 1.0 / np.sqrt(2.0 * (n_walkers - 1))
    errors = np.array([estimate.error for estimate in estimates])
    assert np.mean(errors) == pytest.approx(true_error(rho, n_samples, n_walkers), rel=0.4 * scatter + 0.015)
    assert np.std(errors) < 1.3 * scatter * np.mean(errors)


def test_naive_intervals_do_not():
    """The control: the naive error fails the test above."""
    rng = np.random.default_rng(1)
    estimates = means_of(lambda n: ar1_chains(rng, 0.9, (40, n, 64)), 100)
    pulls = np.array([abs(estimate.mean) / estimate.error_naive for estimate in estimates])
    assert np.mean(pulls < 1.0) < 0.4


@pytest.mark.parametrize("rho", [0.0, 0.9])
def test_few_walkers_lean_on_effective_samples(rho):
    """Eight walkers: the larger of three estimates covers a little too often rather than too seldom."""
    rng = np.random.default_rng(2)
    estimates = [mean_of(ar1_chains(rng, rho, (200, 8))) for _ in range(N_REPEATS // 4)]
    one_sigma, two_sigma = coverage(estimates)
    # 2000 repeats gave 72 and 96 %; three binomial standard deviations at 100 repeats are 13.5 and 6 points.
    assert one_sigma == pytest.approx(0.72, abs=0.135)
    assert two_sigma == pytest.approx(0.96, abs=0.06)


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9])
def test_autocorrelation_time_of_ar1(rho):
    """(1 + rho) / (1 - rho) in the limit of long chains."""
    estimate = mean_of(ar1_chains(np.random.default_rng(3), rho, (2000, 512)))
    expected = (1.0 + rho) / (1.0 - rho)
    # tau goes with the square of an error known to 1 / sqrt(2 * 511) = 3.1 %: three sigma are 19 %.
    assert estimate.autocorrelation_time == pytest.approx(expected, rel=0.19)
    assert estimate.effective_samples == pytest.approx(2000 * 512 / expected, rel=0.19)
    assert estimate.variance == pytest.approx(1.0, abs=0.02)
    assert estimate.error == pytest.approx(estimate.error_naive * np.sqrt(estimate.autocorrelation_time))
    assert estimate.error == pytest.approx(np.sqrt(estimate.variance / estimate.effective_samples))


def test_between_chain_error_is_the_textbook_formula():
    """Without holes it is sd(chain means) / sqrt(n_walkers)."""
    chains = ar1_chains(np.random.default_rng(4), 0.9, (20, 64)) + 10.89
    estimate = mean_of(chains)
    assert estimate.mean == pytest.approx(chains.mean(), rel=1e-14)
    assert estimate.variance == pytest.approx(chains.var(ddof=1), rel=1e-12)
    assert estimate.error == pytest.approx(chains.mean(axis=0).std(ddof=1) / 8.0, rel=1e-12)
    assert estimate.error_naive == pytest.approx(np.sqrt(chains.var(ddof=1) / chains.size), rel=1e-12)


@pytest.mark.parametrize("n_samples", [1, 2, 3])
@pytest.mark.filterwarnings("error")
def test_few_rows_are_enough_for_an_error(n_samples):
    """One row is as good as independent samples; two and three already show the correlation."""
    rng = np.random.default_rng(5)
    chains = ar1_chains(rng, 0.99, (n_samples, 1024))
    record = record_of(chains)
    estimate = record.estimate()
    assert estimate.error == pytest.approx(true_error(0.99, n_samples, 1024), rel=0.07)  # three sigma of the estimate
    assert record.r_hat() is None
    if n_samples == 1:
        assert estimate.error == pytest.approx(estimate.error_naive, rel=1e-12)
        assert estimate.effective_samples == pytest.approx(1024)


@pytest.mark.parametrize("shape", [(1, 1), (2, 1), (3, 1), (4, 1), (1, 2), (4, 2), (5, 3), (9, 31)])
@pytest.mark.filterwarnings("error")
def test_small_arrays_give_numbers_without_a_word(shape, capfd, caplog):
    """No exception, no warning, no log line of the library."""
    with caplog.at_level(logging.DEBUG, logger="tensorflow"):
        estimate = mean_of(np.random.default_rng(6).normal(size=shape))
    assert np.isfinite(estimate.mean)
    assert np.isnan(estimate.error) if shape == (1, 1) else estimate.error >= estimate.error_naive > 0.0
    assert "casting" not in caplog.text + capfd.readouterr().err


@pytest.mark.parametrize("value", [0.1, -28.3, 8.0])
def test_constant_has_no_error(value):
    """Free fermions: every walker has the same local energy, exactly."""
    record = record_of(np.full((7, 50), value))
    estimate = record.estimate()
    assert estimate == SampledMean((value, 0.0), 0.0, 0.0, 1.0, 350.0, 350, 0, 0.0, 0.0, 0.0)
    assert record.r_hat() is None


def test_stuck_walkers_are_worth_one_row():
    """Repeating a row adds no information."""
    row = np.random.default_rng(8).normal(size=256)
    record = record_of(np.tile(row, (50, 1)))
    frozen = record.estimate()
    assert frozen.error == pytest.approx(mean_of(row[np.newaxis]).error, rel=1e-12)
    assert frozen.effective_samples == pytest.approx(256, rel=0.01)
    assert record.r_hat() > 1e3


def test_r_hat_sees_chains_that_disagree():
    """Between chains, and between the halves of each."""
    rng = np.random.default_rng(9)
    chains = rng.normal(size=(200, 64))
    assert record_of(chains).r_hat() == pytest.approx(1.0, abs=0.005)
    assert record_of(chains + rng.normal(size=64)).r_hat() > 1.2
    # Halves that drift apart: only the split version sees it.
    assert record_of(chains + np.linspace(-2, 2, 200)[:, np.newaxis]).r_hat() > 1.2


@pytest.mark.filterwarnings("error")
def test_non_finite_entries_are_left_out_and_counted():
    """Single holes and a walker that is lost altogether."""
    chains = ar1_chains(np.random.default_rng(10), 0.9, (40, 128)) + 5.0
    holes = chains.copy()
    holes[3, 4], holes[7, 9], holes[0, 0] = np.nan, np.inf, -np.inf
    holes[:, 11] = np.nan
    records = record_of(holes), record_of(np.delete(chains, 11, axis=1))
    estimate, complete = (record.estimate() for record in records)
    assert estimate.n_non_finite == 43
    assert estimate.mean == pytest.approx(np.mean(holes[np.isfinite(holes)]), rel=1e-12)
    # Three entries of 5080 hardly change the error.
    assert estimate.error == pytest.approx(complete.error, rel=5e-3)
    assert records[0].r_hat() == pytest.approx(records[1].r_hat(), rel=5e-3)


@pytest.mark.filterwarnings("error")
def test_unequal_chains_are_calibrated():
    """A third of all entries missing at random."""
    rng = np.random.default_rng(11)

    def with_holes(n):
        chains = ar1_chains(rng, 0.9, (20, n, 64))
        chains[rng.random(chains.shape) < 0.3] = np.nan
        return chains

    estimates = means_of(with_holes, N_REPEATS)
    one_sigma, two_sigma = coverage(estimates)
    assert one_sigma == pytest.approx(0.683, abs=0.07)  # as above
    assert two_sigma == pytest.approx(0.95, abs=0.04)


@pytest.mark.filterwarnings("error")
def test_nothing_finite_is_said_not_raised():
    """Unknown is nan."""
    record = record_of(np.full((5, 40), np.nan))
    estimate = record.estimate()
    assert estimate.n_non_finite == 200
    assert np.isnan([estimate.mean, estimate.error, estimate.variance]).all()
    assert record.r_hat() is None


def test_fields_are_plain_python():
    """They go into result.json as they are."""
    estimate = mean_of(np.random.default_rng(12).normal(size=(8, 8)))
    assert set(json.loads(json.dumps(estimate._asdict()))) == set(estimate._fields)
    assert all(type(field) in (float, int) for field in (*estimate.estimate, *estimate[1:]))


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9])
def test_series_error_is_calibrated(rho):
    """The same for one series, 100 autocorrelation times long or longer."""
    rng = np.random.default_rng([13, int(10 * rho)])
    estimates = [series_mean(ar1_chains(rng, rho, 2000)) for _ in range(N_REPEATS // 2)]
    one_sigma, two_sigma = coverage(estimates)
    # Three binomial standard deviations at 200 repeats are 9.9 and 4.6 points.
    assert one_sigma == pytest.approx(0.683, abs=0.099)
    assert two_sigma == pytest.approx(0.95, abs=0.046)
    tau = np.median([estimate.autocorrelation_time for estimate in estimates])
    assert tau == pytest.approx(
        (1.0 + rho) / (1.0 - rho), rel=0.15
    )  # a few per cent of bias, 1.25 / sqrt(200) of noise


@pytest.mark.filterwarnings("error")
def test_series_of_any_length():
    """One, two, constant, nothing, and what is refused."""
    one, pair = series_mean([3.0]), series_mean([1.0, np.nan, 2.0])
    assert one.mean == 3.0
    assert np.isnan(one.error)
    assert (pair.mean, pair.error, pair.error_naive) == pytest.approx((1.5, 0.5, 0.5))
    assert pair.n_non_finite == 1
    assert series_mean([0.1] * 10)[:7] == ((0.1, 0.0), 0.0, 0.0, 1.0, 10.0, 10, 0)
    assert np.isnan(series_mean([np.nan, np.inf]).mean)
    with pytest.raises(ValueError, match="n_iterations"):
        series_mean(np.zeros((2, 2)))
    with pytest.raises(ValueError, match="n_iterations"):
        series_mean([])
