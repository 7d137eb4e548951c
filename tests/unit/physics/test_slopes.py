"""The slope of the Hamiltonian by its parameters, against differences of the Hamiltonian that is measured."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from tf_nqs.named_systems import NamedSystem
from tf_nqs.physics import TrappedFermions
from tf_nqs.physics.slopes import is_linear, parameter_names, parameter_slopes, parameter_values

POSITIONS = np.array([[-1.3, 0.2, 0.9], [0.4, -0.5, 2.0]])

SYSTEMS = {
    "gaussian": NamedSystem(3, "gaussian", -7.0, 0.6),
    "gaussian, default range": NamedSystem(3, "gaussian", 2.0),
    "harmonic": NamedSystem(3, "harmonic", 0.7),
    "coth": NamedSystem(3, "coth", 1.3, pair_stiffness=0.4),
    "calogero": NamedSystem(3, "calogero", 1.8),
    "soft Coulomb": NamedSystem(3, "soft_coulomb", -2.0, 0.3),
    "none": NamedSystem(3, "none", pair_stiffness=0.2),
    "quartic": NamedSystem(3, "gaussian", 3.0, trap="quartic", trap_quartic=0.3),
    "double well": NamedSystem(3, "gaussian", 3.0, trap="double_well", trap_separation=1.4),
}


def energy_of(system, positions):
    """The potential energy of the Hamiltonian that a training has, the poles of calogero included."""
    built = TrappedFermions(**system._asdict())
    x = tf.constant(positions)
    return (built.trap_energy(x) + built.interaction_energy(x) + built.contact_energy(x)).numpy()


def parameter_slope(system, parameter, positions):
    slopes = parameter_slopes(system, tf.constant(parameter_values(system), positions.dtype), positions)
    return slopes[:, parameter_names(system).index(parameter)]


@pytest.mark.parametrize("name", SYSTEMS)
def test_the_slope_is_that_of_the_hamiltonian(name):
    system, step = SYSTEMS[name], 1e-5
    for parameter in parameter_names(system):
        value = getattr(system, parameter)
        value = 0.5 if value is None else value
        above, below = (system._replace(**{parameter: value + sign * step}) for sign in (1, -1))
        expected = (energy_of(above, POSITIONS) - energy_of(below, POSITIONS)) / (2 * step)
        slope = parameter_slope(system, parameter, tf.constant(POSITIONS))
        # Differences of step 1e-5 have 1e-10 of curvature and 1e-10 of rounding.
        np.testing.assert_allclose(slope, expected, rtol=1e-7, atol=1e-8, err_msg=parameter)


def test_the_slope_by_the_strength_is_no_quotient_of_the_interaction():
    """At V0 = 0 it is the interaction at V0 = 1, which an interaction of 0 divided by 0 would not be."""
    x, width = tf.constant([[0.3, -0.2]]), 0.5
    slope = parameter_slope(NamedSystem(2, "gaussian", 0.0, width), "interaction_strength", x)
    expected = math.exp(-0.5 * (0.5 / width) ** 2) / (math.sqrt(2 * math.pi) * width)
    assert float(slope[0]) == pytest.approx(expected, rel=1e-6)


def test_one_compiled_function_serves_all_values():
    """The numbers of the system that it was made with do not count."""
    system, x = SYSTEMS["coth"], tf.constant(POSITIONS)
    n_traced = 0

    def slopes(values, x):
        nonlocal n_traced
        n_traced += 1
        return parameter_slopes(NamedSystem(3, "coth", 99.0, pair_stiffness=77.0), values, x)

    compiled = tf.function(slopes, jit_compile=True, autograph=False)
    for one in (system, system._replace(interaction_strength=0.4, pair_stiffness=0.0)):
        values = tf.constant(parameter_values(one), "float64")
        np.testing.assert_allclose(compiled(values, x), parameter_slopes(one, values, x), rtol=1e-12)
    assert n_traced == 1


def test_a_system_may_have_no_parameters():
    system = NamedSystem(3, "examples.own_interaction:cosine")
    assert parameter_values(system) == []
    assert parameter_slopes(system, tf.zeros(0), tf.constant(POSITIONS, "float32")).shape == (2, 0)


def test_a_function_of_the_users_own_has_no_parameters():
    system = NamedSystem(3, "examples.own_interaction:cosine", 0.0, trap="quartic", trap_quartic=0.1)
    assert parameter_names(system) == ("trap_quartic",)
    slope = parameter_slope(system, "trap_quartic", tf.constant(POSITIONS))
    np.testing.assert_allclose(slope, np.sum(POSITIONS**4, axis=1))


def test_the_energy_is_concave_where_the_hamiltonian_is_linear():
    linear = {
        (name, one) for name, system in SYSTEMS.items() for one in parameter_names(system) if is_linear(system, one)
    }
    assert ("gaussian", "interaction_strength") in linear
    assert ("gaussian", "interaction_range") not in linear
    assert ("calogero", "interaction_strength") not in linear
    assert ("coth", "pair_stiffness") not in linear
    assert ("double well", "trap_separation") not in linear
    for name, parameter in linear:  # the slope does not depend on the parameter itself
        system = SYSTEMS[name]
        changed = system._replace(**{parameter: getattr(system, parameter) + 0.25})
        slopes = [parameter_slope(one, parameter, tf.constant(POSITIONS)) for one in (system, changed)]
        np.testing.assert_allclose(*slopes, rtol=1e-12)
