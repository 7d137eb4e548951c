"""Supervised pretraining: the orbitals first learn those of the harmonic oscillator."""

from __future__ import annotations

import keras
import tensorflow as tf

from tf_nqs import defaults
from tf_nqs.physics.oscillator import oscillator_orbitals, sample_free_fermions
from tf_nqs.training.orbital_fit import fit_orbitals
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
        ansatz: Keras model with `orbitals(positions)`, (n_walkers, D, n_particles, n_particles).
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
    n_particles, dtype = ansatz.n_particles, ansatz.compute_dtype

    def positions_of(iteration: Tensor) -> Tensor:
        key = tf.random.experimental.stateless_fold_in(tf.constant([seed, 1], tf.int32), iteration)
        return sample_free_fermions(key, n_walkers, n_particles, dtype)

    def target_of(positions: Tensor) -> Tensor:
        return oscillator_orbitals(positions, n_particles)

    return fit_orbitals(ansatz, positions_of, target_of, iterations, _LEARNING_RATE)
