"""Supervised pretraining: the orbitals first learn those of the harmonic oscillator."""

from __future__ import annotations

import keras
import tensorflow as tf

from tf_nqs import defaults
from tf_nqs.physics.oscillator import free_fermions, oscillator_orbitals
from tf_nqs.sampling.metropolis import MetropolisHastings

_LEARNING_RATE = 1e-3


def pretrain(ansatz: keras.Model, iterations: int, sampler: MetropolisHastings, seed: int = defaults.SEED) -> float:
    """Fits the generalised Slater matrices to oscillator orbitals on walkers of the free fermions' ground state.

    loss = mean over walkers, determinants, particles i and orbitals j of (phi_ij - psi_j(x_i))^2, minimised by Adam.

    Args:
        ansatz: Keras model with `orbitals(positions)`, (n_walkers, D, n_particles, n_particles).
        iterations: number of updates; 0 does nothing.
        sampler: draws the walkers.
        seed: of the walkers.

    Returns:
        The last loss; NaN if iterations is 0.

    Raises:
        ValueError: iterations is negative, or the ansatz has no orbitals.

    Reference: Pfau et al., Phys. Rev. Research 2, 033429 (2020), Sec. II C; Keeble et al. (2023).
    """
    if iterations < 0:
        raise ValueError(f"iterations = {iterations}: must be at least 0")
    if not hasattr(ansatz, "orbitals"):
        raise ValueError(f"pretraining needs an ansatz with orbitals(positions); {type(ansatz).__name__} has none")
    optimizer = keras.optimizers.Adam(_LEARNING_RATE)
    optimizer.build(ansatz.trainable_variables)
    state = sampler.initial_state(ansatz.n_particles, tf.constant([seed, 1]), ansatz.compute_dtype)

    @tf.function
    def sample(state):
        return sampler.sample(lambda positions: free_fermions(positions).log_abs_psi, state)

    @tf.function
    def update(positions):
        target = oscillator_orbitals(positions, positions.shape[1])[:, None]
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((ansatz.orbitals(positions) - target) ** 2)
        gradient = tape.gradient(loss, ansatz.trainable_variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        optimizer.apply(gradient, ansatz.trainable_variables)
        return loss

    state = sampler.burn_in(sample, state) if iterations else state
    loss = float("nan")
    for _ in range(iterations):
        state = sampler.adapt(*sample(state))
        loss = float(update(state.positions))
    return loss
