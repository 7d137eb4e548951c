"""The Hamiltonian's potentials against numpy, and its arguments."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import tensorflow as tf

from tf_nqs.physics.hamiltonian import TrappedFermions, gaussian_interaction, harmonic_trap
from tf_nqs.physics.parameters import parameters_of
from tf_nqs.types import LogDerivatives

A = 4
POSITIONS = np.random.default_rng(0).normal(size=(6, A))


def pairs(positions):
    return [positions[:, i] - positions[:, j] for i, j in itertools.combinations(range(positions.shape[1]), 2)]


def test_default_potentials():
    """sum x^2/2 and V_0/(sqrt(2 pi) sigma_0) sum_{i<j} exp(-(x_i - x_j)^2/(2 sigma_0^2))."""
    system = TrappedFermions(A, interaction_strength=-7.0, interaction_range=0.3)
    expected = sum(-7.0 / (np.sqrt(2 * np.pi) * 0.3) * np.exp(-(r**2) / (2 * 0.3**2)) for r in pairs(POSITIONS))
    # A few operations: tens of eps.
    np.testing.assert_allclose(system.interaction_energy(POSITIONS), expected, rtol=1e-13)
    np.testing.assert_allclose(system.trap_energy(POSITIONS), np.sum(POSITIONS**2, axis=1) / 2, rtol=1e-14)
    np.testing.assert_array_equal(harmonic_trap(POSITIONS), system.trap_energy(POSITIONS))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_parameters_that_are_numbers_are_those_that_are_variables(dtype):
    """An export has numbers; as float32, which TensorFlow makes of them, they are off by 1e-9 here."""
    system = TrappedFermions(A, interaction_strength=-7.0, interaction_range=0.3)
    positions = tf.constant(POSITIONS, dtype)
    energy = system.interaction_energy(positions, parameters_of(system.named))
    np.testing.assert_array_equal(energy, system.interaction_energy(positions))


def test_the_interaction_integrates_to_its_strength():
    r, step = np.linspace(-10, 10, 2001, retstep=True)
    assert step * np.sum(gaussian_interaction(3.0, 0.5)(tf.constant(r))) == pytest.approx(3.0, rel=1e-12)


def test_interaction_sees_distances_only():
    system = TrappedFermions(A, interaction_strength=5.0)
    before = system.interaction_energy(POSITIONS)
    # Rounding of the moved positions, 1e-15, times the largest force of order 10.
    np.testing.assert_allclose(system.interaction_energy(POSITIONS + 2.5), before, atol=1e-13)
    np.testing.assert_allclose(system.interaction_energy(-POSITIONS), before, atol=1e-13)
    np.testing.assert_allclose(system.interaction_energy(POSITIONS[:, ::-1]), before, atol=1e-13)


def test_trap_off_and_own_potentials():
    assert np.all(TrappedFermions(A, trap=False).trap_energy(POSITIONS) == 0.0)
    own = TrappedFermions(A, trap=lambda x: tf.reduce_sum(x**4, axis=1), pair_potential=lambda r: r**2)
    np.testing.assert_allclose(own.trap_energy(POSITIONS), np.sum(POSITIONS**4, axis=1), rtol=1e-14)
    np.testing.assert_allclose(own.interaction_energy(POSITIONS), sum(r**2 for r in pairs(POSITIONS)), rtol=1e-13)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_local_energy_is_the_sum_of_its_parts(dtype):
    system = TrappedFermions(A, interaction_strength=2.0)
    positions = tf.constant(POSITIONS, dtype)
    laplacian = tf.range(6, dtype=dtype)
    energy = system.local_energy(positions, LogDerivatives(positions, laplacian))
    np.testing.assert_array_equal(energy.kinetic, -0.5 * laplacian)
    np.testing.assert_array_equal(energy.trap, system.trap_energy(positions))
    np.testing.assert_array_equal(energy.interaction, system.interaction_energy(positions))
    np.testing.assert_allclose(energy.total, energy.kinetic + energy.trap + energy.interaction, rtol=1e-6)
    assert energy.total.dtype.name == dtype


def test_local_energy_of_any_wave_function():
    """exp(-sum x^2/2): every walker has the energy A/2."""
    energy = TrappedFermions(A).local_energy_of(lambda x: -0.5 * tf.reduce_sum(x**2, axis=1), POSITIONS)
    np.testing.assert_allclose(energy.total, A / 2, rtol=1e-13)


@pytest.mark.parametrize("interaction_strength", [0.0, 10.0])
def test_one_particle_has_no_interaction(interaction_strength):
    system = TrappedFermions(1, interaction_strength=interaction_strength)
    np.testing.assert_array_equal(system.interaction_energy(POSITIONS[:, :1]), np.zeros(6))


@pytest.mark.parametrize("n_particles", [0, -1, 2.5, float("nan"), float("inf")])
def test_wrong_number_of_particles_is_named(n_particles):
    with pytest.raises(ValueError, match="n_particles = "):
        TrappedFermions(n_particles)


@pytest.mark.parametrize("interaction_range", [0.0, -0.5, float("nan")])
def test_wrong_range_is_named(interaction_range):
    with pytest.raises(ValueError, match="interaction_range = "):
        TrappedFermions(2, interaction_range=interaction_range)


ASSIGNED = [
    ({"interaction_strength": 1.0, "pair_stiffness": 0.2}, {"interaction_strength": -2.0, "pair_stiffness": -0.1}),
    ({"pair_stiffness": 0.2}, {"pair_stiffness": 0.0, "interaction_range": 0.8}),
    ({"trap": "quartic"}, {"trap_quartic": 0.7}),
    ({"trap": "double_well", "trap_separation": 0.8}, {"trap_separation": 1.7}),
    ({"interaction": "harmonic", "interaction_strength": 0.0}, {"interaction_strength": 0.4, "pair_stiffness": 0.3}),
    ({"interaction": "coth", "interaction_strength": 1.0, "pair_stiffness": 0.1}, {"pair_stiffness": 0.5}),
]


@pytest.mark.parametrize(("made", "given"), ASSIGNED)
def test_compiled_functions_follow_all_parameters_and_are_traced_once(made, given):
    system, n_traced = TrappedFermions(A, **made), [0]

    @tf.function(autograph=False)
    def potential(positions):
        n_traced[0] += 1
        return system.trap_energy(positions) + system.interaction_energy(positions)

    x = tf.constant(POSITIONS)
    before = potential(x).numpy()
    system.assign(**given)
    other = TrappedFermions(A, **(made | given))
    np.testing.assert_allclose(potential(x), other.trap_energy(x) + other.interaction_energy(x), rtol=1e-13)
    assert n_traced == [1] and not np.allclose(before, potential(x))
    for name in ("interaction_strength", "interaction_range", "pair_stiffness", "is_free", "named"):
        assert getattr(system, name) == getattr(other, name)


@pytest.mark.parametrize(
    ("made", "given", "message"),
    [
        ({}, {"pair_stiffness": 0.3}, "pair_stiffness = 0.3: must stay 0, as the compiled functions"),
        ({"pair_stiffness": 0.1}, {"pair_stiffness": -0.3}, "pair_stiffness = -0.3 contradicts trap = harmonic"),
        ({}, {"trap_quartic": 0.3}, "trap_quartic = 0.3 contradicts trap = harmonic, which has none"),
        ({"trap": "double_well"}, {"trap_separation": -1.0}, "trap_separation = -1.0: must be positive"),
        ({"trap": lambda x: x[:, 0]}, {"trap_separation": 3.0}, "trap_separation = 3.0 contradicts trap = a function"),
        ({"interaction": "calogero", "interaction_strength": 2.0}, {"interaction_strength": 3.0}, "must stay 2"),
    ],
)
def test_parameters_that_cannot_be_assigned_change_nothing(made, given, message):
    system = TrappedFermions(A, **made)
    before = system.named, [float(one) for one in system.parameters]
    with pytest.raises(ValueError, match=message):
        system.assign(**given)
    assert (system.named, [float(one) for one in system.parameters]) == before
