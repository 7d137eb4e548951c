"""Measuring a toy whose mean, variance and correlation are known."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tf_nqs.measurement.energy import measure_energy
from tf_nqs.types import LocalEnergy, WalkerState

N_WALKERS = 64


class Toy:
    """Walkers of an AR(1) process of variance 1; e_L = 3 + x, in parts 1 + x, 1.5 and 0.5."""

    def __init__(self, correlation=0.0, seed=0, n_walkers=N_WALKERS):
        self.random = np.random.default_rng(seed)
        self.correlation = correlation
        self.calls = 0
        positions = tf.constant(self.random.normal(size=(n_walkers, 1)))
        self.walkers = WalkerState(positions, tf.constant([0, 0]), tf.constant(1.0))

    def sample(self, walkers):
        self.calls += 1
        noise = self.random.normal(size=walkers.positions.shape)
        positions = self.correlation * walkers.positions + np.sqrt(1 - self.correlation**2) * noise
        return walkers._replace(positions=positions), tf.constant(0.5)

    def local_energy(self, positions):
        x = positions[:, 0]
        return LocalEnergy(1 + x, 1.5 + 0 * x, 0.5 + 0 * x)


@pytest.mark.parametrize("correlation", [0.0, 0.8])
def test_target_error_is_reached_and_honest(correlation):
    toy = Toy(correlation)
    measurement, walkers = measure_energy(toy.sample, toy.local_energy, toy.walkers, 0.006, 60.0)
    assert measurement.energy_error <= 0.006
    assert abs(measurement.energy - 3.0) < 4 * measurement.energy_error
    # Independent samples needed: (1/0.006)^2 = 27,800, times tau = (1 + rho)/(1 - rho) = 9 for rho = 0.8; rows of 64.
    # The error of the error with 64 walkers is 9 %, that of the number of samples 18 %: 4 of them, and no more than
    # double.
    needed = 0.006**-2 * (1 + correlation) / (1 - correlation)
    assert 0.28 * needed < toy.calls * N_WALKERS < 2 * 1.72 * needed
    assert measurement.variance == pytest.approx(1.0, rel=0.2)
    assert measurement.kinetic + measurement.trap + measurement.interaction == pytest.approx(measurement.energy)
    assert (measurement.trap, measurement.interaction) == (1.5, 0.5)
    assert measurement.acceptance == 0.5
    assert measurement.n_non_finite == 0
    assert measurement.r_hat == pytest.approx(1.0, abs=0.1)
    assert measurement.energy_error_naive <= measurement.energy_error
    assert walkers.positions.shape == (N_WALKERS, 1)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rounding_counts_in_the_error(dtype):
    """Local energies that are all the same are known no better than their type can hold the parts they are made of."""
    walkers = WalkerState(tf.zeros((N_WALKERS, 1), dtype), tf.constant([0, 0]), tf.constant(1.0))
    parts = LocalEnergy(*(tf.fill((N_WALKERS,), tf.constant(one, dtype)) for one in (30.0, 25.0, -4.0)))
    found, _ = measure_energy(lambda state: (state, tf.constant(0.5)), lambda _: parts, walkers, 1e-9, 0.0)
    assert found.energy == 51.0
    assert found.energy_error == {"float32": 59.0 * 2**-24, "float64": 59.0 * 2**-53}[dtype]


def test_time_limit_still_takes_twenty_calls():
    toy = Toy()
    measurement, _ = measure_energy(toy.sample, toy.local_energy, toy.walkers, 1e-9, 0.0)
    assert toy.calls == 20
    assert measurement.energy_error == pytest.approx(1 / np.sqrt(20 * N_WALKERS), rel=0.4)


@pytest.mark.parametrize(("n_walkers", "calls"), [(64, 200), (2000, 50), (20_000, 20)])
def test_a_large_target_does_not_make_it_short(n_walkers, calls):
    """Rare walkers whose local energy is far off show in a hundred thousand samples rather than in a thousand."""
    toy = Toy(n_walkers=n_walkers)
    measurement, _ = measure_energy(toy.sample, toy.local_energy, toy.walkers, 1.0, 60.0)
    assert toy.calls == calls
    assert measurement.n_samples == calls * n_walkers


def test_zero_variance_is_no_trouble():
    toy = Toy()
    constant = lambda x: LocalEnergy(0 * x[:, 0], 0 * x[:, 0] + 2.0, 0 * x[:, 0])  # noqa: E731
    measurement, _ = measure_energy(toy.sample, constant, toy.walkers, 1e-3, 60.0)
    assert (measurement.energy, toy.calls) == (2.0, 200)
    assert measurement.energy_error == 2.0 * 2**-53  # rounding alone


def test_non_finite_samples_are_counted_and_left_out():
    """Also from the parts: they still add up."""
    toy = Toy()

    def local_energy(positions):
        energy = toy.local_energy(positions)
        bad = np.zeros(N_WALKERS)
        bad[: toy.calls % 3] = np.nan  # another number in every call
        return energy._replace(kinetic=energy.kinetic + bad)

    measurement, _ = measure_energy(toy.sample, local_energy, toy.walkers, 1e-9, 0.0)
    assert measurement.n_non_finite == sum(call % 3 for call in range(1, 21))
    assert abs(measurement.energy - 3.0) < 4 * measurement.energy_error
    total = measurement.kinetic + measurement.trap + measurement.interaction
    assert total == pytest.approx(measurement.energy, rel=1e-12)


def test_nothing_finite_ends_with_nan():
    toy = Toy()
    nan = lambda x: LocalEnergy(np.nan * x[:, 0], 0 * x[:, 0], 0 * x[:, 0])  # noqa: E731
    with np.errstate(all="ignore"):
        measurement, _ = measure_energy(toy.sample, nan, toy.walkers, 1e-3, 60.0)
    assert np.isnan(measurement.energy)
    assert measurement.n_non_finite == 200 * N_WALKERS


def test_chains_that_have_not_mixed_have_no_error():
    """rho = 0.999: the walkers' own values hardly change in 20 calls, so that R-hat is far above 1.05."""
    toy = Toy(correlation=0.999)
    measurement, _ = measure_energy(toy.sample, toy.local_energy, toy.walkers, 1.0, 0.0)
    assert measurement.r_hat > 1.5
    assert not measurement.is_mixed
    unknown = ("energy_error", "kinetic_error", "trap_error", "interaction_error", "effective_samples")
    assert all(np.isnan(getattr(measurement, name)) for name in unknown)
    assert measurement.energy_error_chains > 0  # what the chains alone would say is kept


def test_sampling_goes_on_until_the_chains_have_mixed():
    """tau = 39: the target is reached at once, R-hat = 1 + (tau - 1)/n needs n = 760 rows in each half."""
    toy = Toy(correlation=0.95)
    measurement, _ = measure_energy(toy.sample, toy.local_energy, toy.walkers, 1.0, 60.0)
    assert measurement.is_mixed and measurement.r_hat <= 1.05
    assert 760 < toy.calls < 4 * 760
    assert abs(measurement.energy - 3.0) < 4 * measurement.energy_error
