"""A start inside a narrow well: wave function and walkers where the attraction is."""

from __future__ import annotations

import keras
import tensorflow as tf

from tf_nqs.physics.oscillator import oscillator_orbitals, sample_free_fermions
from tf_nqs.trainer import Trainer
from tf_nqs.training.orbital_fit import fit_orbitals
from tf_nqs.types import Tensor, WalkerState

_ITERATIONS = 400

_FIRST_WIDTH = 0.5
"""Of the proposed moves, in sizes of the cluster; burn-in adapts it."""

_STEP_FACTOR = 0.1
"""Training is that much slower. The start is near the ground state; steps of the usual length would let the wave
function grow where few walkers come, outside of the well, so that its energy rises again."""

_KEY = 3
"""Folded into the seed, so that these samples are no other ones."""


def start_in_cluster(vmc: Trainer, size: float, seed: int) -> float:
    """Lets a trainer begin in a `tf_nqs.exact.cluster.Cluster`: all particles within a short distance of each other.

    Walkers that start in the trap come within the range s of a narrow well once in s^-3 samples, so that training
    never sees it. Here the first layer is given features of (x_i - X)/s, X the centre of mass, the orbitals learn
    psi_j((x_i - X)/s) exp(-x_i^2/2), and the walkers are samples of its square. Later steps are shorter.

    Args:
        vmc: a compiled `VariationalMonteCarlo` of a `FermionAnsatz`.
        size: s in a_ho.
        seed: of the samples, in a stream of their own.

    Returns:
        The last mean squared error of the orbitals.
    """
    ansatz, n_walkers, n_particles, dtype = vmc.ansatz, vmc.sampler.n_walkers, vmc.ansatz.n_particles, vmc.compute_dtype

    def positions_of(iteration: Tensor) -> Tensor:
        # Every other sample is of a larger cluster, up to the whole trap: there the orbitals must vanish.
        key = _key(seed, iteration)
        dilation = size ** -tf.random.stateless_uniform((n_walkers,), key, dtype=dtype)
        dilation = tf.where(tf.range(n_walkers) % 2 == 0, tf.ones_like(dilation), dilation)
        return sample_cluster(key, n_walkers, n_particles, size * dilation, dtype)

    def target_of(positions: Tensor) -> Tensor:
        inner = (positions - tf.reduce_mean(positions, axis=1, keepdims=True)) / size
        return oscillator_orbitals(inner, n_particles) * tf.exp(-0.5 * positions[:, :, None] ** 2)

    _sharpen(ansatz.equivariant_layers[0].kernel, size)
    vmc.step_factor.assign(_STEP_FACTOR)
    loss = fit_orbitals(ansatz, positions_of, target_of, _ITERATIONS)
    positions = sample_cluster(_key(seed, -1), n_walkers, n_particles, size, dtype)
    vmc.place_walkers(WalkerState(positions, vmc.walkers.seed, tf.constant(_FIRST_WIDTH * size, dtype)))
    return loss


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


def _sharpen(kernel: keras.Variable, size: float) -> None:
    """Turns the features x w + X u of the first layer into (x - X) w/s + X u."""
    own, shared = tf.unstack(tf.convert_to_tensor(kernel))
    kernel.assign(tf.stack([own / size, shared - own / size]))


def _key(seed: int, iteration: int | Tensor) -> Tensor:
    return tf.random.experimental.stateless_fold_in([seed, _KEY], iteration)
