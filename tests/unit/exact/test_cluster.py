"""The simple bound state: an upper bound that is close where the well is narrow."""

from __future__ import annotations

import numpy as np
import pytest

from tf_nqs.exact.cluster import gaussian_cluster, pair_distribution
from tf_nqs.exact.free_fermions import free_fermion_energy


@pytest.mark.parametrize("n_particles", [1, 2, 5, 24])
def test_pairs_of_free_fermions(n_particles):
    """There are A(A-1)/2 of them, and their sum of r^2 is A times the size of the relative motion, A(A^2-1)/2."""
    distances, pairs = pair_distribution(n_particles)
    n = n_particles
    # The tail behind the grid of centres holds 1e-9 of them.
    np.testing.assert_allclose(np.sum(pairs), n * (n - 1) / 2, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(np.sum(pairs * distances**2), n * (n**2 - 1) / 2, rtol=1e-7, atol=1e-8)


def test_without_interaction_it_is_free_fermions():
    energy, size = gaussian_cluster(6, 0.0, 0.5)
    assert energy == pytest.approx(free_fermion_energy(6), rel=1e-9)
    assert size == pytest.approx(1.0, abs=1e-4)  # at a minimum, the energy's square of it


@pytest.mark.parametrize(
    ("strength", "width", "exact", "worst"),
    [(-100.0, 0.1, -77.404220, 0.07), (-300.0, 0.05, -720.275282, 0.03), (-1e4, 0.05, -68182.9, 1e-4)],
)
def test_an_upper_bound_that_is_close_in_narrow_wells(strength, width, exact, worst):
    """The exact energies are those of the relative coordinate."""
    energy, size = gaussian_cluster(2, strength, width)
    assert exact < energy < exact * (1 - worst)
    assert size < width


def test_an_upper_bound_for_four_particles():
    """By diagonalisation -13.669443(7)."""
    assert -13.669443 < gaussian_cluster(4, -20.0, 0.5).energy < -13.0


def test_without_a_trap_the_centre_of_mass_costs_nothing():
    """The relative coordinate binds two particles by 3.116408 at -20 and range 0.5."""
    assert -3.116408 < gaussian_cluster(2, -20.0, 0.5, trap=False).energy < -2.8
