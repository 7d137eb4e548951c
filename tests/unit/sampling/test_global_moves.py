"""Global moves: what they propose, and that walkers reach by them what no step reaches."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tf_nqs.physics.oscillator import free_fermions, sample_free_fermions
from tf_nqs.sampling.choice import SAMPLERS, make_sampler
from tf_nqs.sampling.global_moves import DILATIONS, log_density, propose

N_WALKERS = 100_000


@pytest.mark.parametrize("n_particles", [1, 2, 5])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_free_fermions_are_sampled_exactly(n_particles, dtype):
    """sum x^2 has mean and variance A^2/2, that of a chi^2 distribution with A^2 degrees of freedom; 4 error bars."""
    positions = sample_free_fermions(tf.constant([1, 2]), N_WALKERS, n_particles, dtype).numpy()
    assert positions.dtype == dtype
    radius = np.sum(positions.astype(float) ** 2, axis=1)
    n_degrees = n_particles**2
    assert abs(np.mean(radius) - n_degrees / 2) < 4 * np.sqrt(n_degrees / 2 / N_WALKERS)
    assert np.var(radius) == pytest.approx(n_degrees / 2, rel=0.03)
    # No particle is distinguished: each has the same mean, with an error bar below sqrt(A/2 / N_WALKERS).
    assert np.all(np.abs(np.mean(positions, axis=0)) < 4 * np.sqrt(n_particles / 2 / N_WALKERS))


@pytest.mark.parametrize("n_particles", [1, 2, 3])
def test_the_density_is_that_of_the_proposals(n_particles):
    """Re-weighted by |Psi|^2 / q, proposals are free fermions: sum x^2 has the mean A^2/2 and the variance A^2/2."""
    positions = propose(tf.constant([3, 4]), N_WALKERS, n_particles, "float64")
    weights = np.exp(2 * free_fermions(positions).log_abs_psi - log_density(positions))
    radius = np.sum(positions.numpy() ** 2, axis=1)
    mean = np.sum(weights * radius) / np.sum(weights)
    error = np.sqrt(np.sum((weights * (radius - mean)) ** 2)) / np.sum(weights)
    assert error < 0.05
    assert abs(mean - n_particles**2 / 2) < 4 * error
    assert len(np.unique(np.round(weights / np.max(weights), 6))) > len(DILATIONS)


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("global_moves", [True, False])
def test_a_region_apart_is_reached(sampler, global_moves):
    """Two wells, of which the far one has 1/3 of the probability; narrow steps never cross from one to the other."""

    def log_abs_psi(positions):
        x = positions[:, 0]
        near, far = -((x + 1.5) ** 2) / 0.1, -((x - 1.5) ** 2) / 0.1 - 0.5 * np.log(2.0)
        return tf.where(x < 0, near, far)

    chains = make_sampler(sampler, n_walkers=4000, n_steps=2, proposal_width=0.1, global_moves=global_moves)
    state = chains.initial_state(1, tf.constant([5, 6]), "float64")
    state = state._replace(positions=state.positions * 0 - 1.5)
    sample = tf.function(lambda state: chains.sample(log_abs_psi, state), autograph=False)
    for _ in range(100):
        state, _ = sample(state)
    share = np.mean(state.positions.numpy() > 0)
    # Walkers are independent of each other: 4 error bars.
    expected = 1 / 3 if global_moves else 0.0
    assert abs(share - expected) <= 4 * np.sqrt(expected * (1 - expected) / 4000)


def test_two_particles_at_one_place_do_not_stay():
    """Where the wave function and the density of the proposals vanish together."""
    chains = make_sampler("metropolis", n_walkers=100, n_steps=20)
    state = chains.initial_state(2, tf.constant([7, 8]))
    state = state._replace(positions=tf.zeros_like(state.positions))
    after, _ = tf.function(lambda state: chains.sample(lambda x: free_fermions(x).log_abs_psi, state), autograph=False)(
        state
    )
    assert np.all(np.isfinite(after.positions)) and np.all(after.positions[:, 0] != after.positions[:, 1])
