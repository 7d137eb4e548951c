"""Detailed balance where it is hardest: next to nodes, where Psi is undefined, and with gradients that are wrong.

Walkers drawn exactly from |Psi|^2 make one step; in equilibrium as many go from one bin to another as come back.
"""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from tf_nqs.sampling.choice import SAMPLERS, make_sampler
from tf_nqs.sampling.global_moves import global_move, propose

N_WALKERS = 100_000
EDGES = np.array([-1.5, -1.0, -0.6, -0.3, 0.0, 0.3, 0.6, 1.0, 1.5])
"""Of the bins; the widths of the proposals lead across several."""


def after_one_step(sampler, log_abs_psi, before, width=0.7):
    """Returns where walkers at `before` (n_walkers, n_particles) are after one step."""
    # A global move and then a step, each in detailed balance, are not so together: both ways differ in their order.
    chains = make_sampler(sampler, n_walkers=len(before), n_steps=1, proposal_width=width, global_moves=False)
    state = chains.initial_state(before.shape[1], tf.constant([0, 0]), "float64")
    state = state._replace(positions=tf.constant(before))
    after, acceptance = tf.function(lambda state: chains.sample(log_abs_psi, state), autograph=False)(state)
    assert 0.1 < acceptance < 0.99
    return after.positions.numpy()


def assert_no_net_flow(before, after):
    """Bowker's test of symmetry between bins."""
    n_bins = len(EDGES) + 1
    moves = np.ravel_multi_index((np.digitize(before, EDGES), np.digitize(after, EDGES)), (n_bins, n_bins))
    flow = np.bincount(moves, minlength=n_bins**2).reshape(n_bins, n_bins).astype(float)
    pairs = np.triu(flow + flow.T, 1) >= 10  # fewer are not normal enough for chi^2
    assert np.count_nonzero(pairs) > n_bins
    statistic = np.sum((flow - flow.T)[pairs] ** 2 / (flow + flow.T)[pairs])
    assert scipy.stats.chi2.sf(statistic, np.count_nonzero(pairs)) > 1e-4


def pair_log_abs_psi(positions):
    """ln|Psi| of two free fermions but for a constant, without a determinant, which takes long."""
    distance = positions[:, 0] - positions[:, 1]
    return tf.math.log(tf.abs(distance)) - 0.5 * tf.reduce_sum(positions**2, axis=1)


def two_free_fermions():
    """Centres R = (x1 + x2)/sqrt(2) of density exp(-R^2), distances r = (x1 - x2)/sqrt(2) of r^2 exp(-r^2)."""
    generator = np.random.default_rng(0)
    centre = generator.normal(size=N_WALKERS) / 2**0.5
    distance = np.sqrt(generator.gamma(1.5, size=N_WALKERS)) * generator.choice([-1, 1], N_WALKERS)
    return distance, np.stack([centre + distance, centre - distance], axis=1) / 2**0.5


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_next_to_a_node(sampler):
    distance, before = two_free_fermions()
    after = after_one_step(sampler, pair_log_abs_psi, before)
    assert_no_net_flow(distance, (after[:, 0] - after[:, 1]) / 2**0.5)


def test_global_moves_next_to_a_node():
    distance, before = two_free_fermions()
    candidates = propose(tf.constant([1, 2]), N_WALKERS, 2, "float64")

    def log_probability(positions):
        return 2 * pair_log_abs_psi(positions)

    after, value = global_move(log_probability, candidates, tf.constant(before), tf.constant([3, 4]))
    assert 0.1 < np.mean(np.any(after != before, axis=1)) < 0.99
    np.testing.assert_allclose(value, log_probability(after), rtol=1e-10, atol=1e-10)
    assert_no_net_flow(distance, (after[:, 0] - after[:, 1]).numpy() / 2**0.5)


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("outside", [-np.inf, np.nan, np.inf])
def test_where_psi_has_no_finite_logarithm(sampler, outside):
    """Beyond 0.5 it is not finite: what is sampled is |Psi|^2 cut off there."""

    def log_abs_psi(positions):
        return tf.where(positions[:, 0] < 0.5, -0.5 * positions[:, 0] ** 2, tf.cast(outside, tf.float64))

    draws = np.random.default_rng(1).normal(size=2 * N_WALKERS) / 2**0.5
    before = draws[draws < 0.5][:N_WALKERS, None]
    after = after_one_step(sampler, log_abs_psi, before)
    assert np.all(after < 0.5)
    assert_no_net_flow(before[:, 0], after[:, 0])


@pytest.mark.parametrize("wrong", ["turned", "huge", "inf", "nan"])
def test_mala_with_a_wrong_gradient(wrong):
    """It may cost acceptance, not truth: d ln|Psi| is right for x < 0 only."""

    @tf.custom_gradient
    def log_abs_psi(positions):
        factor = {"turned": -1.0, "huge": 1e300, "inf": np.inf, "nan": np.nan}[wrong]

        def backward(upstream):
            gradient = -upstream[:, None] * positions
            return tf.where(positions < 0, gradient, factor * gradient)

        return -0.5 * positions[:, 0] ** 2, backward

    before = np.random.default_rng(2).normal(size=(N_WALKERS, 1)) / 2**0.5
    after = after_one_step("mala", log_abs_psi, before)
    assert np.all(np.isfinite(after))
    assert_no_net_flow(before[:, 0], after[:, 0])
