"""Random numbers of one replica against those of all walkers: the same, to the last bit."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tf_nqs.execution import replicas
from tf_nqs.execution.own_rows import OwnRows
from tf_nqs.sampling.global_moves import propose

SEED = tf.constant([5, 7], tf.int32)


def of_all(monkeypatch, n_replicas, draw):
    """What all replicas draw, one behind the other."""
    monkeypatch.setattr(replicas, "n_replicas", lambda: n_replicas)
    return np.concatenate([draw(OwnRows(tf.constant(number), n_replicas)) for number in range(n_replicas)])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("shape", "n_replicas"), [((64, 10, 4), 4), ((15, 1, 3), 5), ((6, 7), 2)])
def test_rows_are_those_of_all_walkers(monkeypatch, shape, n_replicas, dtype):
    """Also where a replica's numbers begin within a step of the generator."""
    normal = tf.random.stateless_normal(shape, SEED, dtype=dtype)
    uniform = tf.random.stateless_uniform(shape, SEED, dtype=dtype)
    for whole, draw in ((normal, OwnRows.normal), (uniform, OwnRows.uniform)):
        found = of_all(monkeypatch, n_replicas, lambda own, draw=draw: draw(own, shape, SEED, dtype))
        np.testing.assert_array_equal(found, whole)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_candidates_of_a_global_move(monkeypatch, dtype):
    found = of_all(monkeypatch, 4, lambda own: propose(SEED, 12, 3, dtype, own))
    np.testing.assert_array_equal(found, propose(SEED, 12, 3, dtype))
