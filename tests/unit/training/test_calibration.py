"""Honest errors cover the truth as often as they say: evaluations of a state of known energy and variance."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_nqs.analysis.chain_sums import ChainSums
from tf_nqs.physics import TrappedFermions, free_fermions
from tf_nqs.physics.oscillator import sample_free_fermions
from tf_nqs.sampling import MetropolisHastings
from tf_nqs.training import VariationalMonteCarlo, measure_energy
from tf_nqs.types import LocalEnergy, LogDerivatives, SignedLog, WalkerState

A = 2


class WrongOscillator(keras.Model):
    """Free fermions of frequency w in the trap of frequency 1: e_L = w A^2/2 + (1 - w^2)/2 sum_i x_i^2.

    w sum_i x_i^2 has a Gamma distribution of shape A^2/2, so E = (w + 1/w) A^2/4 and Var = ((1 - w^2)/(2 w))^2 A^2/2.
    """

    def __init__(self, frequency):
        super().__init__(dtype="float32")
        self.frequency = frequency
        self.built = True

    def call(self, positions):
        sign, log_abs_psi = free_fermions(positions * self.frequency**0.5)
        return SignedLog(sign, log_abs_psi)

    def forward_laplacian(self, positions):
        """In closed form: a trajectory costs next to nothing. The gradient is not asked for."""
        squares = tf.reduce_sum(positions**2, axis=1)
        laplacian = self.frequency**2 * squares - self.frequency * A**2
        return self(positions), LogDerivatives(positions, laplacian)

    @property
    def energy(self):
        return (self.frequency + 1 / self.frequency) * A**2 / 4

    @property
    def variance(self):
        return ((1 - self.frequency**2) / (2 * self.frequency)) ** 2 * A**2 / 2


@pytest.fixture
def no_r_hat(monkeypatch):
    """Leaves R-hat out, which takes longer than all the rest and has no part in the error."""
    monkeypatch.setattr("tf_nqs.analysis.chain_sums.split_r_hat", lambda chains: None)


def make_trainer(n_walkers, **sampling):
    ansatz = WrongOscillator(0.6)
    # Without moves to anywhere: walkers that keep to their surroundings are the hard case.
    sampler = MetropolisHastings(n_walkers, global_moves=False, **sampling)
    vmc = VariationalMonteCarlo(ansatz, TrappedFermions(A), sampler)
    vmc.compile("sgd", jit_compile=False)
    return vmc


def evaluations(vmc, seeds, target_error, relations=False):
    """Yields measurements of fresh walkers, each with random numbers of its own."""
    for seed in seeds:
        vmc.walkers = vmc.sampler.initial_state(A, tf.constant([seed, 1]), "float32")
        yield vmc.evaluate_energy(target_error, max_seconds=60.0, relations=relations)


def coverages(measurements, truth):
    pulls = np.array([abs(one.energy - truth) / one.energy_error for one in measurements])
    return np.mean(pulls < 1.0), np.mean(pulls < 1.96)


def test_mean_variance_and_error_are_those_of_the_closed_form():
    vmc = make_trainer(256, n_steps=10, n_burn_in=100)
    one = next(evaluations(vmc, [0], 1e-2))
    assert one.in_equilibrium
    assert one.energy_error <= 1e-2
    assert abs(one.energy - vmc.ansatz.energy) < 4 * one.energy_error
    assert one.variance == pytest.approx(vmc.ansatz.variance, rel=0.12)  # of 6000 samples or more: 3 %
    assert one.v_score is None  # V0 = 0
    assert one.n_samples == 256 * round(one.n_samples / 256)


def test_small_steps_are_as_honest_as_large_ones(no_r_hat):
    """200 evaluations at once, each with 32 of the walkers, which start in equilibrium and hardly move."""
    n_evaluations, n_walkers, n_rows = 200, 32, 60
    ansatz = WrongOscillator(0.6)
    vmc = make_trainer(n_evaluations * n_walkers, n_steps=1, proposal_width=0.3)
    start = sample_free_fermions((3, 4), n_evaluations * n_walkers, A) / ansatz.frequency**0.5
    walkers = vmc.walkers._replace(positions=start)
    records = [ChainSums(n_walkers) for _ in range(n_evaluations)]
    for _ in range(n_rows):
        walkers, _ = vmc.phases.sample(walkers)
        energies = np.asarray(vmc.phases.local_energy(walkers.positions).total)
        for record, row in zip(records, energies.reshape(n_evaluations, 1, n_walkers), strict=True):
            record.add(row)
    estimates = [record.estimate() for record in records]
    assert np.median([one.autocorrelation_time for one in estimates]) > 8  # else nothing is shown
    pulls = np.array([abs(one.mean - ansatz.energy) / one.error for one in estimates])
    assert np.mean(pulls < 1.0) == pytest.approx(0.68, abs=0.07)  # what is asked for: 2.1 binomial standard deviations
    assert np.mean(pulls < 1.96) == pytest.approx(0.95, abs=0.04)  # likewise: 2.6
    naive = np.array([abs(one.mean - ansatz.energy) / one.error_naive for one in estimates])
    assert np.mean(naive < 1.0) < 0.4  # the control


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n_walkers", "target_error", "sampling"),
    [
        (256, 0.02, {"n_steps": 10, "n_burn_in": 100}),
        (256, 0.1, {"n_steps": 10, "n_burn_in": 100}),  # reached at the first look
        (64, 0.05, {"n_steps": 2, "n_burn_in": 0, "proposal_width": 0.3}),
        (512, 0.02, {"n_steps": 2, "n_burn_in": 0, "proposal_width": 0.3}),
        (16, 0.1, {"n_steps": 5, "n_burn_in": 50}),
    ],
)
def test_intervals_of_200_evaluations(no_r_hat, n_walkers, target_error, sampling):
    vmc = make_trainer(n_walkers, **sampling)
    one_sigma, two_sigma = coverages(list(evaluations(vmc, range(200), target_error)), vmc.ansatz.energy)
    assert one_sigma == pytest.approx(0.68, abs=0.07)  # what is asked for: 2.1 binomial standard deviations
    assert two_sigma == pytest.approx(0.95, abs=0.04)  # likewise: 2.6


@pytest.mark.parametrize(
    ("n_seeds", "bounds"), [(100, (0.14, 0.09)), pytest.param(1000, (0.07, 0.04), marks=pytest.mark.slow)]
)
def test_a_heavy_tail_stays_honest(no_r_hat, n_seeds, bounds):
    """Next to a spurious node e_L goes as 1/distance: its density falls as e^-4, with a variance but no third moment.

    A target that is reached at once, and one that is not.
    """
    truth = 1.5  # Pareto with exponent 3: density 3 e^-4 from 1 on
    for target_error in (0.04, 0.006):
        pulls = []
        for seed in range(n_seeds):
            random = np.random.default_rng(seed)

            def local_energy(positions, random=random):
                x = positions[:, 0] * 0
                return LocalEnergy((1 - random.random(len(x))) ** (-1 / 3), x, x)

            walkers = WalkerState(np.zeros((64, 1)), None, None)
            one, _ = measure_energy(lambda state: (state, 0.5), local_energy, walkers, target_error, 60.0)
            pulls.append((one.energy - truth) / one.energy_error)
        pulls = np.abs(pulls)
        assert np.mean(pulls < 1.0) == pytest.approx(0.68, abs=bounds[0])
        assert np.mean(pulls < 1.96) > 0.95 - bounds[1]


def test_without_equilibrium_there_is_no_error():
    """Tiny steps from N(0, 1) and no time: neither burn-in nor chains get anywhere."""
    vmc = make_trainer(64, n_steps=1, n_burn_in=0, proposal_width=0.01)
    vmc.iteration.assign(1)  # as after training: the width is not adapted
    vmc.walkers = vmc.sampler.initial_state(A, tf.constant([0, 1]), "float32")
    one = vmc.evaluate_energy(1e-2, max_seconds=0.0)
    assert not one.in_equilibrium and not one.is_mixed and one.r_hat > 1.5
    assert np.isfinite([one.energy, one.energy_error_naive, one.energy_error_chains]).all()
    assert np.isnan([one.energy_error, one.kinetic_error, one.trap_error, one.effective_samples]).all()
    assert all(np.isfinite(pair.value) and np.isnan(pair.error) for pair in one.relations.values())


@pytest.mark.parametrize("n_weights", [2, pytest.param(40, marks=pytest.mark.slow)])
def test_the_same_weights_from_two_starts_agree_within_errors(n_weights):
    """From the origin, and from the walkers that other weights have left behind; steps are small and single.

    An error that is given must be the right one; one that cannot be known must be missing.
    """
    random, pulls = np.random.default_rng(0), []
    vmc = make_trainer(64, n_steps=2, n_burn_in=0, proposal_width=0.8)
    vmc.ansatz.frequency = frequency = tf.Variable(0.6)
    for seed in range(n_weights):
        frequency.assign(random.uniform(0.4, 0.9))
        found = []
        for start, scale in ((0, 0.05), (1, 4.0)):
            walkers = vmc.sampler.initial_state(A, tf.constant([seed, start]), "float32")
            vmc.walkers = walkers._replace(positions=scale * walkers.positions)
            found.append(vmc.evaluate_energy(0.06, max_seconds=60.0, relations=False))
        if all(np.isfinite(one.energy_error) for one in found):
            pulls.append((found[0].energy - found[1].energy) / np.hypot(*(one.energy_error for one in found)))
    assert len(pulls) > 0.8 * n_weights  # a minute is many times what they need
    assert np.max(np.abs(pulls)) < 3.5
    if n_weights >= 40:
        assert np.mean(np.abs(pulls) < 1.0) == pytest.approx(0.68, abs=0.22)  # 3 binomial standard deviations
