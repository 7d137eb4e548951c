"""A start inside a narrow well: wave function and walkers where the attraction is."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tf_nqs.exact import Cluster, best_cluster
from tf_nqs.physics.hamiltonian import TrappedFermions
from tf_nqs.physics.oscillator import oscillator_orbitals, sample_free_fermions
from tf_nqs.physics.potentials import in_working_dtype
from tf_nqs.trainer import Trainer
from tf_nqs.training.orbital_fit import fit_orbitals, orbital_loss
from tf_nqs.types import Tensor, WalkerState

_ITERATIONS = 400

_FIRST_WIDTH = 0.5
"""Of the proposed moves, in sizes of the cluster; burn-in adapts it."""

_LARGEST_START = 0.9
"""Size in a_ho from which on the free fermions of the trap are as good a start as a cluster."""

_STEP_FACTOR = 0.1
"""Training is that much slower. The start is near the ground state; steps of the usual length would let the wave
function grow where few walkers come, outside of the well, so that its energy rises again."""

_KEY = 3
"""Folded into the seed, so that these samples are no other ones."""


def start_in_cluster(vmc: Trainer, size: float, seed: int) -> float:
    """Lets a trainer begin in a `tf_nqs.exact.cluster.Cluster`: all particles within a short distance of each other.

    Walkers that start in the trap come within the range s of a narrow well once in s^-3 samples, so that training
    never sees it. Here the orbitals start as functions of (x_i - X)/s, X the centre of mass, and learn
    psi_j((x_i - X)/s) exp(-x_i^2/2), and the walkers are samples of its square. Later steps are shorter.

    Args:
        vmc: a compiled `VariationalMonteCarlo`; its ansatz `HasMovableOrbitals`.
        size: s in a_ho.
        seed: of the samples, in a stream of their own.

    Returns:
        The last mean squared error of the orbitals.
    """
    ansatz, n_walkers, n_particles, dtype = vmc.ansatz, vmc.sampler.n_walkers, vmc.system.n_particles, vmc.compute_dtype

    def positions_of(iteration: Tensor) -> Tensor:
        # Every other sample is of a larger cluster, up to the whole trap: there the orbitals must vanish.
        key = _key(seed, iteration)
        dilation = size ** -tf.random.stateless_uniform((n_walkers,), key, dtype=dtype)
        dilation = tf.where(tf.range(n_walkers) % 2 == 0, tf.ones_like(dilation), dilation)
        return sample_cluster(key, n_walkers, n_particles, size * dilation, dtype)

    def target_of(positions: Tensor) -> Tensor:
        inner = (positions - tf.reduce_mean(positions, axis=1, keepdims=True)) / size
        return oscillator_orbitals(inner, n_particles) * tf.exp(-0.5 * positions[:, :, None] ** 2)

    vmc.step_factor.assign(_STEP_FACTOR)
    ansatz.shrink_orbitals(size)

    def loss_of(iteration: Tensor) -> Tensor:
        positions = positions_of(iteration)
        target = target_of(positions)
        return orbital_loss(ansatz.orbitals(positions), target)

    loss = fit_orbitals(ansatz, loss_of, _ITERATIONS)
    _place_walkers(vmc, size, seed)
    return loss


def start_as_cluster(vmc: Trainer, seed: int, keep_weights: bool = False) -> float | None:
    """Lets a wave function that needs no fit begin as the best cluster, where the interaction makes that a small one.

    Args:
        vmc: a compiled `VariationalMonteCarlo`; its ansatz `HasClusterStart`.
        seed: of the samples, in a stream of their own.
        keep_weights: whether the walkers alone are placed, for weights that are good already.

    Returns:
        The size in a_ho; None where everything stays as it is: the interaction does not draw the particles together,
        or too little is known of it.
    """
    cluster = cluster_of(vmc.system)
    if cluster is None or cluster.size > _LARGEST_START:
        return None
    if not keep_weights:
        vmc.ansatz.start_in_cluster(cluster.size)
    _place_walkers(vmc, cluster.size, seed)
    return cluster.size


def cluster_of(system: TrappedFermions) -> Cluster | None:
    """Returns the best `Cluster` of a system in the harmonic trap or in none; None where its energy is not known.

    Args:
        system: the Hamiltonian.
    """
    if system.n_particles == 1 or system.trap not in ("harmonic", "none") or system.contact_exponent != 1:
        return None

    def pair_energy(distances: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(in_working_dtype(system.pair_energy, distances), np.float64)

    cluster = best_cluster(system.n_particles, pair_energy, system.trap == "harmonic")
    return cluster if np.isfinite(cluster.energy) else None


def _place_walkers(vmc: Trainer, size: float, seed: int) -> None:
    """Draws the walkers from a cluster."""
    n_particles, dtype = vmc.system.n_particles, vmc.compute_dtype
    positions = sample_cluster(_key(seed, -1), vmc.sampler.n_walkers, n_particles, size, dtype)
    vmc.place_walkers(WalkerState(positions, vmc.walkers.seed, tf.constant(_FIRST_WIDTH * size, dtype)))


def sample_cluster(seed: Tensor, n_walkers: int, n_particles: int, size: float | Tensor, dtype: str) -> Tensor:
    """Returns independent samples of a cluster, its centre of mass in the ground state of the trap.

    Args:
        seed: stateless key, int32, shape (2,).
        n_walkers: number of samples.
        n_particles: number of particles A.
        size: in a_ho; a scalar, or one for each sample.
        dtype: "float32" or "float64".

    Returns:
        Positions in a_ho, shape (n_walkers, n_particles).
    """
    free = sample_free_fermions(seed, n_walkers, n_particles, dtype)
    centre = tf.reduce_mean(free, axis=1, keepdims=True)
    return centre + tf.reshape(tf.cast(size, dtype), (-1, 1)) * (free - centre)


def _key(seed: int, iteration: int | Tensor) -> Tensor:
    return tf.random.experimental.stateless_fold_in([seed, _KEY], iteration)
