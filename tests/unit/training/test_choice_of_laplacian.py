"""The choice of the Laplacian: forward only where it belongs to the wave function at hand."""

from __future__ import annotations

import re

import keras
import pytest
import tensorflow as tf

from tf_nqs.ansatz import FermionAnsatz
from tf_nqs.layers import EquivariantLayer
from tf_nqs.physics.hamiltonian import TrappedFermions
from tf_nqs.training.vmc import VariationalMonteCarlo
from tf_nqs.types import LogDerivatives, SignedLog

A = 2


class WithFactor(FermionAnsatz):
    """Psi = exp(-sum x^2) times the determinants; inherits their forward_laplacian."""

    def call(self, positions):
        sign, log_abs_psi = super().call(positions)
        return SignedLog(sign, log_abs_psi - tf.reduce_sum(positions**2, axis=1))


class Sine(EquivariantLayer):
    """Another activation; inherits the derivatives of tanh."""

    def call(self, features):
        return tf.sin(self._linear(features) + self.bias)


class Foreign(keras.layers.Dense):
    """Knows nothing of derivatives."""


class Doubled(FermionAnsatz):
    """A forward_laplacian that is twice the right one."""

    def forward_laplacian(self, positions):
        psi, (gradient, laplacian) = super().forward_laplacian(positions)
        return psi, LogDerivatives(gradient, 2 * laplacian)


class Right(FermionAnsatz):
    """An ansatz of somebody's own, with a forward_laplacian that fits."""

    def forward_laplacian(self, positions):
        return super().forward_laplacian(positions)


def with_layer(kind):
    ansatz = FermionAnsatz(A, 4)
    ansatz.equivariant_layers[1] = kind(4, name="other")
    ansatz(tf.zeros((1, A)))
    return ansatz


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: WithFactor(A, 4), "WithFactor has a call of its own, but inherits its forward_laplacian"),
        (lambda: with_layer(Sine), "Sine has a call of its own, but inherits its forward_laplacian"),
        (lambda: with_layer(Foreign), "FermionAnsatz cannot carry derivatives through all of its layers"),
        (lambda: Doubled(A, 4), "Doubled has a forward_laplacian of another Psi"),
    ],
)
def test_a_forward_laplacian_of_another_wave_function_is_not_used(make, reason, caplog):
    """Its energies would be wrong, and nothing would show it."""
    ansatz = make()
    assert VariationalMonteCarlo(ansatz, TrappedFermions(A)).laplacian == "nested"
    assert reason in caplog.text
    with pytest.raises(ValueError, match=re.escape(f"laplacian = 'forward': {reason}")):
        VariationalMonteCarlo(ansatz, TrappedFermions(A), laplacian="forward")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_forward_laplacian_of_one_s_own_is_used(dtype):
    assert VariationalMonteCarlo(Right(A, 4, dtype=dtype), TrappedFermions(A)).laplacian == "forward"
