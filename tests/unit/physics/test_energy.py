"""Weighted means, the energy estimate and clipping, against numpy."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tf_nqs.physics.energy import clip_local_energy, estimate_energy, mask_non_finite, weighted_mean
from tf_nqs.types import LocalEnergy

N = 101
RANDOM = np.random.default_rng(0)
VALUES, WEIGHTS = RANDOM.normal(3.0, 2.0, N), RANDOM.uniform(0.1, 3.0, N)
NAN, INF = float("nan"), float("inf")


def local_energy(total):
    """Parts that add up to the total."""
    total = np.asarray(total, np.float64)
    kinetic = np.linspace(-1.0, 2.0, len(total))
    return LocalEnergy(*map(tf.constant, (kinetic, total - kinetic - 0.25, np.full(len(total), 0.25))))


@pytest.mark.parametrize("shape", [(N,), (N, 3), (N, 3, 2)])
def test_weighted_mean(shape):
    values = RANDOM.normal(size=shape)
    expected = np.average(values, axis=0, weights=WEIGHTS)
    np.testing.assert_allclose(weighted_mean(values, tf.constant(WEIGHTS)), expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("bad", [NAN, INF, -INF])
def test_values_of_weight_zero_are_not_looked_at(bad):
    mean = weighted_mean(tf.constant([1.0, bad, 4.0]), tf.constant([1.0, 0.0, 2.0]))
    assert mean == 3.0


def test_estimate():
    estimate = estimate_energy(local_energy(VALUES), tf.constant(WEIGHTS))
    parts = local_energy(VALUES)
    energy = np.average(VALUES, weights=WEIGHTS)
    variance = np.average((VALUES - energy) ** 2, weights=WEIGHTS)
    effective = WEIGHTS.sum() ** 2 / np.sum(WEIGHTS**2)
    expected = [energy, np.sqrt(variance / effective), variance]
    expected += [np.average(part, weights=WEIGHTS) for part in parts]
    np.testing.assert_allclose(estimate, [*expected, 0.0], rtol=1e-12, atol=1e-14)


def test_estimate_does_not_depend_on_the_size_of_the_weights():
    one, other = (estimate_energy(local_energy(VALUES), tf.constant(c * WEIGHTS)) for c in (1.0, 1e-3))
    np.testing.assert_allclose(one, other, rtol=1e-12)


def test_error_of_fresh_samples():
    """R = 1: the textbook's standard deviation over sqrt(N)."""
    estimate = estimate_energy(local_energy(VALUES), tf.ones(N, tf.float64))
    assert estimate.energy_error.numpy() == pytest.approx(np.std(VALUES) / np.sqrt(N), rel=1e-12)


def local_energy_with_kinetic(total):
    """Like `local_energy`, but what is not finite is the kinetic part."""
    parts = local_energy(np.where(np.isfinite(total), total, 0.0))
    return parts._replace(kinetic=tf.where(np.isfinite(total), parts.kinetic, total))


@pytest.mark.parametrize("bad", [[NAN], [INF, -INF, NAN]])
def test_non_finite_walkers_are_left_out_and_counted(bad):
    energies, weights = np.concatenate([VALUES, bad]), np.concatenate([WEIGHTS, np.ones(len(bad))])
    estimate = estimate_energy(local_energy_with_kinetic(energies), tf.constant(weights))
    kinetic = np.linspace(-1.0, 2.0, len(energies))[:N]
    assert estimate.n_non_finite == len(bad)
    assert estimate.energy.numpy() == pytest.approx(np.average(VALUES, weights=WEIGHTS), rel=1e-12)
    assert estimate.kinetic.numpy() == pytest.approx(np.average(kinetic, weights=WEIGHTS), rel=1e-12)
    masked = mask_non_finite(local_energy(energies), tf.constant(weights))
    np.testing.assert_array_equal(masked, np.concatenate([WEIGHTS, np.zeros(len(bad))]))


@pytest.mark.parametrize("infinite", [INF, -INF])
def test_an_infinite_potential_makes_the_energy_infinite(infinite):
    """A wave function that does not vanish there has this energy; without weight nothing is there."""
    parts = local_energy([1.0, infinite, 2.0])
    assert estimate_energy(parts, tf.ones(3, tf.float64)).energy == infinite
    assert estimate_energy(parts, tf.constant([1.0, 0.0, 1.0], tf.float64)).energy == 1.5


def test_infinite_parts_that_cancel_are_not_finite():
    bad = LocalEnergy(*(tf.constant(part, tf.float64) for part in ([INF, 1.0], [-INF, 1.0], [0.0, 1.0])))
    estimate = estimate_energy(bad, tf.ones(2, tf.float64))
    assert (estimate.n_non_finite, estimate.energy, estimate.kinetic) == (1.0, 3.0, 1.0)


def test_no_finite_walker_is_nan_not_a_number():
    estimate = estimate_energy(local_energy([NAN] * 3), tf.ones(3, tf.float64))
    assert estimate.n_non_finite == 3
    assert np.isnan(estimate.energy) and np.isnan(estimate.energy_error)


def clipped_by_numpy(energies, weights, deviations):
    """The lower median of an even number, as the package documents."""
    counted = energies[weights > 0]
    median = np.sort(counted)[(len(counted) - 1) // 2]
    width = deviations * np.average(np.abs(counted - median), weights=weights[weights > 0])
    return np.clip(counted, median - width, median + width)


@pytest.mark.parametrize("n_walkers", [1, 2, N - 1, N])
@pytest.mark.parametrize("deviations", [0.5, 5.0])
def test_clipping(n_walkers, deviations):
    energies = np.where(RANDOM.uniform(size=n_walkers) < 0.1, 100.0, VALUES[:n_walkers])
    weights = WEIGHTS[:n_walkers]
    expected = clipped_by_numpy(energies, weights, deviations)
    np.testing.assert_allclose(
        clip_local_energy(tf.constant(energies), tf.constant(weights), deviations), expected, rtol=1e-12
    )


def test_clipping_ignores_walkers_of_weight_zero():
    """They count neither for median nor deviation, and come out finite."""
    energies, weights = VALUES.copy(), WEIGHTS.copy()
    energies[:4], weights[:4] = [NAN, INF, -INF, 1e30], 0.0
    for deviations in (0.0, 1.0):
        result = np.asarray(clip_local_energy(tf.constant(energies), tf.constant(weights), deviations))
        assert np.all(np.isfinite(result))
        expected = clipped_by_numpy(energies, weights, deviations) if deviations else energies[4:]
        np.testing.assert_allclose(result[4:], expected, rtol=1e-12)


def test_no_clipping_changes_nothing():
    np.testing.assert_array_equal(clip_local_energy(tf.constant(VALUES), tf.constant(WEIGHTS), 0.0), VALUES)


def test_equal_energies_stay():
    np.testing.assert_array_equal(clip_local_energy(tf.fill(4, 2.0), tf.ones(4), 5.0), np.full(4, 2.0))


@pytest.mark.parametrize(("energies", "median"), [([1.0, 2.0, 9.0], 2.0), ([9.0, 1.0, 3.0, 2.0], 2.0), ([4.0], 4.0)])
def test_median(energies, median):
    """A window of almost no width leaves the median: the middle one, or the lower of two."""
    energies = tf.constant(energies, tf.float64)
    clipped = clip_local_energy(energies, tf.ones_like(energies), 1e-12)
    np.testing.assert_allclose(clipped, np.full(len(energies), median), rtol=1e-10)
