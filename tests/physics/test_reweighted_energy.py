"""Samples of one wave function, re-weighted to another: energy and gradient are those of the other."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_nqs.ansatz import FermionAnsatz
from tf_nqs.physics.energy import estimate_energy, weighted_mean
from tf_nqs.physics.hamiltonian import TrappedFermions
from tf_nqs.sampling import MetropolisHastings, ReusePolicy
from tf_nqs.sampling.reweighting import assess_reuse, fresh_samples
from tf_nqs.training.loss import surrogate_loss

SYSTEM = TrappedFermions(2, interaction_strength=5.0)
POLICY = ReusePolicy("guarded")


def make_ansatz(n_layers=2):
    keras.utils.set_random_seed(3)
    return FermionAnsatz(2, 6, n_layers, dtype="float64")


def change_weights(ansatz, start, length, seed=0):
    """Sets the weights to a point at some distance from `start`."""
    random = np.random.default_rng(seed)
    direction = [random.normal(size=weight.shape) for weight in start]
    norm = np.sqrt(sum(np.sum(part**2) for part in direction))
    ansatz.set_weights([weight + length / norm * part for weight, part in zip(start, direction, strict=True)])


def log_probability(ansatz, positions):
    return 2 * ansatz.log_abs_psi(positions)


def local_energy(ansatz, positions):
    return SYSTEM.local_energy(positions, ansatz.forward_laplacian(positions)[1])


def sampler_of(ansatz):
    """Seed -> positions of independent walkers, 100 steps from their start: one sample each, so errors are honest."""
    sampler = MetropolisHastings(4096, proposal_width=0.7)
    walk = tf.function(lambda state: sampler.sample(ansatz.log_abs_psi, state, 100)[0], autograph=False)
    return lambda seed: walk(sampler.initial_state(2, tf.constant([seed, 0]), "float64")).positions


def test_reweighted_energy_agrees_with_fresh_sampling():
    """The same wave function by samples of its own, and by those of another one with a quite different energy."""
    ansatz = make_ansatz(n_layers=1)
    sampled = sampler_of(ansatz)  # traced once
    positions = sampled(1)
    old = fresh_samples(log_probability(ansatz, positions))
    envelope = next(weight for weight in ansatz.trainable_variables if "envelope" in weight.path)
    envelope.assign(1.2 * envelope)  # a narrower wave function, with more kinetic energy
    reuse = assess_reuse(POLICY, old, log_probability(ansatz, positions))
    energies = local_energy(ansatz, positions)
    reweighted = estimate_energy(energies, reuse.weights)
    fresh_positions = sampled(2)
    fresh_energies = local_energy(ansatz, fresh_positions)
    fresh = estimate_energy(fresh_energies, tf.ones_like(fresh_energies.total))
    error = np.hypot(reweighted.energy_error, fresh.energy_error)
    assert abs(reweighted.energy - fresh.energy) < 3 * error
    # Without the weights the same samples give another number: the test has the power to fail.
    unweighted = estimate_energy(energies, tf.ones_like(energies.total))
    assert abs(unweighted.energy - fresh.energy) > 10 * error
    assert 0.7 < float(reuse.effective_samples) / 4096 < 0.9
    # The error bar counts effective samples; that of a ratio of means, linearised, does not assume that weights and
    # energies are independent. Both are the same to a few per cent where most samples are effective.
    weights = np.asarray(reuse.weights)
    linearised = np.sqrt(np.sum((weights * (energies.total - reweighted.energy)) ** 2)) / weights.sum()
    assert float(reweighted.energy_error) == pytest.approx(linearised, rel=0.15)


def test_reweighted_gradient_is_that_of_the_energy():
    """On a grid that stands for samples of an old wave function: central differences of the re-weighted energy."""
    line, spacing = np.linspace(-8.0, 8.0, 91, retstep=True)
    positions = tf.constant(np.stack(np.meshgrid(line, line, indexing="ij"), axis=-1).reshape(-1, 2))
    ansatz = make_ansatz()
    start = ansatz.get_weights()
    old = fresh_samples(log_probability(ansatz, positions))
    density = tf.exp(old.log_probability) * spacing**2

    def weights_now():
        reuse = assess_reuse(POLICY, old, log_probability(ansatz, positions))
        return reuse.weights * density

    def energy_at(weights):
        ansatz.set_weights(weights)
        return float(weighted_mean(local_energy(ansatz, positions).total, weights_now()))

    change_weights(ansatz, start, 0.3)
    here = ansatz.get_weights()
    energies = local_energy(ansatz, positions).total
    gradients = []
    for weights in (weights_now(), density):
        with tf.GradientTape() as tape:
            loss = surrogate_loss(ansatz.log_abs_psi(positions), energies, weights)
        gradients.append(np.concatenate([np.ravel(part) for part in tape.gradient(loss, ansatz.trainable_variables)]))
    norm = np.linalg.norm(gradients[0])
    assert norm > 0.1
    random, step = np.random.default_rng(1), 1e-4
    for _ in range(4):
        direction = [random.normal(size=weight.shape) for weight in here]
        flat = np.concatenate([np.ravel(part) for part in direction])
        length = np.linalg.norm(flat)
        points = [
            [weight + sign * step / length * part for weight, part in zip(here, direction, strict=True)]
            for sign in (1, -1)
        ]
        difference = (energy_at(points[0]) - energy_at(points[1])) / (2 * step)
        # Truncation: step^2 = 1e-8 times third derivatives over 6; rounding: 1e-13/step = 1e-9.
        assert difference == pytest.approx(gradients[0] @ flat / length, abs=1e-6 * norm)
    # Without R it is the gradient of nothing: off by far more than the tolerance.
    assert np.linalg.norm(gradients[1] - gradients[0]) > 0.05 * norm
