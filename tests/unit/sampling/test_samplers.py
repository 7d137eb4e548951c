"""All samplers: what they sample, how they adapt, and what their results depend on."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from tf_nqs import defaults
from tf_nqs.ansatz import FermionAnsatz
from tf_nqs.exact import free_fermion_density
from tf_nqs.physics.hamiltonian import TrappedFermions
from tf_nqs.physics.oscillator import free_fermions
from tf_nqs.sampling.choice import SAMPLERS, make_sampler
from tf_nqs.sampling.langevin import MetropolisAdjustedLangevin
from tf_nqs.sampling.metropolis import MetropolisHastings
from tf_nqs.training.vmc import VariationalMonteCarlo

N_WALKERS = 12000
"""Enough to see 5 % in the width of a distribution: 8 error bars of its variance."""


@pytest.fixture(params=[MetropolisHastings, MetropolisAdjustedLangevin], ids=lambda kind: kind.name)
def kind(request):
    """Each sampler in turn."""
    return request.param


def gaussian(positions):
    """ln|Psi| of free bosons."""
    return -0.5 * tf.reduce_sum(positions**2, axis=1)


def free_fermion_log_abs_psi(positions):
    """ln|Psi| of free fermions but for a constant: a node wherever two of them meet.

    The product of all pairs; the determinant, which is the same, takes long.
    """
    columns = tf.unstack(positions, axis=1)
    pairs = [tf.math.log(tf.abs(one - other)) for one, other in itertools.combinations(columns, 2)]
    return tf.add_n(pairs) + gaussian(positions)


def start(sampler, n_particles=2, seed=0, dtype="float64"):
    return sampler.initial_state(n_particles, tf.constant([seed, 0]), dtype)


def assert_distributed(samples, density, edge):
    """Chi^2 of 25 equally probable bins; walkers are independent of each other."""
    grid = np.linspace(-edge, edge, 4001)
    cumulative = np.cumsum(density(grid))
    edges = np.interp(np.arange(1, 25) / 25, cumulative / cumulative[-1], grid)
    observed = np.bincount(np.searchsorted(edges, samples), minlength=25)
    assert scipy.stats.chisquare(observed).pvalue > 1e-4


@pytest.mark.parametrize("n_particles", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_free_fermions_are_sampled(kind, n_particles):
    """One-body density, and the energy in the trap, A^2/4, within 4 error bars; walkers start from N(0, 1)."""
    sampler = kind(N_WALKERS, n_steps=200, proposal_width=0.8)
    sample = tf.function(lambda state: sampler.sample(free_fermion_log_abs_psi, state), autograph=False)
    positions = sample(start(sampler, n_particles))[0].positions.numpy()
    # One particle per walker: the particles of one walker are not independent.
    assert_distributed(positions[:, 0], lambda x: free_fermion_density(n_particles, x), 6.0)
    assert_distributed(positions[:, -1], lambda x: free_fermion_density(n_particles, x), 6.0)
    trap = np.sum(positions**2, axis=1) / 2
    assert abs(np.mean(trap) - n_particles**2 / 4) < 4 * np.std(trap) / np.sqrt(N_WALKERS)
    if n_particles == 2:
        # What only the pair knows: the relative coordinate r has the density r^2 exp(-r^2/2).
        assert_distributed(positions[:, 0] - positions[:, 1], lambda r: r**2 * np.exp(-(r**2) / 2), 8.0)


def test_what_is_tested_here_is_what_trains(kind):
    """The trainer's sampling and `Sampler.sample` are one call: the same moves of the same walkers, in parts too."""
    ansatz = FermionAnsatz(2, 2, 1, dtype="float64")
    vmc = VariationalMonteCarlo(ansatz, TrappedFermions(2), kind(512, n_steps=3))
    vmc.compile("sgd", jit_compile=False)
    trained, acceptance = vmc.phases.sample(vmc.walkers)
    tested, expected = tf.function(lambda state: vmc.sampler.sample(ansatz.log_abs_psi, state), autograph=False)(
        vmc.walkers
    )
    # Two graphs may round differently; another move would differ by about a proposal width.
    np.testing.assert_allclose(trained.positions, tested.positions, rtol=0, atol=1e-10)
    np.testing.assert_array_equal(trained.seed, tested.seed)
    assert float(acceptance) == pytest.approx(float(expected), abs=1e-12)
    assert 0 < acceptance < 1


@pytest.mark.parametrize("width", [0.01, 20.0])
def test_acceptance_approaches_its_target(kind, width):
    """From far too narrow and from far too wide."""
    sampler = kind(500, n_steps=5, proposal_width=width)
    sample = tf.function(lambda state: sampler.sample(gaussian, state), autograph=False)
    state = start(sampler)
    for _ in range(150):
        state, acceptance = sample(state)
        state = sampler.adapt(state, acceptance)
    # 2500 proposals: an error bar of 0.01, and the width still follows it.
    assert abs(acceptance - defaults.TARGET_ACCEPTANCE[kind.name]) < 0.05


@pytest.mark.parametrize(("acceptance", "sign"), [(0.9, 1), (0.4, 0), (0.1, -1)])
def test_adaptation_has_the_right_sign(kind, acceptance, sign):
    sampler = kind(4, target_acceptance=0.4)
    state = start(sampler)
    adapted = sampler.adapt(state, tf.constant(acceptance, tf.float64))
    assert np.sign(adapted.proposal_width - state.proposal_width) == sign
    np.testing.assert_array_equal(adapted.positions, state.positions)


def test_acceptance_is_the_share_of_moved_walkers(kind):
    sampler = kind(300, n_steps=1, proposal_width=1.5, global_moves=False)
    state = start(sampler)
    after, acceptance = sampler.sample(gaussian, state)
    moved = np.any(after.positions != state.positions, axis=1)
    assert float(acceptance) == pytest.approx(np.mean(moved), abs=1e-12)
    assert 0.2 < acceptance < 0.9
    # All particles move at once.
    np.testing.assert_array_equal(np.all(after.positions != state.positions, axis=1), moved)


@pytest.mark.parametrize(("width", "expected"), [(1e-9, 1.0), (1e6, 0.0)])
def test_extreme_widths(kind, width, expected):
    _, acceptance = kind(100, n_steps=3).sample(gaussian, start(kind(100, proposal_width=width)))
    assert float(acceptance) == pytest.approx(expected, abs=1e-12)


def test_no_step_moves_nobody(kind):
    sampler = kind(10, global_moves=False)
    state = start(sampler)
    after, acceptance = sampler.sample(gaussian, state, n_steps=0)
    np.testing.assert_array_equal(after.positions, state.positions)
    assert acceptance == 0.0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_seeds_and_persistence(kind, dtype):
    """Same seed, same bits; another seed, other walkers; the next call goes on from where the last one ended."""
    sampler = kind(20, n_steps=3, global_moves=False)
    sample = tf.function(lambda state: sampler.sample(gaussian, state), autograph=False)
    first, _ = sample(start(sampler, seed=1, dtype=dtype))
    again, _ = sample(start(sampler, seed=1, dtype=dtype))
    np.testing.assert_array_equal(first.positions, again.positions)
    assert first.positions.dtype.name == first.proposal_width.dtype.name == dtype
    assert np.all(start(sampler, seed=1).positions != start(sampler, seed=2).positions)
    assert np.all(first.seed != start(sampler, seed=1).seed)
    narrow = sampler.sample(gaussian, first._replace(proposal_width=tf.constant(1e-6, dtype)))[0]
    assert np.any(narrow.positions != first.positions)
    np.testing.assert_allclose(narrow.positions, first.positions, atol=1e-4)


def test_steps_of_one_call_are_different_moves(kind):
    """Always accepted on a flat function: the variance of the way grows with the number of steps."""
    for n_steps in (1, 4, 16):
        sampler = kind(4000, n_steps=n_steps, proposal_width=0.5, global_moves=False)
        state = start(sampler)
        after, acceptance = sampler.sample(lambda x: 0.0 * x[:, 0], state)
        assert acceptance == 1.0
        way = np.ravel(after.positions - state.positions)
        # Relative error of a variance of n normal numbers: sqrt(2/n); 5 of them.
        assert np.var(way) == pytest.approx(0.25 * n_steps, rel=5 * np.sqrt(2 / way.size))


@pytest.mark.parametrize("change", [-50.0, 50.0])
def test_nothing_of_an_earlier_wave_function_is_kept(kind, change):
    """Psi changes between two calls; its norm must not matter. A stale, too large ln|Psi| would hold every walker."""
    norm, inverse_width = tf.Variable(0.0, dtype=tf.float64), tf.Variable(1.0, dtype=tf.float64)
    sampler = kind(200, n_steps=5)
    sample = tf.function(
        lambda state: sampler.sample(lambda x: norm + inverse_width**2 * gaussian(x), state), autograph=False
    )
    state, _ = sample(start(sampler))
    norm.assign(change)
    inverse_width.assign(1.5)
    after, acceptance = sample(state)

    expected, expected_acceptance = sampler.sample(lambda x: 2.25 * gaussian(x), state)
    # The norm changes roundings of 1e-14 only: the same moves are accepted, for these seeds all of them.
    np.testing.assert_allclose(after.positions, expected.positions, rtol=0, atol=1e-12)
    assert acceptance == expected_acceptance
    assert acceptance > 0.3


def test_burn_in_takes_its_number_of_steps_and_adapts(kind):
    sampler = kind(50, n_steps=10, n_burn_in=25, proposal_width=10.0)
    calls = []

    def sample(state):
        calls.append(float(state.proposal_width))
        return sampler.sample(gaussian, state)

    state = sampler.burn_in(sample, start(sampler))
    assert len(calls) == 3  # rounded up to whole calls
    assert calls[0] > calls[1] > calls[2] > state.proposal_width
    unchanged = kind(50, n_burn_in=0).burn_in(sample, state)
    assert unchanged is state


def test_xla_samples_the_same_distribution(kind):
    """Other random numbers, the same physics, nodes included."""
    sampler = kind(N_WALKERS, n_steps=60, proposal_width=0.8)
    sample = tf.function(
        lambda state: sampler.sample(free_fermion_log_abs_psi, state), jit_compile=True, autograph=False
    )
    positions = sample(start(sampler, 2))[0].positions.numpy()
    assert_distributed(positions[:, 0], lambda x: free_fermion_density(2, x), 6.0)
    trap = np.sum(positions**2, axis=1) / 2
    assert abs(np.mean(trap) - 1.0) < 4 * np.std(trap) / np.sqrt(N_WALKERS)


def test_walkers_leave_a_node(kind):
    """Walkers that start with two particles at one place, where Psi = 0, move on like all others."""
    sampler = kind(n_walkers=32, n_steps=20)
    state = sampler.initial_state(2, tf.constant([0, 0]))
    state = state._replace(positions=tf.zeros_like(state.positions))
    moved, _ = sampler.sample(lambda x: free_fermions(x).log_abs_psi, state)
    assert np.all(moved.positions[:, 0] != moved.positions[:, 1])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n_walkers", 0),
        ("n_walkers", 1),
        ("n_walkers", 2.5),
        ("n_walkers", float("nan")),
        ("n_steps", 0),
        ("n_steps", float("inf")),
        ("n_burn_in", -1),
        ("proposal_width", 0.0),
        ("proposal_width", float("nan")),
        ("target_acceptance", 0.0),
        ("target_acceptance", 1.0),
    ],
)
def test_wrong_arguments_are_named(kind, name, value):
    with pytest.raises(ValueError, match=f"{name} = {value}"):
        kind(**{name: value})


def test_the_choice_by_name():
    assert set(SAMPLERS) == set(defaults.TARGET_ACCEPTANCE)
    for name, kind in SAMPLERS.items():
        made = make_sampler(name, n_walkers=7, target_acceptance=None)
        assert type(made) is kind
        assert (made.n_walkers, made.target_acceptance) == (7, defaults.TARGET_ACCEPTANCE[name])
        assert make_sampler(name, target_acceptance=0.3).target_acceptance == 0.3
    with pytest.raises(ValueError, match="sampler = 'hmc': must be one of metropolis, mala"):
        make_sampler("hmc")
