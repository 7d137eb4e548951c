"""The reference of a system: which method, which energy, and how sure."""

import time

import numpy as np
import pytest

from tf_nqs.exact import (
    Reference,
    convergence,
    diagonalised_energy,
    ground_state,
    reference_energy,
    two_particle_energy,
)
from tf_nqs.exact.convergence import pair_energy, pair_frequency, pair_remainder, remainder, workload


@pytest.mark.parametrize("n_particles", [1, 2, 3, 6, 40])
def test_no_interaction_is_free_fermions_for_any_number(n_particles):
    """Also for numbers beyond any diagonalisation."""
    expected = Reference(n_particles**2 / 2, "free_fermions", 0.0)
    assert reference_energy(n_particles, 0.0, 0.5) == expected


def test_one_particle_feels_no_interaction():
    """Whatever the strength."""
    assert reference_energy(1, 7.0, 0.5) == Reference(0.5, "free_fermions", 0.0)


def test_two_particles_use_the_relative_coordinate():
    """The dispatch adds nothing."""
    reference = reference_energy(2, 10.0, 0.5)
    assert reference.kind == "relative_coordinate"
    assert (reference.energy, reference.uncertainty) == two_particle_energy(10.0, 0.5)


def test_too_many_particles_have_no_reference():
    """None, not a bad number."""
    assert reference_energy(7, 10.0, 0.5) == Reference(None, "none", None)


def test_no_time_means_no_reference_and_costs_none():
    """The time limit also holds for the search of the frequency."""
    begin = time.monotonic()
    reference = reference_energy(6, 20.0, 0.5, max_seconds=1e-3)
    assert reference == Reference(None, "none", None)
    assert time.monotonic() - begin < 2.0


def test_an_unconverged_cut_is_no_reference():
    """None, not a bad number."""
    # A range of 0.02 needs far more orbitals than a second allows.
    assert reference_energy(5, -30.0, 0.02, max_seconds=1.0).kind == "none"


def test_four_repulsive_particles():
    """Below the best published bound, above what is impossible."""
    reference = reference_energy(4, 10.0, 0.5)
    assert reference.kind == "diagonalisation"
    assert 10.8910 < reference.energy < 10.89146
    assert reference.uncertainty < 2e-4


def test_four_attractive_particles():
    """Below the best published bound, with an uncertainty."""
    reference = reference_energy(4, -10.0, 0.5)
    assert reference.kind == "diagonalisation"
    assert 1.0735 < reference.energy <= 1.0749
    assert reference.uncertainty < 2e-4


@pytest.mark.parametrize(("strength", "width"), [(10.0, 0.5), (-10.0, 0.5), (-20.0, 0.5), (10.0, 0.1), (100.0, 5.0)])
def test_stated_uncertainty_covers_the_truth(strength, width):
    """The extrapolation is honest where the truth is known."""
    # Two particles are the case with an independent truth.
    energy, uncertainty = diagonalised_energy(2, strength, width, max_seconds=5.0)
    exact, exact_uncertainty = two_particle_energy(strength, width)
    # 1e-9: rounding of the sparse solver, relative to the largest level of the cut space.
    assert -exact_uncertainty - 1e-9 < energy - exact < uncertainty
    assert uncertainty < 1e-2


@pytest.mark.parametrize("law", [lambda cut: 0.8**cut, lambda cut: np.exp(-2 * cut**0.5), lambda cut: cut**-3.0])
def test_remainder_covers_known_laws(law):
    """Geometric, stretched and power-law convergence: covered, not absurdly."""
    for last in (36, 60, 100):
        energies = [law(cut) for cut in range(last - 12, last + 1, 4)]
        assert remainder(energies, last) > law(last) - 1e-7
        assert remainder(energies, last) < 30.0 * law(last - 12) + 1e-6


def test_remainder_knows_when_it_does_not_know():
    """Too few or too irregular falls."""
    assert remainder([3.0, 2.0, 1.5], 32) == np.inf
    assert remainder([3.0, 2.0, 1.5, 1.4999], 36) < np.inf
    assert remainder([3.0, 2.9, 2.8, 2.6], 36) == np.inf
    # A fast wave that ends in a slow one.
    assert remainder([3.0, 2.999, 2.99899, 2.99898], 36) == np.inf


def test_workload_grows_with_the_cut():
    """Time and memory."""
    assert np.all(np.array(workload(4, 28)) > workload(4, 24))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 1.0, 0.5), "n_particles = 0: must be an integer of at least 1"),
        ((2.5, 1.0, 0.5), "n_particles = 2.5: must be an integer of at least 1"),
        ((3, np.inf, 0.5), "interaction_strength = inf: must be a finite number"),
        ((3, 0.0, -0.5), "interaction_range = -0.5: must be a finite number above 0"),
        ((1, 0.0, np.nan), "interaction_range = nan: must be a finite number above 0"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    """Each argument is named with what is allowed."""
    with pytest.raises(ValueError, match=message):
        reference_energy(*arguments)


def test_wrong_time_is_named():
    """The time is positive."""
    with pytest.raises(ValueError, match=r"max_seconds = 0.0: must be a finite number above 0"):
        reference_energy(4, 1.0, 0.5, max_seconds=0.0)


# A = 3: strength, range, and the energy of much higher cuts in suitable frequencies.
NARROW = [
    (50.0, 0.15, 5.0343192),
    (80.0, 0.12, 4.9659826),
    (70.0, 0.1, 4.8425048),
    (100.0, 0.1, 4.8915495),
    (120.0, 0.1, 4.916002),  # also that of an independent solver, to 2e-6
]


@pytest.mark.parametrize(
    ("strength", "width", "truth"), [NARROW[0], *(pytest.param(*one, marks=pytest.mark.slow) for one in NARROW[1:])]
)
def test_a_narrow_repulsion_stalls_and_is_not_believed(strength, width, truth):
    """The fall from one cut to the next nearly vanishes where much is left: the error oscillates with the cut."""
    energy, uncertainty = diagonalised_energy(3, strength, width, max_seconds=300.0)
    assert -1e-6 < energy - truth < uncertainty
    assert uncertainty < 2e-4


def test_a_stalled_sequence_knows_what_it_lacks():
    """With the frequency that is best at the cut of the search, and no second sequence."""
    bound = convergence._raise_cut((3, 50.0, 0.15), 3.5, 24, np.inf, None, may_stall=True)
    assert bound.is_stalled
    assert 5e-5 < bound.energy - NARROW[0][2] < bound.uncertainty < 1e-2


def test_the_pair_tells_what_a_stalled_energy_hides():
    """Of ten pairs' worth of error; the pair's falls vanish, and what it lacks is known."""
    lacks = np.array([8e-3, 4e-3, 2e-3, 1e-3, 5e-4, 2.5e-4, 2.4e-4, 2.398e-4, 2.397e-4, 2.3965e-4])
    assert remainder(4.9 + 10 * lacks, 72) < 10 * lacks[-1]  # the falls alone are deceived
    assert pair_remainder(4.9 + 10 * lacks, 2.1 + lacks, 2.1) == pytest.approx(10 * lacks[-1], rel=1e-6)
    assert pair_remainder(4.9 + 10 * lacks[:3], 2.1 + lacks[:3], 2.1) == np.inf
    assert pair_remainder(4.9 + lacks, 2.1 + 0 * lacks, 2.1) == 0.0


@pytest.mark.parametrize(("strength", "width", "frequency", "cut"), [(120.0, 0.1, 5.0, 40), (-10.0, 0.5, 2.0, 24)])
def test_the_pair_needs_no_determinants(strength, width, frequency, cut):
    expected = ground_state(2, strength, width, cut=cut, frequency=frequency).energy
    assert pair_energy(strength, width, cut, frequency) == pytest.approx(expected, abs=1e-10)


def test_a_narrow_repulsion_gets_a_higher_frequency():
    """Than what is best at the cut of the search, 5; the pair lacks less there than with that."""
    frequency = pair_frequency(120.0, 0.1, 72)
    assert 6.0 < frequency < 12.0
    assert pair_energy(120.0, 0.1, 100, frequency) < pair_energy(120.0, 0.1, 100, 5.0)


def test_a_diagonalisation_can_be_watched(monkeypatch):
    monkeypatch.setattr(convergence, "_SECONDS_BETWEEN_REPORTS", -1.0)
    said = []
    reference_energy(3, 10.0, 0.5, max_seconds=30.0, report=said.append)
    assert said and all(line.startswith("diagonalisation, cut ") and "s left" in line for line in said)
