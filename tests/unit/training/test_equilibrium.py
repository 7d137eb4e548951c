"""Burn-in that is checked, on walkers whose correlation is known."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tf_nqs.measurement.equilibrium import reach_equilibrium
from tf_nqs.types import LocalEnergy, WalkerState

N_WALKERS = 128


def burn_in(correlation, start, n_calls=20, max_seconds=60.0):
    """AR(1) walkers of variance 1 that start at one place; e_L = x."""
    random = np.random.default_rng(0)

    def sample(walkers):
        noise = random.normal(size=(N_WALKERS, 1))
        return walkers._replace(positions=correlation * walkers.positions + np.sqrt(1 - correlation**2) * noise), 0.5

    walkers = WalkerState(tf.constant(start + random.normal(size=(N_WALKERS, 1))), None, None)
    energy = lambda x: LocalEnergy(x[:, 0], 0 * x[:, 0], 0 * x[:, 0])  # noqa: E731
    return reach_equilibrium(sample, energy, walkers, n_calls, max_seconds)


def test_independent_walkers_pass_at_once():
    found = burn_in(0.0, start=0.0)
    assert (found.is_reached, found.n_calls) == (True, 20)


def test_the_stretch_grows_to_several_correlation_times():
    """tau = (1 + rho)/(1 - rho) = 39: 20 + 40 + 80 + 160 calls are too short, 320 are 8 tau but for the noise."""
    found = burn_in(0.95, start=0.0)
    assert found.is_reached
    assert found.n_calls in (620, 1260)


def test_a_far_start_is_waited_for():
    """exp(-n/10) of 1000: gone after 100 calls, to the walkers' own width after 70."""
    found = burn_in(0.9, start=1000.0)
    assert found.is_reached
    assert found.n_calls >= 140
    assert abs(np.mean(found.walkers.positions)) < 4 / N_WALKERS**0.5


def test_walkers_that_never_move_are_told_of():
    found = burn_in(1.0, start=0.0, max_seconds=0.2)
    assert not found.is_reached
    assert found.n_calls >= 20
