"""Two particles without a trap: the bound level, and where it begins."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import eigh_tridiagonal

from tf_nqs.exact import Reference, bound_pair_energy, critical_strength, reference_energy, two_particle_energy


def by_finite_differences(strength, width, length, n_points):
    """The lowest level on a grid of the half line, second order: an independent way, to be extrapolated."""
    step = length / (n_points + 1)
    r = step * np.arange(1, n_points + 1)
    potential = strength / (np.sqrt(2 * np.pi) * width) * np.exp(-((r / width) ** 2))
    diagonal, beside = potential + step**-2, np.full(n_points - 1, -0.5 * step**-2)
    return eigh_tridiagonal(diagonal, beside, eigvals_only=True, select="i", select_range=(0, 0))[0]


@pytest.mark.parametrize(("strength", "width"), [(-20.0, 0.5), (-9.0, 0.5), (-100.0, 0.1)])
def test_against_finite_differences(strength, width):
    """Richardson's extrapolation leaves errors of fourth order in steps of 1/50 of the range, 1e-6 of the depth."""
    energy, uncertainty = bound_pair_energy(strength, width)
    length = 30.0 * width  # the state decays over at most two ranges here
    coarse, fine = (by_finite_differences(strength, width, length, n) for n in (1499, 2999))
    depth = -strength / (np.sqrt(2 * np.pi) * width)
    assert energy == pytest.approx(fine + (fine - coarse) / 3, abs=1e-6 * depth)
    assert uncertainty < 1e-8 * depth


def test_known_values():
    assert bound_pair_energy(-20.0, 0.5)[0] == pytest.approx(-3.116408, abs=1e-6)
    assert critical_strength(0.5) == pytest.approx(-6.728, abs=5e-4)
    assert critical_strength(0.1) == pytest.approx(5 * critical_strength(0.5), rel=1e-12)


def test_a_narrow_well_hardly_feels_the_trap():
    """The centre of mass has 1/2 in the trap, and the pair's own size costs little."""
    trapped, _ = two_particle_energy(-100.0, 0.1)
    assert bound_pair_energy(-100.0, 0.1)[0] + 0.5 == pytest.approx(trapped, abs=0.01)


def test_the_level_begins_at_the_critical_strength():
    critical = critical_strength(0.5)
    assert bound_pair_energy(critical * (1 - 1e-6), 0.5) is None
    assert bound_pair_energy(5.0, 0.5) is None
    energy, _ = bound_pair_energy(critical * (1 + 1e-3), 0.5)
    assert -1e-4 < energy < 0


def test_references_without_a_trap():
    energy, uncertainty = bound_pair_energy(-20.0, 0.5)
    assert reference_energy(2, -20.0, 0.5, trap=False) == Reference(energy, "relative_coordinate", uncertainty)
    for unknown in ((2, -1.0, 0.5), (3, -20.0, 0.5)):
        assert reference_energy(*unknown, trap=False) == Reference(None, "none", None)
