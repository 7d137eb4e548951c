"""Supervised pretraining: the orbitals first learn those of the harmonic oscillator."""

from __future__ import annotations

import keras
import tensorflow as tf

from tf_nqs import defaults
from tf_nqs.physics.conditions import ConditionSpace
from tf_nqs.physics.oscillator import oscillator_orbitals, sample_free_fermions
from tf_nqs.training.orbital_fit import fit_orbitals, orbital_loss
from tf_nqs.types import Tensor
from tf_nqs.whole_numbers import whole_number

_LEARNING_RATE = 1e-2
"""Of Adam: a coarse fit in few updates. It need not be good, only have the nodes of the fermions and few others."""


def pretrain(
    ansatz: keras.Model, iterations: int, n_walkers: int = defaults.N_WALKERS, seed: int = defaults.SEED
) -> float:
    """Fits the generalised Slater matrices to oscillator orbitals on samples of the free fermions' ground state.

    loss = mean over walkers, determinants, particles i and orbitals j of (phi_ij - psi_j(x_i))^2, minimised by Adam.

    A random network changes its sign not only where two particles meet. Training alone removes these spurious nodes
    slowly, as walkers seldom come near; after this they are mostly gone.

    Args:
        ansatz: Keras model with `orbitals(positions)`, (n_walkers, D, n_particles, n_particles). Of a family the
            samples belong to systems anywhere in its ranges, the same number of them for each number of particles.
        iterations: number of updates; 0 does nothing.
        n_walkers: samples per update.
        seed: of the samples.

    Returns:
        The last loss; NaN if iterations is 0.

    Raises:
        ValueError: iterations is negative, or the ansatz has no orbitals.

    Reference: Pfau et al., Phys. Rev. Research 2, 033429 (2020), Sec. II C; Keeble et al. (2023).
    """
    iterations, n_walkers = whole_number("iterations", iterations), whole_number("n_walkers", n_walkers, 1)
    if not hasattr(ansatz, "orbitals"):
        raise ValueError(f"pretraining needs an ansatz with orbitals(positions); {type(ansatz).__name__} has none")
    if not iterations:
        return float("nan")
    space, dtype = getattr(ansatz, "conditions", None), ansatz.compute_dtype

    def loss_of_number(iteration: Tensor, n_particles: int) -> Tensor:
        first = ansatz.n_particles if space is None else space.n_particles[0]
        key = tf.random.experimental.stateless_fold_in(
            tf.constant([seed, 1 + n_particles - first], tf.int32), iteration
        )
        positions = sample_free_fermions(key, n_walkers, n_particles, dtype)
        target = oscillator_orbitals(positions, n_particles)
        if space is None:
            return orbital_loss(ansatz.orbitals(positions), target)
        shifts = ansatz.shifts(n_particles, *_anywhere(space, key, n_walkers, dtype))
        return orbital_loss(ansatz.orbitals_at(positions, shifts), target)

    def loss_of(iteration: Tensor) -> Tensor:
        numbers = (ansatz.n_particles,) if space is None else space.n_particles
        losses = [loss_of_number(iteration, n_particles) for n_particles in numbers]
        return losses[0] if len(losses) == 1 else tf.add_n(losses) / len(losses)

    return fit_orbitals(ansatz, loss_of, iterations, _LEARNING_RATE)


def _anywhere(space: ConditionSpace, key: Tensor, n_walkers: int, dtype: str) -> list[Tensor]:
    """Strengths and ranges of systems anywhere in a family's ranges, shape (n_walkers, 1) each."""
    key = tf.random.experimental.stateless_fold_in(key, 1)
    shares = tf.unstack(tf.random.stateless_uniform((2, n_walkers, 1), key, dtype=dtype))
    ends = (space.interaction_strength, space.interaction_range)
    return [low + share * (high - low) for share, (low, high) in zip(shares, ends, strict=True)]
