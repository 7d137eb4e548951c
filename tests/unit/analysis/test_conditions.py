"""Energies of systems that drift: no bias by the curve of the energies, honest errors, little data, faults."""

from __future__ import annotations

import numpy as np
import pytest

from tf_nqs.analysis.conditions import MOST_ROWS, members_table, smoothed_conditions


def drifting(n_iterations, n_systems, curve, noise=0.0, rho=0.0, seed=0):
    """Systems that walk inside strata of length 2, with energies of AR(1) noise."""
    rng = np.random.default_rng(seed)
    steps = rng.normal(0.0, 0.2, (n_iterations, n_systems)).cumsum(axis=0) + rng.uniform(0, 2, n_systems)
    strength = 2.0 * np.arange(n_systems) + np.abs((steps - 2) % 4 - 2)
    scatter = np.zeros((n_iterations, n_systems))
    innovations = rng.normal(0.0, noise, (n_iterations, n_systems))
    for row in range(n_iterations):
        scatter[row] = innovations[row] if row == 0 else rho * scatter[row - 1] + np.sqrt(1 - rho**2) * innovations[row]
    full = np.ones_like(strength)
    return {
        "n_particles": 4.0 * full,
        "interaction_strength": strength,
        "interaction_range": 0.5 * full,
        "energy": curve(strength) + scatter,
        "energy_error": noise * full,
        "variance": 0.25 * full,
    }


def parabola(strength):
    return 8.0 + 0.7 * strength - 0.1 * strength**2


def test_a_curve_does_not_shift_the_energies():
    rows = drifting(100, 5, parabola)
    for found, strength in zip(smoothed_conditions(rows), rows["interaction_strength"].mean(axis=0), strict=True):
        assert (found["n_particles"], found["interaction_range"], found["variance"]) == (4, 0.5, 0.25)
        np.testing.assert_allclose(found["interaction_strength"], strength)
        np.testing.assert_allclose(found["energy"], parabola(strength), atol=1e-10)
        # The mean of the energies is lower, by a tenth of the variance of the strength.
    assert np.max(np.abs(rows["energy"].mean(axis=0) - parabola(rows["interaction_strength"].mean(axis=0)))) > 0.02


def test_an_interaction_without_a_range_has_none():
    rows = drifting(100, 3, parabola)
    known = smoothed_conditions(rows)
    rows["interaction_range"] = np.full_like(rows["energy"], np.nan)
    found = smoothed_conditions(rows)
    assert found == [one | {"interaction_range": None} for one in known]
    assert "nan" not in members_table(found)


@pytest.mark.parametrize("rho", [0.0, 0.5])
def test_errors_are_honest(rho):
    rows = drifting(100, 200, parabola, noise=0.03, rho=rho)
    found = smoothed_conditions(rows)
    exact = parabola(rows["interaction_strength"].mean(axis=0))
    errors = np.array([one["energy_error"] for one in found])
    deviations = np.array([one["energy"] for one in found]) - exact
    # 200 squares have a mean that is known to a tenth. The slow drift is fitted too: errors are a little too large.
    assert 0.7 < np.mean(deviations**2) / np.mean(errors**2) < 1.25


def test_two_parameters_and_several_numbers_of_particles():
    rows = drifting(60, 4, parabola)
    rows["interaction_range"] = np.exp(np.random.default_rng(1).normal(0.0, 0.05, rows["energy"].shape))
    rows["energy"] = rows["energy"] + rows["interaction_range"] * (1 + rows["interaction_strength"])
    rows["n_particles"][:, :2] = 5
    found = smoothed_conditions(rows)
    assert [one["n_particles"] for one in found] == [4, 4, 5, 5]
    for one in found:
        expected = parabola(one["interaction_strength"]) + one["interaction_range"] * (1 + one["interaction_strength"])
        np.testing.assert_allclose(one["energy"], expected, atol=1e-9)


def test_systems_that_do_not_move_and_short_windows_have_the_mean():
    rows = drifting(8, 2, parabola, noise=0.1)
    found = smoothed_conditions(rows)
    np.testing.assert_allclose([one["energy"] for one in found], rows["energy"].mean(axis=0))
    rows["interaction_strength"][:] = 3.0
    assert [one["interaction_strength"] for one in smoothed_conditions(rows)] == [3.0, 3.0]


def test_energies_that_are_not_finite_are_left_out():
    rows = drifting(100, 3, parabola)
    rows["energy"][7, 0] = np.nan
    rows["energy"][:, 1] = np.inf
    found = smoothed_conditions(rows)
    assert found[0]["energy"] is not None
    assert found[1]["energy"] is None and found[1]["variance"] is None
    one = smoothed_conditions({name: values[:1] for name, values in drifting(1, 1, parabola).items()})
    assert one[0]["energy_error"] is None


def test_the_table_shows_some_of_many_systems():
    members = smoothed_conditions(drifting(100, 40, parabola))
    members[0] |= {"energy": None, "energy_error": None, "variance": None}
    lines = members_table(members).splitlines()
    rows = [line for line in lines if " 0.500 " in line]
    assert len(rows) == MOST_ROWS and "-" in rows[0].split("0.500")[1]
    assert f"{members[-1]['interaction_strength']:.3f}" in rows[-1]
    assert len([line for line in members_table(members[:3]).splitlines() if " 0.500 " in line]) == 3
