"""The curve through energies: are its slope, its curvature and their errors those of exactly known curves?"""

from __future__ import annotations

import functools

import numpy as np
import pytest

from tf_nqs.exact import two_particle_energy
from tf_nqs.studies.curve.fit import fit_curve

ERROR = 2.5e-4


def harmonic(kappa, n_particles=4):
    """E, dE/dkappa and d2E/dkappa2 of particles with the interaction kappa r^2/2, in closed form."""
    omega, half = np.sqrt(1 + n_particles * kappa), 0.5 * (n_particles**2 - 1)
    return 0.5 + half * omega, half * n_particles / (2 * omega), -half * n_particles**2 / (4 * omega**3)


@functools.cache
def pair_at(strength):
    return two_particle_energy(strength, 0.5)[0]


def pair(strength):
    """The same of two particles with a Gaussian interaction, from differences of exact energies."""
    at = {shift: np.array([pair_at(round(float(one), 9)) for one in strength + shift]) for shift in (-0.1, 0, 0.1)}
    return at[0], (at[0.1] - at[-0.1]) / 0.2, (at[0.1] + at[-0.1] - 2 * at[0]) / 0.01


CURVES = {
    "harmonic, 12 points": (harmonic, np.linspace(0.5, 3.0, 12)),
    "pair, 16 points": (pair, np.linspace(-20.0, 20.0, 16)),
    "pair, 6 points": (pair, np.linspace(-20.0, 20.0, 6)),
}


@pytest.mark.parametrize("excess", [0.0, 4 * ERROR], ids=["of samples", "of trainings"])
@pytest.mark.parametrize("name", CURVES)
def test_errors_of_slope_and_curvature_are_those_of_deviations(name, excess):
    """Also where the energies scatter by what separate trainings leave, of which their own errors know nothing."""
    exact, x = CURVES[name]
    energy, *derivatives = exact(x)
    random, pulls = np.random.default_rng(1), {1: [], 2: []}
    for _ in range(20):
        noise = ERROR * random.standard_normal(len(x)) + excess * np.abs(random.standard_normal(len(x)))
        fit = fit_curve(x, energy + noise, np.full(len(x), ERROR))
        for order, known in zip((1, 2), derivatives, strict=True):
            found = fit.derivative(x, order)
            pulls[order].append((found.value - known) / found.error)
    for order, values in pulls.items():
        # 1 for perfect errors; up to 1.4 was seen in studies of 200 repetitions.
        assert 0.3 < np.sqrt(np.mean(np.square(values))) < 1.6, order


def test_without_noise_the_slope_is_exact():
    x = np.linspace(1.0, 2.0, 15)
    energy, slope, curvature = harmonic(x)
    fit = fit_curve(x, energy, np.full(len(x), 1e-9))
    np.testing.assert_allclose(fit.derivative(x).value, energy, atol=1e-7)
    np.testing.assert_allclose(fit.derivative(x, 1).value, slope, atol=1e-5)
    np.testing.assert_allclose(fit.derivative(x, 2).value, curvature, atol=1e-3)


def test_an_exact_point_does_not_count_alone():
    """Free fermions have an energy without error, which is no reason to draw the curve through it and nothing else."""
    x = np.linspace(-3.0, 3.0, 13)
    errors = np.where(x == 0, 0.0, ERROR)
    energy = 8.0 + x - 0.1 * x**2 + errors * np.random.default_rng(3).standard_normal(len(x))
    found = fit_curve(x, energy, errors).derivative(x, 1)
    assert np.all(np.abs(found.value - (1 - 0.2 * x)) < 4 * found.error)
    assert np.all(found.error > 1e-5)
    assert np.all(np.isfinite(fit_curve(x, energy, np.zeros_like(x)).derivative(x, 1).error))


def test_points_without_an_energy_are_left_out():
    x = np.linspace(0.0, 2.0, 9)
    energy, errors = harmonic(x)[0], np.full(9, ERROR)
    energy[3], errors[5] = np.nan, np.nan
    kept = np.array([0, 1, 2, 4, 6, 7, 8])
    expected = fit_curve(x[kept], energy[kept], errors[kept]).derivative(x, 1)
    np.testing.assert_array_equal(fit_curve(x, energy, errors).derivative(x, 1).value, expected.value)


@pytest.mark.parametrize("n_points", [0, 1, 3])
def test_few_points_have_no_curve(n_points):
    x = np.arange(float(n_points))
    assert fit_curve(x, x, np.ones(n_points)) is None
    repeated = np.repeat([1.0, 2.0, 3.0], 5)  # three places, however many points
    assert fit_curve(repeated, repeated, np.ones(15)) is None


def test_the_order_of_the_points_does_not_matter():
    x = np.linspace(0.0, 2.0, 9)
    energy = harmonic(x)[0] + ERROR * np.random.default_rng(0).standard_normal(9)
    there = fit_curve(x, energy, np.full(9, ERROR)).derivative(x, 1)
    back = fit_curve(x[::-1], energy[::-1], np.full(9, ERROR)).derivative(x, 1)
    np.testing.assert_allclose(there.value, back.value, rtol=1e-9)
    np.testing.assert_allclose(there.error, back.error, rtol=1e-6)
