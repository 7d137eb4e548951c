"""Observables of exact states: closed forms, the virial theorem, and bases of other frequencies."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from tf_nqs.exact import (
    exact_observables,
    free_fermion_observables,
    ground_state,
    state_observables,
    wave_function_bytes,
)

X = 0.15 * np.arange(-40, 41)


def gaussian(strength, width=0.5):
    return lambda r: strength / (np.sqrt(2 * np.pi) * width) * np.exp(-0.5 * (r / width) ** 2)


@pytest.mark.parametrize("n_particles", [2, 3, 4])
def test_free_fermions_are_the_closed_form(n_particles):
    known = free_fermion_observables(n_particles, X)
    found = state_observables(ground_state(n_particles, 0.0, 0.5, cut=6), X, gaussian(0.0))
    for name, value in known._asdict().items():
        np.testing.assert_allclose(getattr(found, name), value, atol=1e-7, err_msg=name)
    spacing = X[1] - X[0]
    assert spacing * known.density.sum() == pytest.approx(n_particles)
    assert spacing**2 * known.pair_density.sum() == pytest.approx(n_particles * (n_particles - 1))
    assert np.diag(known.pair_density) == pytest.approx(0, abs=1e-12)  # Pauli


SLOW = [pytest.param(*system, marks=pytest.mark.slow) for system in ((3, 10.0), (4, 10.0), (4, -10.0))]


@pytest.mark.parametrize(("n_particles", "strength"), [(2, 10.0), (2, -10.0), (3, -10.0), *SLOW])
def test_the_virial_theorem_and_the_sum_rules(n_particles, strength):
    state = ground_state(n_particles, strength, 0.5, cut=60, frequency=3.0)
    found = state_observables(state, X, gaussian(strength))
    spacing, r = X[1] - X[0], X[:, None] - X
    pairs = 0.5 * spacing**2 * np.sum(found.pair_density * gaussian(strength)(r) * (r / 0.5) ** 2)
    # The energies are exact to 1e-6 or better, the wave function to its root times what it is off high up.
    assert 2 * found.kinetic - 2 * found.trap + pairs == pytest.approx(0, abs=2e-6)
    # Two particles in the rest are put on every second point: 0.3 a_ho resolve pairs bound within 0.5 to some 1e-6.
    tolerance = 1e-5 if n_particles == 4 else 1e-9
    sums = spacing * found.pair_density.sum(axis=1)
    np.testing.assert_allclose(sums, (n_particles - 1) * found.density, atol=tolerance)
    assert found.occupations.sum() == pytest.approx(n_particles)
    assert 0 <= found.occupations.min() and found.occupations.max() < 1
    if n_particles == 2:  # a two-particle amplitude is antisymmetric: its singular values come in pairs
        np.testing.assert_allclose(found.occupations[:8:2], found.occupations[1:8:2], atol=1e-9)


@pytest.mark.parametrize("x", [X[:1], X[:-1], X[1:-1], X + 0.1, X**3], ids=["one", "80", "79", "shifted", "uneven"])
def test_another_grid_is_refused(x):
    with pytest.raises(ValueError, match=r"^x: must be 4 m \+ 1 places"):
        state_observables(ground_state(2, 5.0, 0.5, cut=6), x, gaussian(5.0))


@pytest.mark.parametrize("n_particles", [2, 3])
def test_the_centre_of_mass_is_the_trap_s_in_any_basis(n_particles):
    """A tight basis holds the centre of mass too tightly; what is made of it must be the wide basis' state."""
    narrow, wide = (
        state_observables(ground_state(n_particles, 5.0, 0.5, cut=cut, frequency=w), X, gaussian(5.0))
        for cut, w in ((40, 1.8), (60, 1.0))
    )
    # Both cuts leave out less than 1e-4 of the energy; a centre of mass left alone is off by 0.1.
    np.testing.assert_allclose(narrow.density, wide.density, atol=5e-4)
    np.testing.assert_allclose(narrow.occupations[:6], wide.occupations[:6], atol=5e-4)
    assert narrow.trap == pytest.approx(wide.trap, abs=1e-3)


def test_more_interacting_particles_have_no_exact_observables():
    assert exact_observables(5, 1.0, 0.5, X) is None
    assert exact_observables(5, 0.0, 0.5, X).kinetic == 6.25


@pytest.mark.parametrize(("n_particles", "n_places"), [(3, 241), (4, 121)])
def test_the_memory_of_a_wave_function_is_known_before(n_particles, n_places):
    x = 0.05 * np.arange(-(n_places // 2), n_places // 2 + 1)
    state = ground_state(n_particles, 5.0, 0.5, cut=16, frequency=1.2)
    tracemalloc.start()
    state_observables(state, x, gaussian(5.0))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert 0.8 < wave_function_bytes(n_particles, n_places) / peak < 1.5
    assert wave_function_bytes(5, n_places) == 0
