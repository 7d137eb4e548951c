"""The steps of a diffusion: drift, detailed balance, weights, branching, and nodes that no walker crosses."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tf_nqs.diffusion.guides import free_fermion_guide
from tf_nqs.diffusion.walk import branch, diffusion_step, limited_drift, one_generation, start_population
from tf_nqs.physics import TrappedFermions

SEED = tf.constant([1, 2])


def harmonic(n_particles, kappa):
    """Pairs of stiffness kappa, whose exact energy and wave function are known (Brosens, Devreese, Lemmens)."""
    return TrappedFermions(n_particles, 0.0, pair_potential=lambda r: 0.5 * kappa * r**2)


def population(n_particles, n_walkers, guide):
    x = tf.random.stateless_normal((n_walkers, n_particles), (3, 4), dtype=tf.float64)
    return start_population(guide, 1.2 * x)


@pytest.mark.parametrize("velocity", [1e-9, 0.3, 5.0, 1e3])
def test_the_drift_follows_the_divergence_next_to_a_node(velocity):
    """From dr/dt = 1/r: r(tau) = sqrt(r^2 + 2 tau)."""
    tau, distance = 0.01, 1 / velocity
    moved = tau * float(limited_drift(tf.constant(velocity, tf.float64), tf.constant(tau, tf.float64)))
    assert moved == pytest.approx(2 * tau / (np.sqrt(distance**2 + 2 * tau) + distance), rel=1e-12)


@pytest.mark.parametrize("time_step", [0.2, 0.02])
def test_an_exact_guide_has_no_variance_at_any_time_step(time_step):
    guide = free_fermion_guide(TrappedFermions(4, 0.0))
    tau = tf.constant(time_step, tf.float64)
    walkers, row = one_generation(guide, population(4, 50, guide), tau, tf.constant(8.0, tf.float64), 5, SEED)
    np.testing.assert_allclose(walkers.guide.local_energy, 8.0, atol=1e-10)
    assert float(row.energy) == pytest.approx(8.0, abs=1e-12) and float(row.log_growth) == pytest.approx(0, abs=1e-12)
    assert float(row.effective_walkers) == pytest.approx(50)


def test_particles_never_pass_each_other():
    guide = free_fermion_guide(TrappedFermions(5, 10.0))
    walkers, tau = population(5, 200, guide), tf.constant(0.3, tf.float64)
    n_refused = 0
    for index in range(10):
        walkers, _, n_crossed = diffusion_step(guide, walkers, tau, tf.constant(20.0, tf.float64), SEED + index)
        n_refused += int(n_crossed)
        assert np.all(np.diff(walkers.positions.numpy(), axis=1) > 0)
    assert n_refused > 0


def test_accepted_moves_leave_the_guides_density_as_it_is():
    """Detailed balance: exact samples of |Psi|^2 for two particles stay such samples at a long time step."""
    random, n_walkers = np.random.default_rng(5), 20_000
    centre = random.normal(scale=np.sqrt(0.25), size=n_walkers)  # X with density exp(-2 X^2)
    distance = np.sqrt(2) * np.sqrt(random.gamma(1.5, size=n_walkers))  # r with density r^2 exp(-r^2/2)
    x = np.stack([centre - distance / 2, centre + distance / 2], axis=1)
    guide = free_fermion_guide(TrappedFermions(2, 0.0))
    walkers, tau = start_population(guide, tf.constant(x)), tf.constant(0.5, tf.float64)
    step = tf.function(
        lambda walkers, seed: diffusion_step(guide, walkers, tau, tf.constant(2.0, tf.float64), seed)[0],
        autograph=False,
    )
    for index in range(8):
        walkers = step(walkers, SEED + index)
    after = walkers.positions.numpy()
    assert np.mean(np.any(after != x, axis=1)) > 0.9
    r, middle = after[:, 1] - after[:, 0], after.mean(axis=1)
    # <r^2> = 3, <r^4> = 15, <X^2> = 1/4
    for values, mean in ((r**2, 3.0), (r**4, 15.0), (middle**2, 0.25)):
        assert abs(values.mean() - mean) < 4 * values.std() / np.sqrt(n_walkers)


def test_branching_copies_by_weight_and_keeps_the_number():
    guide = free_fermion_guide(TrappedFermions(2, 0.0))
    walkers = population(2, 100, guide)
    weights = np.linspace(0.1, 3.0, 100)
    copies = np.zeros(100)
    for index in range(200):
        after = branch(walkers._replace(log_weights=tf.math.log(weights)), SEED + index)
        assert after.positions.shape == (100, 2) and not np.any(after.log_weights)
        found = np.array([np.sum(np.all(after.positions == row, axis=1)) for row in walkers.positions.numpy()])
        wanted = 100 * weights / weights.sum()
        assert np.all((found >= np.floor(wanted)) & (found <= np.ceil(wanted)))
        copies += found / 200
    assert np.all(np.abs(copies - wanted) < 4 * 0.5 / np.sqrt(200))


def test_the_free_fermions_guide_against_nested_tapes():
    system = harmonic(3, 0.7)
    guide = free_fermion_guide(system, stiffness=1.3)
    x = tf.sort(tf.random.stateless_normal((20, 3), (1, 1), dtype=tf.float64), axis=1)
    values = guide(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        log_abs_psi = guide(x).log_abs_psi
    np.testing.assert_allclose(values.gradient, tape.gradient(log_abs_psi, x), rtol=1e-9)
    energy = system.local_energy_of(lambda x: guide(x).log_abs_psi, x).total
    np.testing.assert_allclose(values.local_energy, energy, rtol=1e-8)


@pytest.mark.parametrize("height", ["inf", "-inf"])
def test_a_walker_without_a_finite_energy_has_no_weight(height):
    """A hard wall at x = 1: nobody is left beyond it after branching, and the energy is that of the others."""
    wall = lambda x: tf.where(tf.reduce_max(x, axis=1) > 1.0, x.dtype.as_numpy_dtype(height), 0.0)  # noqa: E731
    guide = free_fermion_guide(TrappedFermions(2, 0.0, trap=wall))
    walkers, tau = population(2, 300, guide), tf.constant(0.05, tf.float64)
    n_beyond = int(np.sum(walkers.positions[:, 1] > 1.0))
    walkers, row = one_generation(guide, walkers, tau, tf.constant(1.0, tf.float64), 3, SEED)
    assert np.all(walkers.positions[:, 1] < 1.0) and np.all(np.isfinite(walkers.guide.local_energy))
    assert int(row.n_non_finite) >= 0.5 * n_beyond > 0
    assert np.isfinite(row.energy) and np.isfinite(row.log_growth)
    assert float(row.effective_walkers) <= 300 - int(row.n_non_finite)
