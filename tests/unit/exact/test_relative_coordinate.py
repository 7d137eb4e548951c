"""Two particles, against published numbers and limits that are solvable otherwise."""

import numpy as np
import pytest
from scipy.linalg import eigh_tridiagonal

from tf_nqs.exact import two_particle_energy


@pytest.mark.parametrize(("strength", "energy"), [(-20, -2.471756), (-10, 0.595906), (10, 2.425619), (20, 2.605639)])
def test_known_energies(strength, energy):
    """The numbers of the specification, to their last digit."""
    value, uncertainty = two_particle_energy(strength, 0.5)
    assert value == pytest.approx(energy, abs=1e-6)
    assert uncertainty < 1e-8


@pytest.mark.parametrize("width", [0.05, 0.5, 5.0])
def test_no_interaction_gives_free_fermions(width):
    """A^2 / 2 = 2."""
    assert two_particle_energy(0.0, width)[0] == pytest.approx(2.0, abs=1e-10)


@pytest.mark.parametrize("width", [0.05, 0.3, 1.0, 5.0])
@pytest.mark.parametrize("strength", [-100.0, -3.0, 7.0, 100.0])
def test_agrees_with_finite_differences(strength, width):
    """A second discretisation, from contact-like to long-range, both signs."""
    length = 14.0

    def level(n_points):
        r, step = np.linspace(0.0, length, n_points + 1, retstep=True)
        r = r[1:-1]
        height = strength / (np.sqrt(2.0 * np.pi) * width)
        potential = 0.5 * r**2 + height * np.exp(-((r / width) ** 2))
        off_diagonal = np.full(len(r) - 1, -0.5 / step**2)
        return eigh_tridiagonal(1.0 / step**2 + potential, off_diagonal, True, select="i", select_range=(0, 0))[0]

    # Errors go like step^2 + step^4: two Richardson steps leave about step^6.
    coarse, middle, fine = level(7000), level(14000), level(28000)
    first, second = (4.0 * middle - coarse) / 3.0, (4.0 * fine - middle) / 3.0
    extrapolated = (16.0 * second - first) / 15.0
    energy, uncertainty = two_particle_energy(strength, width)
    assert uncertainty < 1e-8
    # The rounding of 1 / step^2 = 4e6 in the finite differences is the larger error: about 1e-8.
    assert energy == pytest.approx(0.5 + extrapolated, abs=1e-7)


def test_a_strong_repulsive_core_keeps_its_tail():
    """A wave pushed outwards keeps its room."""
    # A box that ends too early would raise the energy without bound; doubling the basis would not
    # show it. At 1e6 the potential has its minimum, 2.1, at r = 2.0; 6 is generous.
    energies = [two_particle_energy(strength, 0.5)[0] for strength in (1e2, 1e4, 1e6)]
    assert np.all(np.diff(energies) > 0)
    assert energies[-1] < 6.0


@pytest.mark.parametrize("width", [0.0, -1.0, np.inf, np.nan, "wide"])
def test_wrong_range_is_named(width):
    """The range is finite and positive."""
    with pytest.raises(ValueError, match=r"interaction_range = .*: must be a finite number above 0"):
        two_particle_energy(1.0, width)


@pytest.mark.parametrize("strength", [np.inf, np.nan, None])
def test_wrong_strength_is_named(strength):
    """The strength is finite."""
    with pytest.raises(ValueError, match=r"interaction_strength = .*: must be a finite number"):
        two_particle_energy(strength, 0.5)
