"""The guide of a run's diffusion, and where its walkers start."""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from tf_nqs import defaults
from tf_nqs.ansatz.protocol import HasOrbitals
from tf_nqs.config import SettingsError
from tf_nqs.diffusion import (
    Guide,
    Stiffness,
    ansatz_guide,
    best_guide,
    best_stiffness,
    check_nodes,
    diffusion_energy,
    free_fermion_positions,
)
from tf_nqs.diffusion.start import metropolis_positions
from tf_nqs.exact import Reference
from tf_nqs.physics import TrappedFermions
from tf_nqs.storage.files import UNREADABLE_ARRAYS
from tf_nqs.storage.run_folder import RunFolder
from tf_nqs.types import Tensor


class ChosenGuide(NamedTuple):
    """The guide of a diffusion.

    Attributes:
        guide: the guide.
        name: run or free_fermions.
        reason: why it is not the trained wave function; empty where it is, or where nobody asked for that.
        stiffness: of the free fermions' guide; None for the trained wave function.
        pair_frequency: of the free fermions' guide, see `UntrainedGuide`; None if it has no pair factor.
        weights: digest of the weights of the trained wave function; empty for the free fermions' guide.
        positions: where the walkers start, shape (n_walkers, n_particles), in a_ho.
    """

    guide: Guide
    name: str
    reason: str
    stiffness: Stiffness | None
    pair_frequency: float | None
    weights: str
    positions: Tensor


def choose_guide(
    system: TrappedFermions,
    ansatz: keras.Model | None,
    wanted: str = "auto",
    n_walkers: int = defaults.N_DIFFUSION_WALKERS,
    seed: int = defaults.SEED,
    walkers: np.ndarray | None = None,
    jit_compile: bool = True,
) -> ChosenGuide:
    """Returns the guide of a diffusion.

    Args:
        system: the Hamiltonian, in a trap.
        ansatz: trained wave function; None for the free fermions' guide.
        wanted: auto, run (the ansatz) or free_fermions.
        n_walkers: number of walkers.
        seed: of the random numbers.
        walkers: samples of the trained wave function, shape (any number, n_particles), if there are any.
        jit_compile: whether XLA compiles the steps to the start.

    Raises:
        SettingsError: the ansatz is wanted and cannot guide; one line.
    """
    reason = ""
    if wanted != "free_fermions" and ansatz is not None:
        try:
            return _guide_of(ansatz, system, n_walkers, seed, walkers, jit_compile)
        except ValueError as error:
            reason = _why_not(ansatz, error)
            if wanted == "run":
                raise SettingsError(f"guide = 'run': {reason}; must be auto or free_fermions") from error
    found = best_guide(system, n_walkers, seed, jit_compile)
    return ChosenGuide(found.guide, "free_fermions", reason, found.stiffness, found.pair_frequency, "", found.positions)


def diffused_reference(
    system: TrappedFermions,
    ansatz: keras.Model | None,
    target_error: float = defaults.TARGET_ERROR,
    max_seconds: float = defaults.EVALUATION_MAX_SECONDS,
    seed: int = defaults.SEED,
    walkers: np.ndarray | None = None,
    jit_compile: bool = True,
) -> Reference:
    """Returns the energy of a system by diffusion as a reference, without a run folder: for the points of a curve.

    Args:
        system: the Hamiltonian, in a trap.
        ansatz: trained wave function, such as a member of a family; one that cannot guide, or None, is replaced by the
            free fermions' guide.
        target_error: standard error at which the diffusion ends, in hbar*omega.
        max_seconds: wall time after which it ends.
        seed: of the random numbers.
        walkers: samples of the wave function, if there are any.
        jit_compile: whether XLA compiles it.

    Raises:
        ValueError: no walker has a finite energy, or max_seconds is too short for any result.
    """
    chosen = choose_guide(system, ansatz, seed=seed, walkers=walkers, jit_compile=jit_compile)
    found = diffusion_energy(
        chosen.guide,
        chosen.positions,
        target_error=target_error,
        max_seconds=max_seconds,
        seed=seed,
        jit_compile=jit_compile,
    )
    return Reference(found.energy, "diffusion", found.energy_error)


def _guide_of(
    ansatz: keras.Model,
    system: TrappedFermions,
    n_walkers: int,
    seed: int,
    walkers: np.ndarray | None,
    jit_compile: bool,
) -> ChosenGuide:
    guide = ansatz_guide(ansatz, system)
    if walkers is None:
        exponent = system.contact_exponent
        positions = free_fermion_positions(n_walkers, system.n_particles, best_stiffness(system), exponent, seed)
    else:
        order = np.random.default_rng(seed).permutation(len(walkers))
        positions = np.sort(walkers[np.resize(order, n_walkers)], axis=1)
    start = tf.constant(positions, ansatz.compute_dtype)
    check_nodes(ansatz, start)
    if walkers is None:
        start = metropolis_positions(guide, start, seed, jit_compile)
    digest = hashlib.sha256(b"".join(np.ascontiguousarray(one).tobytes() for one in ansatz.get_weights())).hexdigest()
    return ChosenGuide(guide, "run", "", None, None, digest, start)


def _why_not(ansatz: keras.Model, error: ValueError) -> str:
    if isinstance(ansatz, HasOrbitals):
        return f"{type(ansatz).__name__} has nodes besides those where particles meet, which confine the walkers"
    return str(error)


def last_walkers(folder: RunFolder, n_particles: int) -> np.ndarray | None:
    """Returns the last walkers of a training, shape (n_walkers, n_particles); None where they cannot be used.

    Args:
        folder: of the run.
        n_particles: A.
    """
    try:
        with np.load(folder.walkers, allow_pickle=False) as file:
            positions: Any = np.asarray(file["positions"], np.float64)
    except UNREADABLE_ARRAYS:
        return None
    is_usable = positions.ndim == 2 and positions.shape[1] == n_particles and len(positions)
    return positions if is_usable and np.all(np.isfinite(positions)) else None
