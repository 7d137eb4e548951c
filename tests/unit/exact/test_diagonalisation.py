"""Diagonalisation at fixed cut, against exact truths."""

from itertools import combinations

import numpy as np
import pytest

from tf_nqs.exact import density, ground_state, one_body_density_matrix, two_particle_energy
from tf_nqs.exact.determinants import count_determinants, determinant_list, remove_pairs
from tf_nqs.exact.diagonalisation import intrinsic_hamiltonian


def test_determinants_are_all_those_below_the_cut():
    """Against plain enumeration; lower cuts are the head."""
    n_particles, cut = 4, 11
    ground = n_particles * (n_particles - 1) // 2
    every = [
        row
        for row in combinations(range(n_particles + cut), n_particles)
        if sum(row) - ground <= cut and (sum(row) - ground) % 2 == 1
    ]
    found = determinant_list(n_particles, cut, parity=1)
    assert sorted(map(tuple, found.tolist())) == every
    assert np.all(np.diff(found.sum(axis=1)) >= 0)
    assert count_determinants(n_particles, cut)[1::2].sum() == len(every)
    lower = determinant_list(n_particles, cut - 2, parity=1)
    np.testing.assert_array_equal(found[: len(lower)], lower)


def test_every_removed_pair_has_its_own_slot():
    """No two determinants share a pair x rest state with the same pair."""
    occupations = determinant_list(5, 12, parity=0)
    insert, blocks = remove_pairs(occupations)
    assert insert.nnz == len(occupations) * 10
    assert len(np.unique(insert.indices)) == insert.nnz
    assert insert.shape[1] == sum(block.n_pairs * block.n_rests for block in blocks)


@pytest.mark.parametrize("n_particles", [2, 3, 4, 5, 6])
def test_free_fermions_in_the_trap_frequency(n_particles):
    """A^2 / 2 is exact for any cut."""
    # Not a tautology: kinetic energy and trap come in through the pairs.
    state = ground_state(n_particles, 0.0, 0.5, cut=8)
    assert state.energy == pytest.approx(n_particles**2 / 2, abs=1e-11)


def test_free_fermions_in_another_frequency():
    """A^2 / 2 is the limit of high cuts."""
    # The basis' orbitals overlap like ((w - 1) / (w + 1))^n: 0.13^(cut / 2) is below 1e-10 here.
    state = ground_state(3, 0.0, 0.5, cut=32, frequency=1.3)
    assert state.energy == pytest.approx(4.5, abs=1e-9)


def test_the_trap_frequency_has_the_whole_spectrum_of_free_fermions():
    """Not only the lowest level."""
    occupations = determinant_list(3, 6, parity=0)
    operator = intrinsic_hamiltonian(occupations, 0.0, 0.5, 1.0)
    levels = np.linalg.eigvalsh(operator @ np.eye(len(occupations)))
    np.testing.assert_allclose(levels, np.sort(occupations.sum(axis=1)) + 1.5, atol=1e-11)


@pytest.mark.parametrize("strength", [-20.0, -10.0, 10.0, 20.0])
def test_two_particles_agree_with_the_relative_coordinate(strength):
    """Two independent methods, both signs."""
    exact, uncertainty = two_particle_energy(strength, 0.5)
    state = ground_state(2, strength, 0.5, cut=120, frequency=3.0)
    # A bound from above; the cut leaves out less than 1e-8 (another 20 quanta change nothing).
    assert -uncertainty - 1e-10 < state.energy - exact < 1e-7


@pytest.mark.parametrize(("strength", "frequency"), [(10.0, 1.0), (-10.0, 1.0), (-10.0, 2.5)])
def test_the_bound_falls_with_the_cut(strength, frequency):
    """Variational: never up."""
    energies = [ground_state(4, strength, 0.5, cut=cut, frequency=frequency).energy for cut in range(0, 25, 2)]
    assert np.all(np.diff(energies) < 0)


@pytest.mark.parametrize(("n_particles", "strength", "cut", "bound"), [(6, 10.0, 36, 25.5744), (6, 20.0, 36, 29.9100)])
def test_known_bounds_of_six_particles(n_particles, strength, cut, bound):
    """Numbers of an independent code."""
    # The trap's frequency and this cut are how the bound was made: equal to its last digit.
    state = ground_state(n_particles, strength, 0.5, cut=cut)
    assert state.energy == pytest.approx(bound, abs=5e-5)


@pytest.mark.parametrize(("strength", "width"), [(40.0, 12.0), (5.0, 6.0)])
def test_long_range_limit_is_harmonic(strength, width):
    """1 - y <= exp(-y) <= 1 - y + y^2 / 2 bounds E from both sides by a solvable model, V0 > 0."""
    n_particles, n_pairs = 3, 3
    height = strength / (np.sqrt(2.0 * np.pi) * width)
    omega = np.sqrt(1.0 - n_particles * height / width**2)
    lower = 0.5 + omega * (n_particles**2 - 1) / 2 + n_pairs * height
    # sum_(i<j) <r^4>, r = (x_i - x_j) / sqrt(2), in the model's ground state: orbitals 0, 1, 2.
    x = np.diag(np.sqrt(np.arange(1, 12) / 2.0), 1)
    x = x + x.T
    one = np.eye(len(x))
    fourth = np.linalg.matrix_power((np.kron(x, one) - np.kron(one, x)) / np.sqrt(2.0), 4)
    total = 0.0
    for a, b in combinations(range(n_particles), 2):
        pair = (np.kron(one[a], one[b]) - np.kron(one[b], one[a])) / np.sqrt(2.0)
        total += pair @ fourth @ pair
    upper = lower + 0.5 * height * total / (omega**2 * width**4)
    energy = ground_state(n_particles, strength, width, cut=24).energy
    # The bracket is narrow: below a tenth of what the curvature of the interaction does.
    assert upper - lower < 0.1 * abs(lower - 4.5 - n_pairs * height)
    assert lower < energy < upper


def test_cut_space_is_closed_under_centre_of_mass_motion():
    """E0 of a cut comes back one quantum higher in the odd space of the next cut, and so on."""
    cut = 10
    ground = ground_state(4, 10.0, 0.5, cut=cut).energy
    levels = {}
    for quanta in (1, 2):
        occupations = determinant_list(4, cut + quanta, parity=quanta % 2)
        operator = intrinsic_hamiltonian(occupations, 10.0, 0.5, 1.0)
        levels[quanta] = np.linalg.eigvalsh(operator @ np.eye(len(occupations)))
        assert np.min(np.abs(levels[quanta] - ground - quanta)) < 1e-10
    assert levels[1][0] == pytest.approx(ground + 1.0, abs=1e-10)


@pytest.mark.parametrize(
    ("arguments", "cut", "message"),
    [
        ((1, 1.0, 0.5), 4, "n_particles = 1: must be an integer of at least 2"),
        ((3, np.nan, 0.5), 4, "interaction_strength = nan: must be a finite number"),
        ((3, 1.0, 0.0), 4, "interaction_range = 0.0: must be a finite number above 0"),
        ((3, 1.0, 0.5), -1, "cut = -1: must be an integer of at least 0"),
        ((3, 1.0, 0.5), 4.5, "cut = 4.5: must be an integer of at least 0"),
    ],
)
def test_wrong_arguments_are_named(arguments, cut, message):
    """Each argument is named with what is allowed."""
    with pytest.raises(ValueError, match=message):
        ground_state(*arguments, cut=cut)


def test_density_matrix_of_free_fermions_is_a_projector():
    """The A lowest orbitals are full."""
    gamma = one_body_density_matrix(ground_state(4, 0.0, 0.5, cut=8))
    expected = np.diag((np.arange(len(gamma)) < 4).astype(float))
    np.testing.assert_allclose(gamma, expected, atol=1e-6)


def test_density_matrix_has_trace_and_occupations_of_fermions():
    """Trace A, eigenvalues between 0 and 1."""
    gamma = one_body_density_matrix(ground_state(4, 10.0, 0.5, cut=24))
    occupations = np.linalg.eigvalsh(gamma)
    assert np.trace(gamma) == pytest.approx(4.0, abs=1e-12)
    assert occupations.min() > -1e-12
    assert occupations.max() < 1.0 + 1e-12
    assert occupations.max() < 0.9999  # correlated: no longer a projector


@pytest.mark.parametrize(("strength", "frequency"), [(10.0, 1.0), (10.0, 1.5), (-10.0, 2.0)])
def test_density_integrates_and_obeys_the_virial_theorem(strength, frequency):
    """The radius, mended centre of mass included, fits the energies."""
    width, step = 0.5, 1e-4
    state = ground_state(4, strength, width, cut=52, frequency=frequency)
    x, spacing = np.linspace(-12.0, 12.0, 1201, retstep=True)
    values = density(state, x)
    assert spacing * values.sum() == pytest.approx(4.0, abs=1e-10)
    # Scaling x -> s x: 2 T - 2 U + sigma0 dE/dsigma0 + V = 0 and E = T + U + V, V = V0 dE/dV0.
    derivatives = []
    for change in (np.array([step, 0.0]), np.array([0.0, step])):
        up, down = (
            ground_state(4, *((1 + s * change) * [strength, width]), cut=52, frequency=frequency) for s in (1, -1)
        )
        derivatives.append((up.energy - down.energy) / (2.0 * step))
    interaction, by_width = derivatives
    trap = spacing * (values * x**2).sum() / 2.0
    kinetic = state.energy - trap - interaction
    # Tolerance: the root of what the cut leaves out of the energy, 1e-5 or less; a centre of mass
    # left as in the basis would miss by 0.5 at frequency 2.
    assert 2 * kinetic - 2 * trap + interaction + by_width == pytest.approx(0.0, abs=3e-3)


def test_observables_refuse_a_centre_of_mass_they_cannot_mend():
    """An error instead of a wrong density."""
    with pytest.raises(ValueError, match=r"frequency = .*: must be 1, as"):
        one_body_density_matrix(ground_state(3, 1.0, 0.5, cut=4, frequency=2.0))
    with pytest.raises(ValueError, match=r"frequency = .*: must be at least 1"):
        density(ground_state(3, 1.0, 0.5, cut=4, frequency=0.5), 0.0)
