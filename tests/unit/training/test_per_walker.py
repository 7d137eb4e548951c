"""Gradients of single walkers, where oneDNN's products of matrices would write outside of their memory."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from tf_nqs.trainer import Compilation
from tf_nqs.training import gradients
from tf_nqs.training.gradients import scores_phase


class AttentionAnsatz(keras.Model):
    """Orbitals from attention; killed the interpreter by a natural gradient without XLA."""

    def __init__(self):
        super().__init__()
        self.features = keras.layers.Dense(16, activation="tanh")
        self.attention = keras.layers.MultiHeadAttention(2, 8)
        self.orbitals = keras.layers.Dense(2)

    def call(self, positions):
        features = self.features(positions[..., None])
        features = features + self.attention(features, features)
        return tf.linalg.slogdet(self.orbitals(features) * tf.exp(-(positions**2) / 2)[..., None])


def test_scores_of_an_attention_ansatz_are_right():
    """Each row is that walker's own gradient; the products run 20 times, as the fault needed some of them."""
    keras.utils.set_random_seed(1)
    ansatz, positions = AttentionAnsatz(), tf.random.stateless_normal((64, 2), (1, 2))
    ansatz(positions)
    graph_scores, nothing = scores_phase(ansatz, Compilation(jit_compile=False, chunk_mebibytes=512.0)), tf.zeros(64)
    for _ in range(20):
        rows = graph_scores(positions, nothing, nothing).numpy()
    for walker in (0, 41, 63):
        with tf.GradientTape() as tape:
            value = ansatz(positions[walker : walker + 1])[1][0]
        gradients = tape.gradient(value, ansatz.trainable_variables, unconnected_gradients="zero")
        expected = np.concatenate([np.ravel(gradient) for gradient in gradients])
        # Some hundred roundings in float32; gradients of up to a few tens.
        np.testing.assert_allclose(rows[walker], expected, rtol=2e-4, atol=1e-4 * np.abs(expected).max())


def test_models_of_the_package_and_xla_go_the_short_way(monkeypatch):
    from tf_nqs.ansatz import FermionAnsatz

    taken = []
    monkeypatch.setattr(gradients, "with_each_row_twice", lambda function: taken.append(1) or function)
    scores_phase(FermionAnsatz(2, 4), Compilation(jit_compile=False, chunk_mebibytes=512.0))
    scores_phase(AttentionAnsatz(), Compilation(jit_compile=True, chunk_mebibytes=512.0))
    assert taken == []
    scores_phase(AttentionAnsatz(), Compilation(jit_compile=False, chunk_mebibytes=512.0))
    assert taken == [1]
