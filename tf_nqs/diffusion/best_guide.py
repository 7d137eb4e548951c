"""The best guide that needs no training: free fermions, with a factor for each pair where that is better."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tf_nqs import defaults
from tf_nqs.diffusion.guides import Stiffness, best_stiffness, free_fermion_guide, free_fermion_positions
from tf_nqs.diffusion.pair_factor import PairFactor, pair_factor
from tf_nqs.diffusion.start import metropolis_steps
from tf_nqs.diffusion.walk import Guide
from tf_nqs.physics.hamiltonian import TrappedFermions
from tf_nqs.types import Tensor

_FREQUENCIES = (1.0, 3.0, 6.0)
"""Of the traps in which the two-body problem is solved, in omega."""

_EXACT = 1e-10
"""Variance of the local energy, in (hbar*omega)^2, below which no guide is better."""


class UntrainedGuide(NamedTuple):
    """A guide that needs no training.

    Attributes:
        guide: the guide.
        stiffness: of its Gaussians.
        pair_frequency: of the trap in which the two-body problem of its pair factor was solved, in omega; None if it
            has no such factor.
        positions: samples of its square, shape (n_walkers, n_particles), in a_ho.
    """

    guide: Guide
    stiffness: Stiffness
    pair_frequency: float | None
    positions: Tensor


def best_guide(
    system: TrappedFermions,
    n_walkers: int = defaults.N_DIFFUSION_WALKERS,
    seed: int = defaults.SEED,
    jit_compile: bool = True,
) -> UntrainedGuide:
    """Returns the guide whose local energy has the smallest variance, with walkers to start from.

    It is that of free fermions, with the best stiffness or that of the trap alone; or the latter with a pair factor.

    Args:
        system: the Hamiltonian, in a trap.
        n_walkers: number of samples.
        seed: of the samples.
        jit_compile: whether XLA compiles the sampling.
    """
    own = Stiffness() if system.trap == "harmonic" else best_stiffness(system, with_interaction=False)
    found = [_without_factor(system, stiffness, n_walkers, seed) for stiffness in (own, best_stiffness(system))]
    best = min(found, key=_variance)
    if _variance(best) < _EXACT or system.n_particles < 2:
        return best

    def walk(positions: Tensor, coefficients: Tensor, cell: Tensor) -> Tensor:
        factor = PairFactor(coefficients, cell, 0.0)
        return metropolis_steps(free_fermion_guide(system, own, factor), positions, seed)

    compiled = tf.function(walk, jit_compile=jit_compile, autograph=False)  # once for all factors
    for factor in filter(None, (pair_factor(system, frequency) for frequency in _FREQUENCIES)):
        guide = free_fermion_guide(system, own, factor)
        table = tf.constant(factor.coefficients), tf.constant(factor.cell, tf.float64)
        found.append(UntrainedGuide(guide, own, factor.frequency, compiled(found[1].positions, *table)))
    return min(found, key=_variance)


def _without_factor(system: TrappedFermions, stiffness: Stiffness, n_walkers: int, seed: int) -> UntrainedGuide:
    exponent = system.contact_exponent
    positions = free_fermion_positions(n_walkers, system.n_particles, stiffness, exponent, seed)
    return UntrainedGuide(free_fermion_guide(system, stiffness), stiffness, None, tf.constant(positions))


def _variance(one: UntrainedGuide) -> float:
    energies = np.asarray(one.guide(one.positions).local_energy)
    energies = energies[np.isfinite(energies)]
    return float(energies.var()) if len(energies) else np.inf
