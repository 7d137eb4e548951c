"""The contract for wave functions: who keeps it, and who has which of its optional parts."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_nqs.ansatz import FermionAnsatz, JastrowAnsatz, protocol
from tf_nqs.ansatz.derivatives import choose_laplacian
from tf_nqs.types import SignedLog


class OwnAnsatz(keras.Model):
    """Two particles, and nothing that is optional."""

    def call(self, positions):
        difference = positions[:, 0] - positions[:, 1]
        log_abs_psi = tf.math.log(tf.abs(difference)) - 0.5 * tf.reduce_sum(positions**2, axis=1)
        return SignedLog(tf.sign(difference), log_abs_psi)


OPTIONAL = {name: kind for name, kind in vars(protocol).items() if name.startswith("Has")}
PARTS = {
    FermionAnsatz: {
        "HasNumberOfParticles",
        "HasForwardLaplacian",
        "HasOrbitals",
        "HasMovableOrbitals",
        "HasOrbitalsOfMembers",
        "HasEquivariantLayers",
        "HasConditions",
    },
    JastrowAnsatz: {
        "HasNumberOfParticles",
        "HasForwardLaplacian",
        "HasRegularDerivatives",
        "HasEquivariantLayers",
        "HasClusterStart",
        "HasUnitOfLength",
        "HasConditions",
    },
    OwnAnsatz: set(),
}


def made(kind):
    return kind() if kind is OwnAnsatz else kind(2, 4)


@pytest.mark.parametrize("kind", PARTS)
def test_parts_of_a_wave_function(kind):
    ansatz = made(kind)
    assert {name for name, part in OPTIONAL.items() if isinstance(ansatz, part)} == PARTS[kind]
    needed = {name for name in vars(protocol.WaveFunction) if not name.startswith("_")}
    assert {name for name in needed if not hasattr(ansatz, name)} == set()
    assert {"compute_dtype", "trainable_variables", "get_config"} <= needed


@pytest.mark.parametrize("kind", PARTS)
def test_laplacian_is_carried_forward_by_those_that_can(kind):
    expected = "forward" if "HasForwardLaplacian" in PARTS[kind] else "nested"
    assert choose_laplacian(made(kind), "auto", 2) == expected


@pytest.mark.parametrize("kind", [FermionAnsatz, JastrowAnsatz])
def test_equivariant_layers_do_not_depend_on_the_number_of_particles(kind):
    few, many = (kind(n_particles, 4).equivariant_layers for n_particles in (2, 5))
    assert [weight.shape for layer in few for weight in layer.weights] == [
        weight.shape for layer in many for weight in layer.weights
    ]


def test_orbitals_move_and_shrink():
    """But for the envelope, those of x about its centre of mass are those of s x, and then those of s x + centre."""
    ansatz, x = FermionAnsatz(3, 4, dtype="float64"), np.array([[-1.5, 0.25, 1.25], [0.5, -0.75, 0.25]])
    ansatz.envelope.inverse_width.assign(np.zeros((1, 3)))
    before = ansatz.orbitals(x)
    ansatz.shrink_orbitals(0.2)
    np.testing.assert_allclose(ansatz.orbitals(0.2 * x), before, rtol=1e-10)
    ansatz.move_orbitals(4.0, reach=5.0)
    np.testing.assert_allclose(ansatz.orbitals(0.2 * x + 4.0), before, rtol=1e-10)
    ansatz.envelope.inverse_width.assign(np.ones((1, 3)))
    ansatz.move_orbitals(0.0, reach=5.0)
    np.testing.assert_allclose(ansatz.envelope.inverse_width, np.full((1, 3), 0.2))
