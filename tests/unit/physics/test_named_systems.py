"""Interactions and traps that have a name: formulas, limits, and what is refused."""

from __future__ import annotations

import re

import mpmath
import numpy as np
import pytest
import tensorflow as tf

from tf_nqs import defaults
from tf_nqs.ansatz import FermionAnsatz, JastrowAnsatz
from tf_nqs.config import settings_from
from tf_nqs.exact.closed_forms import closed_form_energy
from tf_nqs.named_systems import NamedSystem, check_bound, check_parameters
from tf_nqs.physics.bounds import lowest_energy
from tf_nqs.physics.contact import check_contact, contact_energy
from tf_nqs.physics.contact_zone import contact_zone
from tf_nqs.physics.hamiltonian import TrappedFermions
from tf_nqs.physics.interactions import t_coth_t
from tf_nqs.training.parts import check_parts

A = 4
DISTANCES = np.array([[-3.0, -0.4, 1e-3, 0.7, 2.0, 5.0]])
POSITIONS = np.random.default_rng(0).normal(size=(6, A))


def own_interaction(distances):
    """A pair potential that a setting can name."""
    return 3.0 * distances**2


def coth(r):
    return 1.0 / np.tanh(r)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"interaction": "none"}, lambda r: 0 * r),
        ({"interaction": "harmonic", "interaction_strength": 0.7}, lambda r: 0.35 * r**2),
        ({"interaction": "harmonic", "interaction_strength": 0.7, "pair_stiffness": 0.3}, lambda r: 0.5 * r**2),
        ({"interaction": "coth", "interaction_strength": 0.6}, lambda r: -0.6 * r * coth(0.6 * r)),
        (
            {"interaction": "coth", "interaction_strength": 0.6, "pair_stiffness": 0.75},
            lambda r: 0.375 * r**2 - 2.0 * 0.6 * r * coth(0.6 * r),  # Omega = sqrt(1 + 4 * 0.75)
        ),
        ({"interaction": "calogero", "interaction_strength": 1.8}, lambda r: 1.44 / r**2),
        (
            {"interaction": "calogero", "interaction_strength": 1.8, "pair_stiffness": 0.2},
            lambda r: 1.44 / r**2 + 0.1 * r**2,
        ),
        ({"interaction": "soft_coulomb", "interaction_strength": -2.0}, lambda r: -2.0 / np.sqrt(r**2 + 0.25)),
        (
            {"interaction": "soft_coulomb", "interaction_strength": 2.0, "interaction_range": 0.1},
            lambda r: 2.0 / np.sqrt(r**2 + 0.01),
        ),
        (
            {"interaction_strength": 2.0, "interaction_range": 1.0, "pair_stiffness": -0.2},
            lambda r: 2.0 / np.sqrt(2 * np.pi) * np.exp(-(r**2) / 2) - 0.1 * r**2,
        ),
        ({"pair_potential": tf.cos, "pair_stiffness": 1.0}, lambda r: np.cos(r) + 0.5 * r**2),
        ({"interaction": f"{__name__}:own_interaction"}, lambda r: 3.0 * r**2),
    ],
)
def test_interactions(arguments, expected):
    energy = TrappedFermions(A, **arguments).pair_energy(tf.constant(DISTANCES))
    np.testing.assert_allclose(energy, expected(DISTANCES), rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"trap": "harmonic"}, lambda x: x**2 / 2),
        ({"trap": "none"}, lambda x: 0 * x),
        ({"trap": "double_well"}, lambda x: (x**2 - 4) ** 2 / 32),
        ({"trap": "double_well", "trap_separation": 1.5}, lambda x: (x**2 - 2.25) ** 2 / 18),
        ({"trap": "quartic"}, lambda x: x**2 / 2 + 0.1 * x**4),
        ({"trap": "quartic", "trap_quartic": 0.3}, lambda x: x**2 / 2 + 0.3 * x**4),
    ],
)
def test_traps(arguments, expected):
    energy = TrappedFermions(A, **arguments).trap_energy(tf.constant(POSITIONS))
    np.testing.assert_allclose(energy, expected(POSITIONS).sum(axis=1), rtol=1e-14)


def test_booleans_are_names_of_traps():
    assert (TrappedFermions(2).trap, TrappedFermions(2, trap=True).trap) == ("harmonic", "harmonic")
    assert TrappedFermions(2, trap=False).trap == "none"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_coth_keeps_its_digits_everywhere(dtype):
    """Contact, where it is 0/0, both sides of the change of formula, and arguments at which exp(2t) overflows."""
    t = np.concatenate([[0.0], np.geomspace(1e-18, 1e6, 49), [0.0999999, 0.1, 0.1000001, 1e17]]).astype(dtype)
    with tf.GradientTape() as outer:
        x = tf.constant(t)
        outer.watch(x)
        with tf.GradientTape() as inner:
            inner.watch(x)
            value = t_coth_t(x)
        slope = inner.gradient(value, x)
    with mpmath.workdps(60):
        places = [mpmath.mpf(float(one)) for one in t]
        exact = [1.0 if one == 0 else float(one * mpmath.coth(one)) for one in places]
        rising = [float(mpmath.coth(one) - one / mpmath.sinh(one) ** 2) for one in places[1:40]]
    np.testing.assert_allclose(value, exact, rtol=4 * np.finfo(dtype).eps)
    np.testing.assert_array_equal(t_coth_t(-x), value)
    # From 2t/3 to 1; above the series, where it is at least 0.06, it is a difference of terms of order 1.
    np.testing.assert_allclose(slope[1:40], rising, rtol=200 * np.finfo(dtype).eps)
    assert np.all(np.isfinite(outer.gradient(slope, x)))


def test_coth_becomes_a_constant():
    """-Omega for c -> 0."""
    system = TrappedFermions(A, interaction="coth", interaction_strength=1e-9, pair_stiffness=0.75)
    np.testing.assert_allclose(system.pair_energy(DISTANCES), 0.375 * DISTANCES**2 - 2.0, rtol=1e-12)


REFUSED = [
    ({"interaction": "cosine"}, "interaction = 'cosine': must be one of gaussian, harmonic, coth, calogero"),
    ({"interaction": "no_such_module:f"}, "interaction = 'no_such_module:f': cannot be imported"),
    ({"interaction": f"{__name__}:A"}, "is not a function"),
    ({"interaction": "math:no_such_function"}, "cannot be imported"),
    ({"interaction": "coth", "pair_potential": tf.cos}, "interaction = 'coth' contradicts pair_potential"),
    ({"interaction": "coth"}, "interaction_strength = 0.0 contradicts interaction = coth: must be above 0"),
    (
        {"interaction": "calogero", "interaction_strength": 0.9},
        "interaction_strength = 0.9 contradicts interaction = calogero: must be at least 1",
    ),
    (
        {"interaction": "none", "interaction_strength": 1.0},
        "interaction_strength = 1.0 contradicts interaction = none, which has none: must be left out",
    ),
    (
        {"interaction": "harmonic", "interaction_range": 0.5},
        "interaction_range = 0.5 contradicts interaction = harmonic",
    ),
    ({"interaction": f"{__name__}:own_interaction", "interaction_strength": 1.0}, "which has none: must be left out"),
    (
        {"interaction": "harmonic", "interaction_strength": -0.25},
        "interaction_strength = -0.25 contradicts trap = harmonic: must be above -1/n_particles = -0.25",
    ),
    (
        {"pair_stiffness": -0.3},
        "pair_stiffness = -0.3 contradicts trap = harmonic: must be above -1/n_particles = -0.25",
    ),
    (
        {"interaction": "harmonic", "interaction_strength": -0.5, "pair_stiffness": 0.1},
        "interaction_strength + pair_stiffness = -0.4 contradicts trap = harmonic: must be above -1/n_particles",
    ),
    (
        {"interaction": "coth", "interaction_strength": 1.0, "pair_stiffness": -0.3, "trap": "quartic"},
        "pair_stiffness = -0.3 contradicts trap = quartic: must be above -1/n_particles",
    ),
    ({"trap": False, "pair_stiffness": -0.1}, "pair_stiffness = -0.1 contradicts trap = none: must be above 0"),
    ({"pair_stiffness": float("nan")}, "pair_stiffness = nan: must be finite"),
    ({"trap_quartic": 0.2}, "trap_quartic = 0.2 contradicts trap = harmonic"),
    ({"trap": "quartic", "trap_quartic": 0.0}, "trap_quartic = 0.0: must be positive"),
    ({"trap": "quartic", "trap_separation": 1.0}, "trap_separation = 1.0 contradicts trap = quartic"),
]


@pytest.mark.parametrize(("arguments", "words"), REFUSED)
def test_what_is_refused(arguments, words):
    with pytest.raises(ValueError, match=re.escape(words)) as caught:
        TrappedFermions(A, **arguments)
    assert "\n" not in str(caught.value)


def test_steep_traps_hold_any_stiffness():
    for trap in ("quartic", "double_well"):
        check_parameters(NamedSystem(A, "harmonic", -3.0, trap=trap))


@pytest.mark.parametrize(
    ("system", "words"),
    [
        (NamedSystem(1, trap="none"), "n_particles = 1"),
        (NamedSystem(2, trap="none"), "interaction_strength = 0.0"),
        (NamedSystem(2, "soft_coulomb", 1.0, trap="none"), "interaction_strength = 1.0"),
        (NamedSystem(2, "coth", 1.0, trap="none"), "pair_stiffness must be above 0"),
        (NamedSystem(2, "harmonic", trap="none"), "interaction_strength must be above 0"),
        (NamedSystem(2, "none", trap="none"), "pair_stiffness must be above 0"),
    ],
)
def test_without_a_trap_something_must_bind(system, words):
    with pytest.raises(ValueError, match="trap = none contradicts") as caught:
        check_bound(system)
    assert words in str(caught.value)
    if system.n_particles > 1:
        check_bound(system._replace(pair_stiffness=0.1))
    check_bound(NamedSystem(2, "soft_coulomb", -1.0, trap="none"))


def test_contact_energy_is_what_the_two_parts_lack():
    """And no zone of contact is needed, although v diverges there."""
    system = TrappedFermions(A, interaction="calogero", interaction_strength=1.8)
    pairs = POSITIONS[:, np.triu_indices(A, 1)[0]] - POSITIONS[:, np.triu_indices(A, 1)[1]]
    np.testing.assert_allclose(system.contact_energy(POSITIONS), 1.44 * np.sum(pairs**-2, axis=1), rtol=1e-13)
    np.testing.assert_array_equal(system.interaction_energy(POSITIONS), np.zeros(6))
    np.testing.assert_array_equal(contact_energy(POSITIONS, 1.0), np.zeros(6))
    np.testing.assert_array_equal(TrappedFermions(A, 3.0).contact_energy(POSITIONS), np.zeros(6))
    assert contact_zone(system) is None


def test_the_determinant_is_refused_for_calogero():
    system = TrappedFermions(2, interaction="calogero", interaction_strength=1.8)
    with pytest.raises(
        ValueError, match=r"interaction = calogero: must have .* \|r\|\^1\.8 .*; FermionAnsatz does not$"
    ):
        check_parts(FermionAnsatz(2, 2), system, None)
    other = FermionAnsatz(2, 2)
    other.contact_exponent = 1.5
    with pytest.raises(ValueError, match=r"^contact_exponent = 1\.5 of FermionAnsatz: must be 1\.8 for interaction"):
        check_parts(other, system, None)
    check_parts(FermionAnsatz(2, 2), TrappedFermions(2, interaction="calogero", interaction_strength=1.0), None)


def test_one_particle_has_no_contact():
    """Whatever l is: determinants can do it, no part of the energy has an infinite variance, and l may change."""
    system = TrappedFermions(1, interaction="calogero", interaction_strength=1.3)
    assert system.contact_exponent == system.named.contact_exponent == 1.0
    assert NamedSystem(2, "calogero", 1.3).contact_exponent == 1.3
    check_parts(FermionAnsatz(1, 2), system, None)
    check_contact(JastrowAnsatz(1, contact_exponent=1.3), system)
    settings_from(None, {"n_particles": 1, "interaction": "calogero", "interaction_strength": 1.3})
    system.assign(interaction_strength=1.8)
    assert system.contact_exponent == 1.0


@pytest.mark.parametrize(
    ("name", "strength"), [("harmonic", 0.2), ("harmonic", -0.1), ("coth", 0.5), ("calogero", 1.5), ("none", 0.0)]
)
def test_no_ground_state_is_below_the_bound(name, strength):
    bound = lowest_energy(TrappedFermions(A, interaction=name, interaction_strength=strength))
    exact = closed_form_energy(NamedSystem(A, name, strength))
    assert (bound is None and (name == "coth" or strength < 0)) or bound <= exact


def test_defaults_are_the_gaussian_in_the_harmonic_trap():
    system = TrappedFermions(A, 5.0)
    assert (system.interaction, system.interaction_range, system.trap) == ("gaussian", 0.5, "harmonic")
    assert system.interaction_range == defaults.INTERACTION_RANGE and not system.is_free
    assert TrappedFermions(A).is_free and TrappedFermions(A, interaction="none").is_free
    assert not TrappedFermions(A, pair_potential=tf.cos).is_free
    assert TrappedFermions(A, interaction="harmonic", interaction_strength=0.1).interaction_range is None
