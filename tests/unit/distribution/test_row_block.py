"""Random numbers of some walkers against those of all walkers: the same, to the last bit."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tf_nqs.execution.row_block import RowBlock
from tf_nqs.sampling.global_moves import propose

SEED = tf.constant([5, 7], tf.int32)


def of_all(n_blocks, draw):
    """What all blocks draw, one behind the other."""
    return np.concatenate([draw(RowBlock(tf.constant(index), n_blocks)) for index in range(n_blocks)])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("shape", "n_blocks"), [((64, 10, 4), 4), ((15, 1, 3), 5), ((6, 7), 2)])
def test_rows_are_those_of_all_walkers(shape, n_blocks, dtype):
    """Also where a block's numbers begin within a step of the generator."""
    normal = tf.random.stateless_normal(shape, SEED, dtype=dtype)
    uniform = tf.random.stateless_uniform(shape, SEED, dtype=dtype)
    for whole, draw in ((normal, RowBlock.normal), (uniform, RowBlock.uniform)):
        found = of_all(n_blocks, lambda own, draw=draw: draw(own, shape, SEED, dtype))
        np.testing.assert_array_equal(found, whole)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_candidates_of_a_global_move(dtype):
    found = of_all(4, lambda own: propose(SEED, 12, 3, dtype, own))
    np.testing.assert_array_equal(found, propose(SEED, 12, 3, dtype))
