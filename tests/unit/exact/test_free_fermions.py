"""Free fermions: closed forms."""

import numpy as np
import pytest

from tf_nqs.exact import free_fermion_density, free_fermion_energy, oscillator_orbitals


@pytest.mark.parametrize(("n_particles", "energy"), [(1, 0.5), (2, 2.0), (4, 8.0), (7, 24.5)])
def test_energy_is_half_the_square(n_particles, energy):
    """A^2 / 2."""
    assert free_fermion_energy(n_particles) == energy


def test_orbitals_are_orthonormal_up_to_high_levels():
    """150 levels, by quadrature."""
    # On an equidistant grid the trapezoidal rule is exact to rounding for these functions.
    x, step = np.linspace(-30.0, 30.0, 6001, retstep=True)
    orbitals = oscillator_orbitals(150, x)
    np.testing.assert_allclose(step * orbitals @ orbitals.T, np.eye(150), atol=1e-12)


def test_orbitals_match_their_closed_form():
    """The first three, at any shape of places."""
    x = np.array([[-1.3, 0.0], [0.4, 2.5]])
    ground = np.pi**-0.25 * np.exp(-0.5 * x**2)
    closed = [ground, np.sqrt(2.0) * x * ground, (2.0 * x**2 - 1.0) / np.sqrt(2.0) * ground]
    np.testing.assert_allclose(oscillator_orbitals(3, x), closed, rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("n_particles", [1, 2, 5, 24])
def test_density_integrates_to_the_number_of_particles_and_has_the_virial_radius(n_particles):
    """Number and mean square radius."""
    x, step = np.linspace(-20.0, 20.0, 4001, retstep=True)
    density = free_fermion_density(n_particles, x)
    assert step * density.sum() == pytest.approx(n_particles, rel=1e-13)
    # Half of the energy is potential energy.
    assert step * (density * x**2).sum() == pytest.approx(n_particles**2 / 2, rel=1e-13)


@pytest.mark.parametrize("n_particles", [0, -1, 2.5, True, "4"])
def test_wrong_number_of_particles_is_named(n_particles):
    """Only integers >= 1 are particles."""
    with pytest.raises(ValueError, match=r"n_particles = .*: must be an integer of at least 1"):
        free_fermion_energy(n_particles)
    with pytest.raises(ValueError, match=r"n_particles = .*: must be an integer of at least 1"):
        free_fermion_density(n_particles, 0.0)


def test_a_whole_number_of_any_type_is_a_number_of_particles():
    """As everywhere in the package."""
    assert free_fermion_energy(np.int64(4)) == free_fermion_energy(4.0) == 8.0


def test_no_orbitals_is_an_error():
    """At least one orbital."""
    with pytest.raises(ValueError, match=r"n_orbitals = 0: must be an integer of at least 1"):
        oscillator_orbitals(0, 0.0)
