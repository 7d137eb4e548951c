"""Without a trap an energy that is not below that of the fragments is no bound state's."""

from __future__ import annotations

import math

import pytest

from tf_nqs.analysis import not_the_ground_state
from tf_nqs.analysis.binding import no_bound_state
from tf_nqs.named_systems import NamedSystem


def system(n_particles, strength, trap=False):
    return {"n_particles": n_particles, "interaction_strength": strength, "interaction_range": 0.5, "trap": trap}


def test_two_particles_that_nothing_binds():
    """What a training stated as the ground state's energy, 0.0664(2)."""
    found = not_the_ground_state(system(2, -1.0), 0.0664, 0.0002).reason
    assert found == (
        "no bound state: the energy of 0.0664 is not below 0, the energy of free particles at rest; "
        "two fermions bind only below interaction_strength = -6.728 at this range"
    )
    assert no_bound_state(system(2, -1.0, trap=True), 0.9, 0.0) is None
    assert no_bound_state(system(2, -20.0), -3.1, 0.01) is None


@pytest.mark.parametrize(("n_particles", "energy"), [(3, -3.1), (4, -6.2), (5, -6.2)])
def test_more_particles_must_lie_below_their_pairs(n_particles, energy):
    """A pair has -3.116408."""
    found = no_bound_state(system(n_particles, -20.0), energy, 0.001)
    assert "the energy of 1 bound pair far" in found if n_particles == 3 else "the energy of 2 bound pairs far" in found
    assert no_bound_state(system(n_particles, -20.0), energy - 0.1, 0.001) is None


def test_an_energy_that_is_none_is_no_bound_state():
    assert no_bound_state(system(2, -20.0), math.nan, math.nan) is not None


@pytest.mark.parametrize(("energy", "is_bound"), [(-0.01, True), (-0.003, False), (0.02, False), (math.nan, False)])
def test_a_soft_coulomb_attraction_must_be_seen_to_bind(energy, is_bound):
    """A weak one binds over hundreds of a_ho: training ends with an energy above 0 long before."""
    weak = NamedSystem(2, "soft_coulomb", -0.01, trap="none")
    found = not_the_ground_state(None, energy, 0.002, named=weak)
    assert (found is None) == is_bound
    if not is_bound:
        assert found.cause == "binding" and "is not below 0, the energy of free particles at rest" in found.reason
    for other in (weak._replace(trap="harmonic"), weak._replace(pair_stiffness=0.1)):
        assert not_the_ground_state(None, energy, 0.002, named=other) is None
