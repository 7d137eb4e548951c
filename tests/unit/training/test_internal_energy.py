"""Without a trap the energy is that of the internal motion, whatever the centre of mass does."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_nqs.ansatz import FermionAnsatz
from tf_nqs.ansatz.derivatives import energy_derivatives, log_derivatives
from tf_nqs.physics.hamiltonian import TrappedFermions

A = 3


class Product(keras.Model):
    """An antisymmetric function of the differences, times exp(-b X^2/2) for the centre of mass X."""

    def __init__(self, sharpness):
        super().__init__(dtype="float64")
        self.sharpness = sharpness

    def call(self, positions):
        centre = tf.reduce_mean(positions, axis=1)
        inner = positions - centre[:, None]
        differences = inner[:, 0] - inner[:, 1], inner[:, 0] - inner[:, 2], inner[:, 1] - inner[:, 2]
        product = differences[0] * differences[1] * differences[2]
        log_abs = tf.math.log(tf.abs(product)) - 0.7 * tf.reduce_sum(inner**2, axis=1)
        return tf.sign(product), log_abs - 0.5 * self.sharpness * centre**2


@pytest.fixture(scope="module")
def positions():
    return tf.random.stateless_normal((20, A), (1, 2), dtype="float64")


def test_the_centre_of_mass_is_left_out_exactly(positions):
    """Local energies do not depend on its wave function; in the trap they do."""
    free, trapped = TrappedFermions(A, -20.0, trap=False), TrappedFermions(A, -20.0)
    for system, agree in ((free, True), (trapped, False)):
        energies = []
        for sharpness in (0.0, 5.0):
            derivatives = energy_derivatives(Product(sharpness), "nested", system)
            energies.append(system.local_energy(positions, derivatives(positions)).kinetic.numpy())
        assert np.allclose(*energies, rtol=1e-9, atol=1e-9) == agree


def test_a_centre_of_mass_at_rest_has_no_energy(positions):
    derivatives = energy_derivatives(Product(0.0), "nested", TrappedFermions(A, -20.0, trap=False))
    expected = log_derivatives(Product(0.0), "nested")(positions)
    np.testing.assert_allclose(derivatives(positions).laplacian, expected.laplacian, rtol=1e-9, atol=1e-9)


def test_both_ways_to_the_laplacian_agree(positions):
    ansatz = FermionAnsatz(A, 8, dtype="float64")
    ways = [energy_derivatives(ansatz, way, TrappedFermions(A, -20.0, trap=False)) for way in ("forward", "nested")]
    forward, nested = (way(positions).laplacian.numpy() for way in ways)
    np.testing.assert_allclose(forward, nested, rtol=1e-7, atol=1e-7)
