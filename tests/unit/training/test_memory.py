"""The memory of small graphs, counted by hand."""

from __future__ import annotations

import pytest
import tensorflow as tf

from tf_nqs.ansatz import FermionAnsatz
from tf_nqs.execution.memory import peak_bytes

N = 1000


def peak(function, *shapes):
    """Returns the peak in units of one float32 tensor of N elements."""
    specs = [tf.TensorSpec(shape, tf.float32) for shape in shapes or [(N,)]]
    return peak_bytes(tf.function(function, autograph=False).get_concrete_function(*specs).graph, 4) / (4 * N)


def test_a_chain_holds_two_tensors_at_a_time():
    assert peak(lambda x: tf.exp(tf.tanh(tf.exp(tf.tanh(x))))) == 2


def test_what_is_read_later_stays():
    """Three alive when tanh is computed; only then does the second one go."""

    def function(x):
        first = tf.exp(x)
        return tf.tanh(tf.exp(first)) + first

    assert peak(function) == 3


def test_outputs_stay():
    def function(x):
        first = tf.exp(x)
        return first, tf.exp(tf.exp(tf.exp(first)))

    assert peak(function) == 3


def test_views_need_nothing_and_keep_their_source():
    def function(x):
        seen = tf.reshape(tf.exp(x), (N, 1))
        other = tf.tanh(tf.tanh(tf.tanh(x)))
        return tf.reduce_sum(seen[:, 0] * other)

    # The source, two of the chain; then source, slice (strided: a copy), chain and product less what has died.
    assert peak(function) == pytest.approx(3, abs=0.01)
    assert peak(lambda x: tf.reshape(tf.identity(x), (N, 1))) == 0


def test_functions_count_with_what_they_need_inside():
    inner = tf.function(lambda x: tf.reduce_sum(tf.exp(x) * tf.tanh(x)), autograph=False)
    assert peak(lambda x: inner(x) + inner(2 * x)) == pytest.approx(4, abs=0.01)  # 2 x, and three inside


def test_loops_count_once_not_per_turn():
    def function(x):
        step = lambda index, y: (index + 1, tf.exp(tf.tanh(y)))  # noqa: E731
        return tf.while_loop(lambda index, _: index < 50, step, (0, tf.exp(x)))[1]

    assert 2 <= peak(function) < 5


def test_an_unknown_shape_counts_as_the_largest_known_one():
    known = peak(lambda x: tf.reduce_sum(tf.exp(x)))
    assert known == pytest.approx(1, abs=0.01)
    unknown = peak(lambda x: tf.reduce_sum(tf.exp(tf.boolean_mask(tf.exp(x), tf.exp(x) > 0.0))))
    assert unknown >= known + 2


@pytest.mark.parametrize("n_particles", [2, 5])
def test_memory_of_the_ansatz_is_proportional_to_the_walkers(n_particles):
    ansatz = FermionAnsatz(n_particles, 16)
    one, two = (peak(lambda x: ansatz(x)[1], (n, n_particles)) for n in (500, 1000))
    assert two == pytest.approx(2 * one, rel=0.01)  # but for the weights
    assert two >= n_particles * 16  # one layer's features
