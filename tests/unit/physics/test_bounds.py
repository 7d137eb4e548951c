"""Bounds that no state can pass."""

from __future__ import annotations

import pytest
import tensorflow as tf

from tf_nqs.physics.bounds import lowest_energy
from tf_nqs.physics.hamiltonian import TrappedFermions


@pytest.mark.parametrize(
    ("system", "expected"),
    [
        (TrappedFermions(4, 10.0), 0.0),
        (TrappedFermions(1, -10.0), 0.0),
        (TrappedFermions(3, -20.0, 0.5, trap=False), 3 * -15.957691),  # three pairs of -20/(sqrt(2 pi) 0.5)
        (TrappedFermions(2, pair_potential=tf.cos), None),
        (TrappedFermions(2, trap=lambda x: tf.reduce_sum(tf.abs(x), axis=1)), None),
    ],
)
def test_lowest_energy(system, expected):
    assert lowest_energy(system) == (expected if expected is None else pytest.approx(expected, rel=1e-7))
