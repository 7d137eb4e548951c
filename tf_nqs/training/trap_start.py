"""A start in a custom trap: walkers and orbitals where its lowest states are."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from scipy.linalg import eigh_tridiagonal

from tf_nqs.ansatz.protocol import HasMovableOrbitals
from tf_nqs.physics.hamiltonian import TrappedFermions
from tf_nqs.physics.potentials import in_working_dtype
from tf_nqs.trainer import Trainer
from tf_nqs.training.orbital_fit import fit_orbitals, orbital_loss
from tf_nqs.types import Tensor, WalkerState

_REACH, _N_POINTS = 30.0, 6001
"""Places from -30 to 30 a_ho, 0.01 apart."""

_LARGEST_AT_THE_EDGE = 1e-6
"""Density of the states that is allowed there, in 1/a_ho."""

_ITERATIONS = 600
_KEY = 4
"""Folded into the seed, so that these samples are no other ones."""

_SHARE_ELSEWHERE = 0.25
"""Samples drawn evenly over the places of the states and their surroundings, where the orbitals must vanish."""

_MARGIN = 3.0


class TrapStates(NamedTuple):
    """The lowest states of one particle in a trap.

    Attributes:
        places: a grid in a_ho, shape (n_points,).
        orbitals: normalised, lowest first, shape (n_orbitals, n_points), in a_ho^(-1/2).
    """

    places: NDArray[np.float64]
    orbitals: NDArray[np.float64]


def start_in_trap(vmc: Trainer, seed: int = 0) -> float:
    """Lets a trainer begin where the lowest states of a custom trap are.

    Walkers and the wave function start at the origin else, and do not find a trap that is displaced by several a_ho, or
    wells that are as far apart. Here one particle's states are computed on a grid, the orbitals of the ansatz learn
    them, and the walkers are drawn from their density.

    Args:
        vmc: a compiled `VariationalMonteCarlo`; its ansatz `HasMovableOrbitals`, its trap is a sum over particles.
        seed: of the samples, in a stream of their own.

    Returns:
        The last mean squared error of the orbitals.

    Raises:
        ValueError: the trap holds no particle between -30 and 30 a_ho, or the ansatz has no orbitals that can be moved.
    """
    if not isinstance(vmc.ansatz, HasMovableOrbitals):
        raise ValueError(f"ansatz = {type(vmc.ansatz).__name__}: must be a FermionAnsatz to start in a trap")
    states = trap_states(vmc.system)
    n_walkers, dtype = vmc.sampler.n_walkers, vmc.compute_dtype
    density = np.mean(states.orbitals**2, axis=0)
    held = states.places[density > _LARGEST_AT_THE_EDGE]
    evenly = (states.places > held[0] - _MARGIN) & (states.places < held[-1] + _MARGIN)
    shares = _SHARE_ELSEWHERE * evenly / np.sum(evenly) + (1 - _SHARE_ELSEWHERE) * density / np.sum(density)

    def draw(iteration: int | Tensor, weights: NDArray[np.float64]) -> Tensor:
        key = tf.random.experimental.stateless_fold_in([seed, _KEY], iteration)
        shape = (n_walkers, vmc.system.n_particles)
        level = tf.random.stateless_uniform(shape, key, dtype="float64")
        index = tf.searchsorted(tf.constant(np.cumsum(weights) / np.sum(weights)), tf.reshape(level, (-1,)))
        places = tf.gather(tf.constant(states.places), tf.minimum(index, _N_POINTS - 1))
        shift = tf.random.stateless_uniform(shape, key + 1, -0.5, 0.5, "float64") * (
            states.places[1] - states.places[0]
        )
        return tf.cast(tf.reshape(places, shape) + shift, dtype)

    def target_of(positions: Tensor) -> Tensor:
        spacing = states.places[1] - states.places[0]
        index = tf.cast(tf.round((tf.cast(positions, "float64") - states.places[0]) / spacing), "int32")
        table = tf.constant(states.orbitals.T, dtype)
        return tf.gather(table, tf.clip_by_value(index, 0, _N_POINTS - 1))

    centre = np.sum(density * states.places) / np.sum(density)
    vmc.ansatz.move_orbitals(centre, reach=np.max(np.abs(held)))

    def loss_of(iteration: Tensor) -> Tensor:
        positions = draw(iteration, shares)
        return orbital_loss(vmc.ansatz.orbitals(positions), target_of(positions))

    loss = fit_orbitals(vmc.ansatz, loss_of, _ITERATIONS)
    walkers = vmc.walkers
    vmc.place_walkers(WalkerState(draw(-1, density), walkers.seed, walkers.proposal_width))
    return loss


def trap_states(system: TrappedFermions) -> TrapStates:
    """Returns the lowest A states of one particle in a system's trap, by finite differences.

    Args:
        system: the Hamiltonian; its trap is a sum over particles.

    Raises:
        ValueError: the trap holds no particle between -30 and 30 a_ho.
    """
    places, spacing = np.linspace(-_REACH, _REACH, _N_POINTS, retstep=True)
    together = np.repeat(places[:, None], system.n_particles, axis=1)
    trap = np.asarray(in_working_dtype(system.trap_energy, together), np.float64) / system.n_particles
    trap = np.where(np.isfinite(trap), trap, np.inf)
    if not np.any(np.isfinite(trap)):
        raise ValueError("trap: must be finite somewhere between -30 and 30 a_ho")
    # A wall of any height is one of 1e6 above the floor.
    trap = np.minimum(trap, np.min(trap) + 1e6)
    beside = np.full(_N_POINTS - 1, -0.5 * spacing**-2)
    last = system.n_particles - 1
    _, vectors = eigh_tridiagonal(trap + spacing**-2, beside, select="i", select_range=(0, last))
    orbitals = vectors.T / np.sqrt(spacing)
    if np.max(orbitals[:, np.abs(places) > _REACH - _MARGIN] ** 2) > _LARGEST_AT_THE_EDGE:
        raise ValueError(f"trap: must hold {system.n_particles} particles between -30 and 30 a_ho")
    return TrapStates(places, orbitals)
