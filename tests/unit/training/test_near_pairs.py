"""Samples with a close pair: means that ordinary samples never see, on exact samples of a known wave function."""

from __future__ import annotations

import math
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from tf_nqs.measurement.evaluation import walkers_energy, warm_up_measurement
from tf_nqs.measurement.walker_rows import combine_samples, local_energy_of_walkers
from tf_nqs.physics.contact_zone import ContactZone, contact_zone
from tf_nqs.physics.energy import estimate_energy
from tf_nqs.physics.hamiltonian import TrappedFermions
from tf_nqs.physics.oscillator import free_fermions, sample_free_fermions
from tf_nqs.sampling.near_pairs import (
    WeightedPositions,
    clip_influence,
    estimate_of_walkers,
    like_orbits,
    like_samples,
    sums_of_walkers,
    with_near_pairs,
)
from tf_nqs.types import LocalEnergy, WalkerState

N_WALKERS = 20_000


def log_abs_psi(positions):
    return free_fermions(positions)[1]


def samples_of(n_particles, zone, n_walkers=N_WALKERS, number=0):
    walkers = sample_free_fermions(tf.constant([number, 3]), n_walkers, n_particles, "float64")
    return walkers, with_near_pairs(log_abs_psi, zone, walkers, tf.ones_like(walkers[:, 0]), number)


def mean_and_error(samples, values, n_walkers=N_WALKERS):
    sums = sums_of_walkers(samples.weights * values, n_walkers).numpy()
    return sums.mean(), sums.std() / math.sqrt(n_walkers)


@pytest.mark.parametrize("interaction_range", [0.003, 0.02])
def test_interaction_of_two_at_any_range(interaction_range):
    """Free fermions have the distances r^2 exp(-r^2/2) sqrt(2/pi), which makes <v> = a^2/(1 + a^2)^(3/2)/sqrt(2 pi)."""
    system = TrappedFermions(2, 1.0, interaction_range)
    walkers, samples = samples_of(2, contact_zone(system))
    mean, error = mean_and_error(samples, system.interaction_energy(samples.positions))
    exact = interaction_range**2 * (1 + interaction_range**2) ** -1.5 / math.sqrt(2 * math.pi)
    assert abs(mean - exact) < 4 * error
    assert error < 0.03 * exact
    if interaction_range == 0.003:  # what was measured before: no walker is ever there
        assert tf.reduce_mean(system.interaction_energy(walkers)) < 1e-3 * exact


@pytest.mark.parametrize("n_particles", [3, 5])
def test_no_pair_is_counted_twice_and_none_forgotten(n_particles):
    """In a zone that is not small, close pairs and triples are seen by plain samples too."""
    zone = ContactZone(0.5, 0.2)
    walkers, samples = samples_of(n_particles, zone)

    def function(x):
        first, second = np.triu_indices(n_particles, 1)
        apart = tf.gather(x, first, axis=1) - tf.gather(x, second, axis=1)
        return tf.reduce_sum(1.0 / (0.05 + apart**2), axis=1) * (2.0 + tf.sin(x[:, 0]))

    plain = function(walkers).numpy()
    difference = sums_of_walkers(samples.weights * function(samples.positions), N_WALKERS).numpy() - plain
    assert abs(difference.mean()) < 4 * difference.std() / math.sqrt(N_WALKERS)
    total, error = mean_and_error(samples, tf.ones_like(samples.weights))
    assert abs(total - 1.0) < 4 * error


def test_shapes_are_those_that_phases_are_compiled_for():
    asked = []

    def counted(positions):
        asked.append(positions.shape)
        return log_abs_psi(positions)

    walkers = sample_free_fermions(tf.constant([0, 3]), 8, 3, "float64")
    samples = with_near_pairs(counted, ContactZone(0.1, 0.02), walkers, tf.ones(8, tf.float64), 5)
    assert asked == [like_orbits(walkers).shape]
    assert samples.positions.shape == like_samples(walkers).shape


def test_a_measurement_calls_its_phases_as_they_were_compiled():
    """Else the compilation would take away the time of the measurement."""
    zone, walkers, shapes = ContactZone(0.1, 0.02), samples_of(2, None)[0], []

    def seen(name, function):
        def traced(positions):
            shapes.append((name, tuple(positions.shape)))
            return function(positions)

        return tf.function(traced, autograph=False)

    phases = SimpleNamespace(
        local_energy=seen("local_energy", lambda x: LocalEnergy(x[:, 0], x[:, 0], x[:, 0])),
        log_abs_psi=seen("log_abs_psi", log_abs_psi),
        sample=lambda walkers: (walkers, tf.constant(0.5)),
    )
    state = WalkerState(walkers, tf.constant([1, 2]), tf.constant(0.5, tf.float64))
    near_pairs = partial(with_near_pairs, phases.log_abs_psi, zone)
    vmc = SimpleNamespace(phases=phases, walkers=state, zone=zone, with_near_pairs=near_pairs)
    warm_up_measurement(vmc)
    compiled = list(shapes)
    assert {name for name, _ in compiled} == {"local_energy", "log_abs_psi"}
    walkers_energy(vmc)(walkers)
    assert shapes == compiled


def test_places_without_a_wave_function_have_no_weight():
    """ln|Psi| of -inf or NaN anywhere on an orbit makes no weight NaN, and lost walkers stay lost."""

    def holed(positions):
        value = log_abs_psi(positions)
        value = tf.where(positions[:, 0] > 0.5, tf.constant(-np.inf, tf.float64), value)
        return tf.where(positions[:, 0] < -0.5, tf.constant(np.nan, tf.float64), value)

    walkers = sample_free_fermions(tf.constant([0, 3]), 100, 2, "float64")
    samples = with_near_pairs(holed, ContactZone(0.1, 0.02), walkers, tf.ones(100, tf.float64), 5)
    assert tf.reduce_all(tf.math.is_finite(samples.weights))
    assert tf.reduce_all(samples.weights >= 0)


def test_lost_walkers_spoil_no_others():
    zone = ContactZone(0.1, 0.02)
    walkers = sample_free_fermions(tf.constant([0, 3]), 50, 3, "float64")
    lost = tf.constant([[np.nan, 0.0, 1.0], [1e30, 0.0, 1.0], [np.inf, 0.0, 1.0]], tf.float64)
    both = with_near_pairs(log_abs_psi, zone, tf.concat([walkers, lost], axis=0), tf.ones(53, tf.float64), 5)
    own, made = both.weights[:53], both.weights[53:]
    assert tf.reduce_all(tf.math.is_finite(both.weights))
    np.testing.assert_array_equal(own[50:], 1.0)  # their local energies, not finite, say that they are lost
    np.testing.assert_array_equal(made[50:], 0.0)
    assert np.count_nonzero(made[:50]) > 25


def test_a_constant_local_energy_has_no_error():
    _, samples = samples_of(3, ContactZone(0.5, 0.1), 500)
    energy = LocalEnergy(*(tf.fill(samples.weights.shape, tf.constant(one, tf.float64)) for one in (1.0, 2.0, 1.5)))
    estimate = estimate_of_walkers(energy, samples.weights, 500)
    assert estimate.energy.numpy() == pytest.approx(4.5, rel=1e-14)
    assert estimate.energy_error.numpy() < 1e-14
    rows = local_energy_of_walkers(energy, samples.weights, 500)
    np.testing.assert_allclose(rows.total, 4.5, rtol=1e-14)


def test_error_of_an_iteration_is_that_of_walkers():
    """The error stated for 200 walkers is the spread of 60 such energies; that of samples would be far too large."""
    system, energies, errors, wrong = TrappedFermions(2, 200.0, 0.006), [], [], []
    zone = contact_zone(system)
    for number in range(60):
        _, samples = samples_of(2, zone, 200, number)
        interaction = system.interaction_energy(samples.positions)
        parts = LocalEnergy(tf.ones_like(interaction), tf.ones_like(interaction), interaction)
        estimate = estimate_of_walkers(parts, samples.weights, 200)
        energies.append(estimate.energy.numpy())
        errors.append(estimate.energy_error.numpy())
        wrong.append(estimate_energy(parts, samples.weights).energy_error.numpy())
    # 60 energies know their spread to 9 %.
    assert np.std(energies) == pytest.approx(np.mean(errors), rel=0.36)
    assert np.mean(wrong) > 1.3 * np.mean(errors)


def test_walkers_alone_are_estimated_as_ever():
    parts = LocalEnergy(*(tf.constant(np.random.default_rng(k).normal(size=50)) for k in range(3)))
    weights = tf.constant(np.random.default_rng(3).uniform(0.1, 2.0, 50))
    np.testing.assert_array_equal(estimate_of_walkers(parts, weights, 50), estimate_energy(parts, weights))


def test_lost_samples_are_counted_by_walker_and_weight():
    rows = np.array([[1.0, np.nan, 3.0, 4.0, 5.0, np.nan, 7.0, np.nan]])
    weights = np.array([1.0, 0.0, 1.0, 1.0, 0.1, 0.2, 0.0, 0.3])  # the fourth walker's own sample is lost, with weight
    combined = combine_samples(rows, weights, 4, np.zeros((1, 1)))
    np.testing.assert_allclose(combined[0], [1.5, np.nan, 3.0, np.nan])
    np.testing.assert_allclose(combined[1], [3.5, np.nan, 9.0, np.nan])


def test_clipping_bounds_the_influence():
    energies = tf.constant([1.0, 2.0, 3.0, 100.0, 1e5, np.nan])
    weights = tf.constant([1.0, 1.0, 1.0, 0.9, 1e-5, 0.0])
    clipped = clip_influence(energies, weights, 1.0).numpy()
    width = (1.0 + 0.0 + 1.0 + 0.9 * 98.0 + 1.0) / 3.9  # the mean absolute deviation from the median, 2
    np.testing.assert_allclose(clipped, [1.0, 2.0, 3.0, 2.0 + width / 0.9, 1e5, 2.0], rtol=1e-4)
    np.testing.assert_allclose(clip_influence(energies, weights, 0), [1.0, 2.0, 3.0, 100.0, 1e5, 2.0])


def test_walkers_that_are_all_close_give_finite_numbers():
    """In a deep narrow well the weight lies on the samples made; the walkers themselves have none."""
    close = tf.constant(np.random.default_rng(0).normal(0.0, 0.01, (64, 2)))
    bound = lambda x: tf.math.log(tf.abs(x[:, 0] - x[:, 1])) - 100 * (x[:, 0] - x[:, 1]) ** 2  # noqa: E731
    samples = with_near_pairs(bound, ContactZone(0.3, 0.05), close, tf.ones(64, tf.float64), 0)
    assert isinstance(samples, WeightedPositions)
    np.testing.assert_array_equal(samples.weights[:64], 0.0)
    assert 0.5 < tf.reduce_mean(samples.weights[64:]).numpy() < 1.5
    clipped = clip_influence(tf.linspace(-1.0, 1.0, 128), tf.cast(samples.weights, tf.float32), 5.0)
    assert tf.reduce_all(tf.math.is_finite(clipped))
