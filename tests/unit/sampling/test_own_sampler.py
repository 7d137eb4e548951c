"""A sampler of one's own: its kernel is enough, and what is missing or wrong is said when a trainer is made."""

from __future__ import annotations

import re

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tf_nqs import sampling
from tf_nqs.ansatz import FermionAnsatz
from tf_nqs.physics.hamiltonian import TrappedFermions
from tf_nqs.physics.oscillator import free_fermions
from tf_nqs.sampling.check import check_sampler
from tf_nqs.sampling.sampler import Sampler
from tf_nqs.training.vmc import VariationalMonteCarlo


class Hamiltonian(Sampler):
    """Hybrid Monte Carlo; gives nothing but its kernel."""

    def kernel(self, log_probability, proposal_width, noise):
        del noise
        return tfp.mcmc.HamiltonianMonteCarlo(log_probability, 0.3 * proposal_width, 3)


class Uncalibrated(Sampler):
    """A walk that neither accepts nor rejects."""

    def kernel(self, log_probability, proposal_width, noise):
        del noise
        return tfp.mcmc.UncalibratedRandomWalk(log_probability)


class Summed(Sampler):
    """One decision for all walkers."""

    def kernel(self, log_probability, proposal_width, noise):
        del noise
        return tfp.mcmc.RandomWalkMetropolis(lambda x: tf.reduce_sum(log_probability(x)))


class NoKernel(Sampler):
    """Forgets to return its kernel."""

    def kernel(self, log_probability, proposal_width, noise):
        return None


def test_a_kernel_alone_samples_free_fermions():
    """Energy in the trap A^2/4 within 4 error bars; the rest is the base class' own."""
    sampler = Hamiltonian(2000, n_steps=60, proposal_width=1.0)
    check_sampler(sampler)
    assert (sampler.name, sampler.takes_noise, sampler.takes_gradient) == ("Hamiltonian", False, True)
    assert sampler.target_acceptance == 0.5
    state = sampler.initial_state(2, tf.constant([1, 2]), "float64")
    sample = tf.function(lambda state: sampler.sample(lambda x: free_fermions(x).log_abs_psi, state))
    moved, acceptance = sample(state)
    trap = np.sum(moved.positions.numpy() ** 2, axis=1) / 2
    assert abs(np.mean(trap) - 1.0) < 4 * np.std(trap) / np.sqrt(2000)
    assert 0.5 < float(acceptance) <= 1.0


def test_names_and_targets_of_the_package_are_as_before():
    assert [(kind.name, kind(4).target_acceptance) for kind in sampling.choice.SAMPLERS.values()] == [
        ("metropolis", 0.5),
        ("mala", 0.6),
    ]


@pytest.mark.parametrize(
    ("sampler", "words"),
    [
        ("mala", "sampler = 'mala': must be a sampler, such as tf_nqs.sampling.make_sampler('mala')"),
        (sampling.MetropolisHastings, "must be a sampler, not its class, such as MetropolisHastings()"),
        (object(), "sampler of type object has no adapt, burn_in, candidates"),
        (Uncalibrated(4), "Uncalibrated.kernel: the results of UncalibratedRandomWalk have no is_accepted"),
        (Summed(4), "Summed.kernel: after one step of 4 walkers with 2 particles"),
        (NoKernel(4), "NoKernel.kernel returns NoneType: must return a kernel"),
    ],
)
def test_what_is_no_sampler_is_refused_in_one_line(sampler, words):
    with pytest.raises(TypeError, match=re.escape(words)) as caught:
        VariationalMonteCarlo(FermionAnsatz(2, 2, 1), TrappedFermions(2), sampler)
    assert "\n" not in str(caught.value)
