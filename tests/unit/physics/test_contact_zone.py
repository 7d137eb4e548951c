"""Which pair potentials count as short-ranged."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tf_nqs.physics.contact_zone import contact_zone, mean_spacing
from tf_nqs.physics.hamiltonian import TrappedFermions
from tf_nqs.physics.oscillator import sample_free_fermions


@pytest.mark.parametrize("n_particles", [2, 3, 4, 6, 12])
@pytest.mark.parametrize("interaction_range", [0.24, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("interaction_strength", [-20.0, 0.0, 20.0])
def test_ranges_of_the_presets_are_not_short(n_particles, interaction_range, interaction_strength):
    assert contact_zone(TrappedFermions(n_particles, interaction_strength, interaction_range)) is None


@pytest.mark.parametrize("n_particles", [2, 4, 6])
@pytest.mark.parametrize("interaction_strength", [-300.0, 200.0])
def test_short_ranges_are(n_particles, interaction_strength):
    zone = contact_zone(TrappedFermions(n_particles, interaction_strength, 0.006))
    assert zone.scale == pytest.approx(2.4 * 0.006, rel=0.02)  # 99 % of the integral of r^2 exp(-r^2 / range^2)


def test_no_interaction_needs_no_zone():
    assert contact_zone(TrappedFermions(1, 200.0, 0.006)) is None
    assert contact_zone(TrappedFermions(2, 0.0, 0.006)) is None
    assert contact_zone(TrappedFermions(2, pair_potential=tf.zeros_like)) is None


@pytest.mark.parametrize(
    ("pair_potential", "is_short"),
    [
        (lambda r: 1.0 + tf.cos(r), False),
        (lambda r: 0.5 / tf.sqrt(r**2 + 0.25), False),
        (lambda r: tf.where(tf.abs(r) < 0.5, 20.0 * tf.ones_like(r), tf.zeros_like(r)), False),
        (lambda r: tf.where(tf.abs(r) < 0.01, 20.0 * tf.ones_like(r), tf.zeros_like(r)), True),
        (lambda r: 10.0 * tf.exp(-2.0 * r**2) + 3e4 * tf.exp(-0.5 * (r / 3e-3) ** 2), True),  # a spike on a wide hill
        (lambda r: 1.0 / r**2, True),
    ],
)
def test_pair_potentials_of_users(pair_potential, is_short):
    assert (contact_zone(TrappedFermions(2, pair_potential=pair_potential)) is not None) == is_short


@pytest.mark.parametrize("n_particles", [2, 4, 6])
def test_a_hundredth_of_the_samples_of_free_fermions_has_a_pair_in_the_zone(n_particles):
    width = contact_zone(TrappedFermions(n_particles, 200.0, 0.006)).width
    positions = np.sort(sample_free_fermions(tf.constant([0, 1]), 20_000, n_particles, "float64").numpy(), axis=1)
    apart = np.diff(positions, axis=1)
    # The density falls outwards from the middle, from which the zone is taken: fewer than 0.01, not many fewer.
    assert 0.004 < np.sum(apart < width) / len(apart) < 0.014
    assert 0.8 < np.mean(apart) / mean_spacing(n_particles) < 1.3
