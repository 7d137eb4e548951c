"""Re-weighting: Eqs. 16-20 by hand, at the ends of float32, under XLA; and every reason to draw new samples."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tf_nqs.physics.energy import weighted_mean
from tf_nqs.sampling.reweighting import (
    ReusePolicy,
    SampleReason,
    after_iteration,
    assess_reuse,
    effective_sample_size,
    fresh_samples,
    log_ratio,
    no_samples,
    scheduled_wait,
    shifted_weights,
    wave_function_change,
    with_energy,
)

THESIS, GUARDED = ReusePolicy("thesis", cut_off=0.0), ReusePolicy("guarded")


def assess(policy, log_ratios, n_waited=1, dtype="float64"):
    """What samples are worth whose ratios are given."""
    old = tf.zeros(len(log_ratios), dtype)
    state = fresh_samples(old)._replace(n_waited=tf.constant(n_waited))
    return assess_reuse(policy, state, tf.constant(log_ratios, dtype))


def reason(*arguments, **options):
    return SampleReason(int(assess(*arguments, **options).reason))


# By hand


def test_four_walkers_by_hand():
    """R = 1, 2, 1/2, 1/2: mean 1, sum of squares 5.5."""
    reuse = assess(ReusePolicy("thesis", sensitivity=1.0), np.log([1.0, 2.0, 0.5, 0.5]))
    # 1e-12: a few roundings of float64.
    np.testing.assert_allclose(reuse.weights, [0.5, 1.0, 0.25, 0.25], rtol=1e-12)
    assert float(reuse.mean_weight) == pytest.approx(1.0, rel=1e-12)
    assert float(reuse.effective_samples) == pytest.approx(16 / 5.5, rel=1e-12)
    assert float(reuse.largest_weight) == pytest.approx(2.0, rel=1e-12)
    delta = 1 - (1 + math.exp(-1) + 2 * math.exp(-0.25)) / 4
    assert float(reuse.delta) == pytest.approx(delta, rel=1e-12)
    assert float(reuse.wait) == pytest.approx(100 - 99 * delta, rel=1e-12)


def test_raw_and_normalised_ratios():
    """R = 2, 4: mean 3; the schedule of the thesis sees these numbers, the guarded one 2/3 and 4/3."""
    ratios = np.log([2.0, 4.0])
    raw, normalised = (assess(ReusePolicy(kind, sensitivity=1.0), ratios) for kind in ("thesis", "guarded"))
    for reuse in (raw, normalised):
        assert float(reuse.mean_weight) == pytest.approx(3.0, rel=1e-12)
        assert float(reuse.largest_weight) == pytest.approx(4 / 3, rel=1e-12)
    assert float(raw.delta) == pytest.approx(1 - (math.exp(-1) + math.exp(-9)) / 2, rel=1e-12)
    assert float(normalised.delta) == pytest.approx(1 - math.exp(-1 / 9), rel=1e-12)


@pytest.mark.parametrize(("delta", "wait"), [(0.0, 100.0), (1.0, 1.0), (0.5, 50.5)])
def test_limits_of_the_schedule(delta, wait):
    assert float(scheduled_wait(tf.constant(delta), 100, 1)) == wait


def test_change_of_the_wave_function():
    """0 for none, 1 for a large one either way, and more of it the stricter the sensitivity."""
    assert float(wave_function_change(tf.zeros(7), 1e-2)) == 0.0
    assert float(wave_function_change(tf.fill([7], 3.0), 1e-2)) == 1.0
    assert float(wave_function_change(tf.fill([7], -3.0), 1e-2)) == 1.0
    ten_per_cent = tf.math.log(tf.fill([7], tf.constant(1.1, tf.float64)))
    assert float(wave_function_change(ten_per_cent, 1e-2)) == pytest.approx(1 - math.exp(-1), rel=1e-12)
    assert float(wave_function_change(ten_per_cent, 1e-3)) == pytest.approx(1 - math.exp(-10), rel=1e-12)


def test_small_changes_keep_their_digits_in_float32():
    """R - 1 = 1e-6 would be lost to rounding in R."""
    delta = wave_function_change(tf.fill([8], 1e-6), 1e-9)
    # 1e-3: Delta = 1 - exp(-1e-3) is itself a difference of float32 numbers near 1.
    assert float(delta) == pytest.approx(1e-3, rel=1e-3)


# Walkers that count nothing, and the ends of float32


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_walkers_on_nodes(dtype):
    inf, nan = np.inf, np.nan
    new = tf.constant([1.0, -inf, 1.0, -inf, nan, inf, 1.0], dtype)
    old = tf.constant([2.0, 2.0, -inf, -inf, 2.0, 2.0, nan], dtype)
    np.testing.assert_array_equal(log_ratio(new, old), [-1.0] + [-inf] * 6)
    np.testing.assert_array_equal(shifted_weights(log_ratio(new, old)), [1.0] + [0.0] * 6)
    assert float(effective_sample_size(log_ratio(new, old))) == 1.0


@pytest.mark.parametrize("policy", [THESIS, GUARDED], ids=lambda policy: policy.resampling)
def test_no_walker_counts(policy):
    """All numbers are 0, none is nan, and new samples are drawn."""
    reuse = assess(policy, [-np.inf] * 4, dtype="float32")
    np.testing.assert_array_equal(reuse.weights, np.zeros(4))
    assert [float(number) for number in reuse[2:]] == [0.0, 0.0, 0.0, 1.0, 1.0]
    assert int(reuse.reason) == SampleReason.SCHEDULE


@pytest.mark.parametrize("kind", ["thesis", "guarded"])
@pytest.mark.parametrize(("n_lost", "expected"), [(3, SampleReason.REUSE), (4, SampleReason.EFFECTIVE_SAMPLES)])
def test_no_walker_counts_before_the_shortest_wait_is_over(kind, n_lost, expected):
    """The schedule would still let them serve, and the energy be 0/0; one walker of four is enough for a mean."""
    policy = ReusePolicy(kind, shortest_wait=5, least_effective_fraction=0.0, largest_weight=1e9)
    assert reason(policy, [-np.inf] * n_lost + [0.0] * (4 - n_lost), n_waited=2) == expected


def test_one_heavy_walker_in_float32():
    """ln R = 200 in one of 4096 walkers: it is all there is."""
    ratios = np.zeros(4096)
    ratios[17] = 200.0
    reuse = assess(ReusePolicy("guarded"), ratios, dtype="float32")
    assert float(reuse.effective_samples) == 1.0
    # The float32 logarithm of the mean, 191.7, has an absolute error of 1e-5; so have the exponentials, relatively.
    assert float(reuse.mean_weight) == pytest.approx(math.exp(200) / 4096, rel=1e-4)
    assert float(reuse.largest_weight) == pytest.approx(4096, rel=1e-4)
    assert int(reuse.reason) == SampleReason.SCHEDULE
    assert float(tf.reduce_sum(reuse.weights)) == 1.0


def test_one_light_walker_in_float32():
    """ln R = -200 in one of 4096 walkers: the others have what they had."""
    ratios = np.zeros(4096)
    ratios[17] = -200.0
    reuse = assess(GUARDED, ratios, dtype="float32")
    # 1e-6: float32.
    assert float(reuse.effective_samples) == pytest.approx(4095, rel=1e-6)
    assert float(reuse.mean_weight) == pytest.approx(4095 / 4096, rel=1e-6)
    assert int(reuse.reason) == SampleReason.REUSE


@pytest.mark.parametrize("norm", [-200.0, 200.0, 0.3])
def test_a_change_of_norm(norm):
    """Psi times a constant: no change to the guarded schedule, an entire one to that of the thesis."""
    guarded, thesis = (assess(policy, [norm] * 64, dtype="float32") for policy in (GUARDED, THESIS))
    assert float(guarded.wait) == pytest.approx(100.0, abs=1e-3)
    assert int(guarded.reason) == SampleReason.REUSE
    assert float(thesis.wait) == pytest.approx(1.0, abs=1e-3)  # exp(-0.35^2 / 0.01) = 5e-6 of 99
    assert float(thesis.effective_samples) == pytest.approx(64.0, rel=1e-6)
    # The raw mean of both: 1e-4, as the float32 logarithm 200 has an absolute error of 1e-5.
    assert float(guarded.mean_weight) == float(thesis.mean_weight) == pytest.approx(math.exp(norm), rel=1e-4)


any_log = st.one_of(st.floats(-300, 300, width=32), st.sampled_from([np.nan, np.inf, -np.inf, 1e30, -1e30]))


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(any_log, any_log), min_size=1, max_size=8),
    st.sampled_from(["every_iteration", "thesis", "guarded"]),
)
def test_nothing_is_ever_nan(pairs, resampling):
    new, old = (tf.constant(column, tf.float32) for column in zip(*pairs, strict=True))
    reuse = assess_reuse(ReusePolicy(resampling), fresh_samples(old), new)
    slack = 1e-5  # float32
    assert np.all((np.asarray(reuse.weights) >= 0) & (np.asarray(reuse.weights) <= 1))
    assert float(reuse.mean_weight) >= 0
    assert 0 <= float(reuse.effective_samples) <= len(pairs) * (1 + slack)
    # A sum of a few weights of e^300 and one of 1e30 is dominated by one of them, whose own rounding is 1e23 of 1e30.
    assert 0 <= float(reuse.delta) <= 1 + slack
    assert 1 - 99 * slack <= float(reuse.wait) <= 100
    assert not math.isnan(float(reuse.largest_weight))


# Every reason


def test_reasons_one_by_one():
    """Each rule alone, and just short of it."""
    spread = np.log([0.5, 1.5] * 32)  # effective samples: 64 / 1.25
    one_heavy = np.log([8.0] + [1.0] * 1023)
    never = {"sensitivity": 1e6, "longest_wait": 100}
    cases = [
        (ReusePolicy("every_iteration"), [0.0] * 4, 1, SampleReason.EVERY_ITERATION),
        (THESIS, [0.0] * 4, 99, SampleReason.REUSE),
        (THESIS, [0.0] * 4, 100, SampleReason.SCHEDULE),
        (THESIS, [5.0] * 4, 1, SampleReason.SCHEDULE),
        (ReusePolicy("thesis", cut_off=0.1, **never), np.log([1.11] * 4), 1, SampleReason.CUT_OFF),
        (ReusePolicy("thesis", cut_off=0.1, **never), np.log([0.89] * 4), 1, SampleReason.CUT_OFF),
        (ReusePolicy("thesis", cut_off=0.1, **never), np.log([1.09] * 4), 1, SampleReason.REUSE),
        (ReusePolicy("thesis", cut_off=0.0, **never), np.log([1.11] * 4), 1, SampleReason.REUSE),
        (ReusePolicy("guarded", least_effective_fraction=0.81, **never), spread, 1, SampleReason.EFFECTIVE_SAMPLES),
        (ReusePolicy("guarded", least_effective_fraction=0.79, **never), spread, 1, SampleReason.REUSE),
        (ReusePolicy("guarded", largest_weight=7.0, **never), one_heavy, 1, SampleReason.LARGEST_WEIGHT),
        (ReusePolicy("guarded", largest_weight=8.0, **never), one_heavy, 1, SampleReason.REUSE),
    ]
    for policy, ratios, n_waited, expected in cases:
        assert reason(policy, ratios, n_waited) == expected, (policy, n_waited)


@pytest.mark.parametrize(
    ("energies", "errors", "fall", "expected"),
    [
        ([10.0], [0.1], 0.0, SampleReason.REUSE),
        ([10.0, 9.96], [0.1, 0.1], 0.4, SampleReason.REUSE),
        ([10.0, 9.94], [0.1, 0.1], 0.6, SampleReason.ENERGY_FALL),
        ([10.0, 9.94], [0.1, 0.2], 0.3, SampleReason.REUSE),  # the error has grown
        ([10.0, 9.94], [0.1, 0.01], 0.6, SampleReason.ENERGY_FALL),  # a smaller error counts as the first one
        ([10.0, 9.7, 10.1], [0.1, 0.1, 0.1], -1.0, SampleReason.REUSE),  # the last energy counts
        ([10.0, np.nan], [0.1, 0.1], np.nan, SampleReason.ENERGY_FALL),
        ([8.0, 8.0], [0.0, 0.0], 0.0, SampleReason.REUSE),  # an exact wave function
    ],
)
def test_the_fall_of_the_energy(energies, errors, fall, expected):
    """In units of the largest error since the samples were drawn; the limit is half of it. The thesis has no limit."""
    state = fresh_samples(tf.zeros(4, tf.float64))
    for energy, error in zip(energies, errors, strict=True):
        numbers = tf.constant(energy, tf.float64), tf.constant(error, tf.float64)
        state = with_energy(after_iteration(state), *numbers)
    assert float(state.energy_fall) == pytest.approx(fall, abs=1e-12, nan_ok=True)
    assert float(state.energy_error) == max(errors)
    policy = ReusePolicy("guarded", largest_fall=0.5)
    assert int(assess_reuse(policy, state, tf.zeros(4, tf.float64)).reason) == expected
    assert int(assess_reuse(THESIS, state, tf.zeros(4, tf.float64)).reason) == SampleReason.REUSE


def test_the_schedule_is_named_before_the_triggers():
    """A trigger is named only where it came before the schedule."""
    assert reason(ReusePolicy("guarded"), np.log([0.5, 1.5] * 32), 100) == SampleReason.SCHEDULE
    assert reason(ReusePolicy("thesis"), [1.0] * 4, 100) == SampleReason.SCHEDULE


@pytest.mark.parametrize("resampling", ["every_iteration", "thesis", "guarded"])
def test_without_samples_they_are_drawn(resampling):
    reuse = assess_reuse(ReusePolicy(resampling), no_samples(4, "float32"), tf.zeros(4))
    assert int(reuse.reason) == SampleReason.NO_SAMPLES


def sampling_iterations(policy, drift, n_iterations, compiled=False):
    """Numbers of the iterations that draw samples where ln R of all walkers grows by `drift` with each iteration."""

    def iterate(iteration, state, reasons):
        log_probability = tf.linspace(-1.0, 1.0, 16) * drift * tf.cast(iteration, tf.float32)
        reuse = assess_reuse(policy, state, log_probability)
        draws = reuse.reason != SampleReason.REUSE
        fresh = fresh_samples(log_probability)
        state = type(state)(*(tf.where(draws, new, old) for new, old in zip(fresh, state, strict=True)))
        reasons = tf.tensor_scatter_nd_update(reasons, [[iteration]], [reuse.reason])
        return iteration + 1, after_iteration(state), reasons

    def run():
        start = (tf.constant(0), no_samples(16, "float32"), tf.zeros(n_iterations, tf.int32))
        return tf.while_loop(lambda iteration, *_: iteration < n_iterations, iterate, start)[2]

    reasons = tf.function(run, jit_compile=compiled, autograph=False)()
    return list(np.flatnonzero(reasons))


def test_samples_serve_as_long_as_the_schedule_says():
    """A wave function at rest: every 100 iterations; one that changes entirely: every iteration."""
    for policy in (THESIS, GUARDED):
        assert sampling_iterations(policy, 0.0, 250) == [0, 100, 200]
        assert sampling_iterations(policy, 100.0, 5) == [0, 1, 2, 3, 4]
    assert sampling_iterations(ReusePolicy("every_iteration"), 0.0, 5) == [0, 1, 2, 3, 4]
    shorter = ReusePolicy("guarded", longest_wait=20, shortest_wait=4)
    assert sampling_iterations(shorter, 0.0, 50) == [0, 20, 40]


def test_the_whole_loop_compiles():
    """State and schedule inside one XLA loop."""
    assert sampling_iterations(ReusePolicy("guarded", longest_wait=20), 0.0, 50, compiled=True) == [0, 20, 40]


def test_the_wait_shrinks_with_the_change():
    """A slow drift is sampled less often than a fast one; the triggers make it more often."""
    counts = [len(sampling_iterations(THESIS, drift, 200)) for drift in (1e-4, 1e-3, 1e-2)]
    assert counts[0] < counts[1] < counts[2] < 200
    strict = ReusePolicy("guarded", largest_weight=1.02)
    assert len(sampling_iterations(strict, 1e-3, 200)) > len(sampling_iterations(GUARDED, 1e-3, 200))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("policy", [ReusePolicy("thesis"), GUARDED], ids=lambda policy: policy.resampling)
def test_compiled_is_the_same(policy, dtype):
    new = tf.constant([0.3, -200.0, 1.0, -np.inf, 0.0], dtype)
    state = fresh_samples(tf.constant([0.0, 0.1, 0.9, 0.0, -np.inf], dtype))
    plain = assess_reuse(policy, state, new)
    compiled = tf.function(lambda *arguments: assess_reuse(policy, *arguments), jit_compile=True, autograph=False)(
        state, new
    )
    for one, other in zip(compiled, plain, strict=True):
        assert one.dtype == other.dtype
        # XLA's exp and log may differ in the last bits.
        np.testing.assert_allclose(one, other, rtol=1e-5 if dtype == "float32" else 1e-12)


# What it is for


def test_reweighted_mean_is_that_of_the_new_distribution():
    """Samples of N(0, 1), weights for N(0, 1.1): <x^2> = 1.21 within the error of a ratio estimate."""
    positions = np.random.default_rng(1).normal(size=200_000)
    old, new = -(positions**2) / 2, -(positions**2) / (2 * 1.1**2)
    reuse = assess_reuse(THESIS, fresh_samples(tf.constant(old)), tf.constant(new))
    mean = float(weighted_mean(tf.constant(positions**2), reuse.weights))
    weights = np.asarray(reuse.weights)
    error = math.sqrt(np.sum(weights**2 * (positions**2 - mean) ** 2)) / weights.sum()
    assert abs(mean - 1.21) < 4 * error < 0.03  # the plain mean, 1, is far outside
    # Exact: <R> = 1.1 and <R^2> = 1 / sqrt(2/1.21 - 1) by Gaussian integrals; 1 % is five errors at this sample size.
    assert float(reuse.mean_weight) == pytest.approx(1.1, rel=0.01)
    exact_fraction = 1.1**2 * math.sqrt(2 / 1.21 - 1)
    assert float(reuse.effective_samples) / 200_000 == pytest.approx(exact_fraction, rel=0.01)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("resampling", "sometimes"),
        ("sensitivity", 0.0),
        ("shortest_wait", 0),
        ("longest_wait", 0),
        ("cut_off", -0.1),
        ("least_effective_fraction", 1.0),
        ("largest_weight", 1.0),
        ("largest_fall", 0.0),
    ],
)
def test_refused(name, value):
    with pytest.raises(ValueError, match=f"{name} = {value}: must be") as refusal:
        ReusePolicy(**{name: value})
    assert name != "resampling" or str(refusal.value).endswith("one of every_iteration, thesis, guarded")
