"""The guide of a run's diffusion, and where its walkers start. Loads TensorFlow."""

from __future__ import annotations

import hashlib
import zipfile
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tf_nqs.ansatz.protocol import HasOrbitals
from tf_nqs.config import Settings, SettingsError
from tf_nqs.diffusion import (
    Guide,
    Stiffness,
    ansatz_guide,
    best_stiffness,
    check_nodes,
    free_fermion_guide,
    free_fermion_positions,
)
from tf_nqs.diffusion.start import metropolis_positions
from tf_nqs.experiment.build import Run
from tf_nqs.storage.run_folder import RunFolder
from tf_nqs.types import Tensor


class ChosenGuide(NamedTuple):
    """The guide of a diffusion.

    Attributes:
        guide: the guide.
        name: run or free_fermions.
        reason: why it is not the run's wave function; empty where it is, or where nobody asked for that.
        stiffness: of the free fermions' guide; None for the run's wave function.
        weights: digest of the weights of the run's wave function; empty for the free fermions' guide.
        positions: where the walkers start, shape (n_walkers, n_particles), in a_ho.
    """

    guide: Guide
    name: str
    reason: str
    stiffness: Stiffness | None
    weights: str
    positions: Tensor


def choose_guide(run: Run, settings: Settings, wanted: str, n_walkers: int) -> ChosenGuide:
    """Returns the guide of a run's diffusion.

    Args:
        run: as it was read from its folder.
        settings: of the run, overridden by those of the command line.
        wanted: auto, run or free_fermions.
        n_walkers: number of walkers.

    Raises:
        SettingsError: the run's wave function is wanted and cannot guide; one line.
    """
    if wanted != "free_fermions":
        try:
            return _guide_of_run(run, settings, n_walkers)
        except ValueError as error:
            reason = _why_not(run, error)
            if wanted == "run":
                raise SettingsError(f"guide = 'run': {reason}; must be auto or free_fermions") from error
    else:
        reason = ""
    stiffness, exponent = best_stiffness(run.system), run.system.contact_exponent
    positions = free_fermion_positions(n_walkers, run.system.n_particles, stiffness, exponent, settings.run.seed)
    guide = free_fermion_guide(run.system, stiffness)
    return ChosenGuide(guide, "free_fermions", reason, stiffness, "", tf.constant(positions))


def _guide_of_run(run: Run, settings: Settings, n_walkers: int) -> ChosenGuide:
    ansatz, seed = run.ansatz, settings.run.seed
    guide = ansatz_guide(ansatz, run.system)
    positions = _last_walkers(run, n_walkers, seed)
    has_walkers = positions is not None
    if positions is None:
        system = run.system
        positions = free_fermion_positions(
            n_walkers, system.n_particles, best_stiffness(system), system.contact_exponent, seed
        )
    start = tf.constant(positions, ansatz.compute_dtype)
    check_nodes(ansatz, start)
    if not has_walkers:
        start = metropolis_positions(guide, start, seed, settings.training.jit_compile)
    digest = hashlib.sha256(b"".join(np.ascontiguousarray(one).tobytes() for one in ansatz.get_weights())).hexdigest()
    return ChosenGuide(guide, "run", "", None, digest, start)


def _why_not(run: Run, error: ValueError) -> str:
    if isinstance(run.ansatz, HasOrbitals):
        return f"{type(run.ansatz).__name__} has nodes besides those where particles meet, which bounds the walkers"
    return str(error)


def _last_walkers(run: Run, n_walkers: int, seed: int) -> np.ndarray | None:
    """Returns the last walkers of the training, as many as wanted; None where they cannot be used."""
    if run.folder is None:
        return None
    try:
        with np.load(RunFolder(run.folder).walkers, allow_pickle=False) as file:
            positions: Any = np.asarray(file["positions"], np.float64)
    except (EOFError, LookupError, OSError, ValueError, zipfile.BadZipFile):
        return None
    is_usable = positions.ndim == 2 and positions.shape[1] == run.system.n_particles and len(positions)
    if not is_usable or not np.all(np.isfinite(positions)):
        return None
    order = np.random.default_rng(seed).permutation(len(positions))
    return np.sort(positions[np.resize(order, n_walkers)], axis=1)
