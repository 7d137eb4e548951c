"""Gradients of single walkers, where oneDNN's products of matrices would write outside of their memory."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from tf_nqs.training.natural_gradient import scores
from tf_nqs.training.phases import make_gradients


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
    _, graph_scores = make_gradients(ansatz, jit_compile=False, chunk_mebibytes=512.0)
    for _ in range(20):
        rows = graph_scores(positions).numpy()
    for walker in (0, 41, 63):
        with tf.GradientTape() as tape:
            value = ansatz(positions[walker : walker + 1])[1][0]
        gradients = tape.gradient(value, ansatz.trainable_variables, unconnected_gradients="zero")
        expected = np.concatenate([np.ravel(gradient) for gradient in gradients])
        # Some hundred roundings in float32; gradients of up to a few tens.
        np.testing.assert_allclose(rows[walker], expected, rtol=2e-4, atol=1e-4 * np.abs(expected).max())


def test_models_of_the_package_and_xla_go_the_short_way(monkeypatch):
    from tf_nqs.ansatz import FermionAnsatz
    from tf_nqs.training import phases

    taken = []
    monkeypatch.setattr(phases, "with_each_row_twice", lambda function: taken.append(1) or function)
    monkeypatch.setattr(phases, "scores", scores)
    phases.make_gradients(FermionAnsatz(2, 4), jit_compile=False, chunk_mebibytes=512.0)
    phases.make_gradients(AttentionAnsatz(), jit_compile=True, chunk_mebibytes=512.0)
    assert taken == []
    phases.make_gradients(AttentionAnsatz(), jit_compile=False, chunk_mebibytes=512.0)
    assert taken == [1]
