"""Where the virial theorem can be measured by the slope of the potentials, and where not."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tf_nqs.physics.hamiltonian import TrappedFermions, harmonic_trap
from tf_nqs.physics.relations import relation_names
from tf_nqs.physics.steps import has_steps


def step(height, width):
    return lambda r: tf.where(tf.abs(r) < width, tf.constant(height, r.dtype), tf.zeros_like(r))


@pytest.mark.parametrize(
    "pair_potential",
    [
        step(20.0, 0.5),
        step(-0.1, 0.0123),
        step(np.inf, 0.5),
        lambda r: tf.exp(-(r**2)) + step(0.1, 1.0)(r),
        lambda r: tf.round(3.0 * tf.exp(-(r**2))),
    ],
)
def test_steps_of_pair_potentials_are_found(pair_potential):
    system = TrappedFermions(3, pair_potential=pair_potential)
    assert has_steps(system)
    assert relation_names(system) == ("centre_of_mass", "centre_of_mass_size", "parity")


@pytest.mark.parametrize(
    "pair_potential",
    [
        None,
        tf.zeros_like,
        lambda r: 1.0 + tf.cos(r),
        lambda r: tf.abs(r),  # a kink is no step: x dV/dx is right on both sides
        lambda r: 1.0 / r**2,
        lambda r: 1.0 / tf.sqrt(r**2 + 1e-4),
        lambda r: 1e3 * tf.exp(-0.5 * (r / 0.01) ** 2),
        lambda r: 50.0 * tf.tanh((1.0 - tf.abs(r)) / 0.003),  # steep, but smooth
    ],
)
def test_smooth_pair_potentials_keep_the_virial_theorem(pair_potential):
    assert "virial" in relation_names(TrappedFermions(2, 5.0, 0.5, pair_potential=pair_potential))


def test_steps_of_traps():
    def box(x):
        return tf.reduce_sum(tf.where(tf.abs(x) < 2.0, tf.zeros_like(x), 10.0 * tf.ones_like(x)), axis=1)

    assert has_steps(TrappedFermions(2, trap=box))
    assert relation_names(TrappedFermions(2, trap=box)) == ("parity",)
    assert not has_steps(TrappedFermions(2, trap=lambda x: 0.1 * harmonic_trap(x**2)))
    assert not has_steps(TrappedFermions(2, trap=False))
    assert not has_steps(TrappedFermions(1))
