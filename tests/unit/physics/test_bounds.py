"""Bounds that no state can pass."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tf_nqs.physics.bounds import lowest_energies, lowest_energy
from tf_nqs.physics.hamiltonian import TrappedFermions


@pytest.mark.parametrize(
    ("system", "expected"),
    [
        (TrappedFermions(4, 10.0), 0.0),
        (TrappedFermions(1, -10.0), 0.0),
        (TrappedFermions(3, -20.0, 0.5, trap=False), 3 * -15.957691),  # three pairs of -20/(sqrt(2 pi) 0.5)
        (TrappedFermions(2, pair_potential=tf.cos), None),
        (TrappedFermions(2, trap=lambda x: tf.reduce_sum(tf.abs(x), axis=1)), None),
    ],
)
def test_lowest_energy(system, expected):
    assert lowest_energy(system) == (expected if expected is None else pytest.approx(expected, rel=1e-7))


@pytest.mark.parametrize("interaction", ["gaussian", "soft_coulomb", "harmonic", "coth"])
@pytest.mark.parametrize("pair_stiffness", [0.0, -0.1, 0.3])
def test_bounds_of_a_family_are_those_of_its_systems(interaction, pair_stiffness):
    """NaN in place of None."""
    has_range = interaction in ("gaussian", "soft_coulomb")
    numbers, strengths = np.array([[2, 3], [5, 2]]), np.array([[-7.0, 4.0], [2.0, 0.0]])
    strengths = 0.01 * strengths if interaction == "harmonic" else abs(strengths) + 0.1 if not has_range else strengths
    widths = np.array([[0.5, 0.3], [0.9, 0.5]])

    def system(number, strength, width):
        return TrappedFermions(
            int(number),
            strength,
            width if has_range else None,
            interaction=interaction,
            pair_stiffness=pair_stiffness,
            trap="quartic",
        )

    found = lowest_energies(system(3, strengths[0, 1], 0.5), numbers, strengths, widths)
    bounds = [lowest_energy(system(*one)) for one in zip(numbers.flat, strengths.flat, widths.flat, strict=True)]
    np.testing.assert_array_equal(found.ravel(), [np.nan if one is None else one for one in bounds])
