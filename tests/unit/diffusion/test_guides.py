"""What may guide a diffusion: wave functions that vanish only where particles meet."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_nqs
from tf_nqs.diffusion import ansatz_guide, check_nodes, free_fermion_guide
from tf_nqs.physics import TrappedFermions


def walkers(n_particles):
    return tf.sort(tf.random.stateless_normal((60, n_particles), (2, 3), dtype=tf.float64), axis=1)


def test_an_untrained_jastrow_ansatz_is_the_free_fermions_guide():
    system = TrappedFermions(4, 10.0)
    found = ansatz_guide(tf_nqs.JastrowAnsatz(4, dtype="float64"), system)(walkers(4))
    expected = free_fermion_guide(system)(walkers(4))
    np.testing.assert_allclose(found.gradient, expected.gradient, rtol=1e-8)
    np.testing.assert_allclose(found.local_energy, expected.local_energy, rtol=1e-8)
    assert np.std(found.log_abs_psi - expected.log_abs_psi) < 1e-10  # they differ by their norms


def test_a_trained_one_keeps_its_sign_between_the_particles():
    keras.utils.set_random_seed(0)
    ansatz = tf_nqs.JastrowAnsatz(3, dtype="float64")
    ansatz.set_weights(
        [weight + 0.1 * np.random.default_rng(1).normal(size=weight.shape) for weight in ansatz.get_weights()]
    )
    check_nodes(ansatz, walkers(3))


def test_other_nodes_are_refused():
    ansatz = tf_nqs.FermionAnsatz(3, dtype="float64")
    with pytest.raises(ValueError, match=r"^ansatz = FermionAnsatz: has nodes between those where particles meet"):
        ansatz_guide(ansatz, TrappedFermions(3))
    with pytest.raises(
        ValueError, match=r"^ansatz = function: changes its sign where no .* of 60 walkers; must vanish"
    ):
        check_nodes(lambda x: (tf.sign(tf.reduce_sum(x, axis=1)), x[:, 0]), walkers(3))
