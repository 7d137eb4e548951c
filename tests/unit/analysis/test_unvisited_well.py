"""An energy above that of a simple state is said not to be the ground state's."""

from __future__ import annotations

import math

import pytest

from tf_nqs.analysis.unvisited_well import unvisited_well


def system(n_particles, strength, width, trap=True):
    return {
        "n_particles": n_particles,
        "interaction_strength": strength,
        "interaction_range": width,
        "trap": trap,
    }


@pytest.mark.parametrize(
    ("strength", "width", "missed", "exact"),
    [(-300.0, 0.05, 1.80, -720.275), (-1000.0, 0.03, 2.09, -6236.45), (-1e4, 0.05, 1.7, -68182.9)],
)
def test_a_well_that_was_missed(strength, width, missed, exact):
    """What trainings from the trap gave, with the error that they stated."""
    found = unvisited_well(system(2, strength, width), missed, 0.04)
    assert found.startswith(f"the energy of {missed:g} is not the ground state's: free fermions in an oscillator")
    assert found.endswith("in a well that the walkers have not found")
    assert unvisited_well(system(2, strength, width), exact, 0.04) is None


def test_any_number_of_particles():
    """From seven on there is no reference."""
    assert "-906.7" in unvisited_well(system(7, -100.0, 0.1), 20.0, 0.1)


def test_a_repulsion_has_no_well():
    """Free fermions of their own size have 11.3 here; the ground state 10.891422."""
    found = unvisited_well(system(4, 10.0, 0.5), 12.0, 0.01)
    assert found.startswith("the energy of 12 is not the ground state's") and "well" not in found
    assert unvisited_well(system(4, 10.0, 0.5), 12.0, 1.0) is None
    assert unvisited_well(system(4, 10.0, 0.5), 10.9, 0.01) is None


@pytest.mark.parametrize("energy", [math.nan, math.inf])
def test_an_energy_that_is_none_says_nothing(energy):
    assert unvisited_well(system(2, -300.0, 0.05), energy, math.nan) is None


def test_exact_free_fermions_are_not_below_themselves():
    assert unvisited_well(system(6, 0.0, 0.5), 18.0, 0.0) is None
