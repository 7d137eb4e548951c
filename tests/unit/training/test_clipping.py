"""Clipping: where the bound is in each iteration."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tf_nqs.training.clipping import Clipping

ENERGIES = np.append(np.zeros(999), 1000.0)
"""The median is 0, the mean absolute deviation from it 1: the far walker is cut at the number of deviations."""


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("doubling_iterations", "iteration", "highest"),
    [(50, 0, 10.0), (50, 50, 20.0), (50, 100, 40.0), (50, 25, 10 * 2**0.5), (0, 10**6, 10.0), (50, 400, 1000.0)],
)
def test_deviations_double(dtype, doubling_iterations, iteration, highest):
    clip = Clipping(10.0, doubling_iterations)
    clipped = clip(tf.constant(ENERGIES, dtype), tf.ones(1000, dtype), tf.constant(iteration, tf.int64))
    assert clipped.dtype == dtype
    assert np.max(clipped) == pytest.approx(highest, rel=1e-5)  # powers and means of 1000 numbers in float32


def test_a_long_run_stays_finite():
    """2^(10^9/50) does not exist in any floating-point type; equal energies have deviation 0."""
    clip = Clipping(10.0, 50)
    for energies in (ENERGIES, np.ones(1000)):
        clipped = clip(tf.constant(energies, tf.float32), tf.ones(1000), tf.constant(10**9, tf.int64))
        np.testing.assert_array_equal(clipped, energies)


def test_no_clipping_at_all():
    clipped = Clipping(0.0, 50)(tf.constant(ENERGIES), tf.ones(1000, tf.float64), tf.constant(3, tf.int64))
    np.testing.assert_array_equal(clipped, ENERGIES)


@pytest.mark.parametrize("arguments", [(-1.0, 50), (float("nan"), 50), (1.0, -1)])
def test_wrong_arguments_are_named(arguments):
    with pytest.raises(ValueError, match=r"clip_(deviations|doubling_iterations) = .*: must be at least 0"):
        Clipping(*arguments)
