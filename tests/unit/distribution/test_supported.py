"""Which strategies a trainer can be made in."""

from __future__ import annotations

import pytest
import tensorflow as tf

import tf_nqs


def test_another_strategy_is_refused_in_one_line():
    with tf.distribute.OneDeviceStrategy("CPU:0").scope():
        ansatz = tf_nqs.FermionAnsatz(2, 2)
        with pytest.raises(
            ValueError, match=r"^strategy = OneDeviceStrategy: is not supported, must be MirroredStrategy or Mul"
        ):
            tf_nqs.VariationalMonteCarlo(ansatz, tf_nqs.TrappedFermions(2), tf_nqs.MetropolisHastings(10))
