"""Pretraining brings the ansatz to free fermions."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_nqs.ansatz import FermionAnsatz
from tf_nqs.physics.hamiltonian import TrappedFermions
from tf_nqs.physics.oscillator import free_fermions
from tf_nqs.sampling.metropolis import MetropolisHastings
from tf_nqs.training.pretraining import pretrain

A = 3


def make_ansatz(n_determinants=1, n_features=16, n_layers=1):
    keras.utils.set_random_seed(0)
    return FermionAnsatz(A, n_features, n_layers, n_determinants)


def energy_and_overlap_of(ansatz):
    """What measures the energy without interaction on walkers of |Psi|^2, and the correlation with the exact Psi."""
    sampler = MetropolisHastings(n_walkers=1000, n_steps=100)
    sample = tf.function(lambda state: sampler.sample(ansatz.log_abs_psi, state), autograph=False)

    def measured():
        positions = sample(sampler.initial_state(A, tf.constant([1, 1])))[0].positions
        psi, derivatives = ansatz.forward_laplacian(positions)
        exact = free_fermions(positions)
        ratio = exact.sign * psi.sign * np.exp(exact.log_abs_psi - psi.log_abs_psi)
        energy = TrappedFermions(A).local_energy(positions, derivatives).total
        return np.mean(energy), np.mean(ratio) ** 2 / np.mean(ratio**2)

    return measured


@pytest.mark.parametrize(("n_determinants", "n_features"), [(1, 16), pytest.param(2, 64, marks=pytest.mark.slow)])
def test_loss_falls_and_the_energy_comes_closer_to_free_fermions(n_determinants, n_features):
    ansatz = make_ansatz(n_determinants, n_features, n_layers=2)
    energy_and_overlap = energy_and_overlap_of(ansatz)  # traced once
    before, overlap_before = energy_and_overlap()
    first_loss = pretrain(ansatz, 1, 128)
    loss = pretrain(ansatz, 60, 128)
    assert loss < 0.3 * first_loss
    energy, overlap = energy_and_overlap()
    assert abs(energy - A**2 / 2) < 0.5 * abs(before - A**2 / 2)
    assert overlap > max(0.5, overlap_before)


def test_no_iterations_do_nothing():
    ansatz = make_ansatz()
    before = ansatz.get_weights()
    assert np.isnan(pretrain(ansatz, 0))
    for one, other in zip(before, ansatz.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_same_seed_same_weights():
    results = []
    for seed in (0, 0, 1):
        ansatz = make_ansatz()
        pretrain(ansatz, 3, 128, seed=seed)
        results.append(ansatz.get_weights()[0])
    np.testing.assert_array_equal(results[0], results[1])
    assert np.any(results[0] != results[2])


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="iterations = -1"):
        pretrain(make_ansatz(), -1)
    with pytest.raises(ValueError, match="orbitals"):
        pretrain(keras.Sequential([keras.layers.Dense(1)]), 1)
