"""Narrow features of pair potentials that a measurement is too short for."""

from __future__ import annotations

import types

import numpy as np
import pytest
import tensorflow as tf

from tf_nqs.measurement.energy import EnergyMeasurement
from tf_nqs.measurement.unseen import with_unseen_features
from tf_nqs.physics.hamiltonian import TrappedFermions
from tf_nqs.physics.oscillator import sample_free_fermions


def measured(pair_potential, n_samples=10_000, energy_error=1e-3, lost=()):
    """Of free fermions, without a measurement: only its number of samples and its errors are looked at."""
    positions = sample_free_fermions(tf.constant([0, 5]), 1000, 2).numpy()
    positions[: len(lost), 0] = lost
    walkers = types.SimpleNamespace(positions=positions)
    vmc = types.SimpleNamespace(system=TrappedFermions(2, pair_potential=pair_potential), walkers=walkers)
    values = dict.fromkeys(EnergyMeasurement._fields, 0.0)
    values |= {"n_samples": n_samples, "energy_error": energy_error, "interaction_error": energy_error}
    return with_unseen_features(vmc, EnergyMeasurement(**values))


def shell(r):
    """A Gaussian of width 1e-4 at a distance of 1: p(1) = sqrt(2/pi) exp(-1/2) = 0.484, so <v> is 0.121."""
    return 1000.0 * tf.exp(-0.5 * ((tf.abs(r) - 1.0) / 1e-4) ** 2)


def test_a_feature_that_was_not_seen_enlarges_the_error(caplog):
    found = measured(shell)
    assert found.energy_error == pytest.approx(0.121, rel=0.3)
    assert found.interaction_error == found.energy_error
    assert "near the distance 0.982 that the samples are too few to have seen" in caplog.text


@pytest.mark.parametrize(
    ("pair_potential", "n_samples"),
    [(shell, 1_000_000), (lambda r: r**4, 5000), (lambda r: 20.0 * tf.exp(-2.0 * r**2), 5000), (None, 20)],
)
def test_what_was_seen_leaves_it(pair_potential, n_samples, caplog):
    assert measured(pair_potential, n_samples).energy_error == 1e-3
    assert caplog.text == ""


def test_lost_walkers_change_nothing():
    found = measured(shell, lost=(np.nan, np.inf, 1e30, 3000.0))
    assert found.energy_error == pytest.approx(measured(shell).energy_error, rel=0.01)
