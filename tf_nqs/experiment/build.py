"""From settings to objects, and from a run folder back to them."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

from tf_nqs import defaults
from tf_nqs.analysis import read_metrics
from tf_nqs.ansatz.named import named_ansatz
from tf_nqs.config import RunFolderError, Settings, SettingsError
from tf_nqs.exact import LARGEST_DIAGONALISED, NO_REFERENCE, Reference, reference_energy
from tf_nqs.experiment.memory import check_model
from tf_nqs.physics import FermionFamily, TrappedFermions
from tf_nqs.physics.contact import check_contact
from tf_nqs.sampling import ReusePolicy, make_sampler
from tf_nqs.storage.run_folder import RunFolder
from tf_nqs.training import ConditionPolicy, VariationalMonteCarlo, make_optimizer

logger = logging.getLogger(__name__)


class _Parts(NamedTuple):
    """The parts that a run unpacks into."""

    system: TrappedFermions | FermionFamily
    ansatz: keras.Model
    settings: Settings


class Run(_Parts):
    """A finished run, read back from its folder; unpacks into system, ansatz and settings.

    Attributes:
        system: the Hamiltonian; of a family the `FermionFamily`.
        ansatz: the trained wave function.
        settings: all settings of the run.
        folder: where the run is, None for a run that was put together by hand.
    """

    folder: Path | None = None

    @property
    def result(self) -> dict[str, Any]:
        """The present entries of the run's `result.json`, see `RunResult`; energies in hbar*omega.

        Raises:
            RunFolderError: there is no such file, because the run has not ended yet, or it cannot be read.
        """
        folder = self._folder("result.json")
        folder.needed(folder.result)
        return folder.result_values

    @property
    def metrics(self) -> dict[str, np.ndarray]:
        """The present columns of the run's `metrics.csv`, shape (n_iterations,) each, see `read_metrics`.

        Raises:
            RunFolderError: there is no such file, or it cannot be read.
        """
        folder = self._folder("metrics.csv")
        file = folder.needed(folder.metrics)
        try:
            return read_metrics(file)
        except (OSError, ValueError) as error:
            raise folder.unreadable(file, error) from error

    def at(
        self,
        n_particles: int | None = None,
        interaction_strength: float | None = None,
        interaction_range: float | None = None,
        extrapolate: bool = False,
    ) -> Run:
        """Returns one member of a family: its system, its wave function with all of it in the weights, its settings.

        Args:
            n_particles: A; None where the family has only one.
            interaction_strength: as the interaction has it; None where the family has only one.
            interaction_range: in a_ho; None where the family has only one.
            extrapolate: whether the member may lie outside of what was trained, see `Settings.member`.

        Raises:
            SettingsError: this is the run of a single system, or the family has no such member.
        """
        if not self.settings.is_family:
            raise SettingsError("at: this is the run of a single system, it has no members")
        settings = self.settings.member(n_particles, interaction_strength, interaction_range, extrapolate)
        system = settings.system
        width = system.resolved()["interaction_range"]
        place = system.n_particles, system.interaction_strength, defaults.INTERACTION_RANGE if width is None else width
        member = Run(build_system(settings), self.ansatz.member(*place, extrapolate=True), settings)
        member.folder = self.folder
        return member

    def of_one_system(self) -> TrappedFermions:
        """Returns the Hamiltonian of a run that is no family.

        Raises:
            SettingsError: it is one.
        """
        if isinstance(self.system, FermionFamily):
            raise SettingsError("run: is that of a family; a member must be chosen, by its parameters")
        return self.system

    def _folder(self, name: str) -> RunFolder:
        if self.folder is None:
            raise RunFolderError(f"run: belongs to no folder, so it has no {name}; must come from tf_nqs.load")
        return RunFolder(self.folder)


def build_system(settings: Settings) -> TrappedFermions | FermionFamily:
    """Returns the Hamiltonian that the settings describe, or the family of them.

    Raises:
        SettingsError: the interaction is a function that cannot be imported, or is no pair potential.
    """
    try:
        leaves = settings.system.model_dump()
        if not settings.is_family:
            return TrappedFermions(**leaves)
        varied = settings.family.varied()
        if "n_particles" in varied:
            varied["n_particles"] = sorted(varied["n_particles"])
        return FermionFamily(**leaves | varied)
    except (TypeError, ValueError) as error:
        raise SettingsError(str(error)) from error


def build_ansatz(settings: Settings) -> keras.Model:
    """Returns the ansatz that the settings describe; its start values come from Keras' global random state.

    Raises:
        SettingsError: it is a class of the user's own that cannot be imported or used.
    """
    system, sizes = settings.system.named(), settings.ansatz.resolved(settings.system)
    built, family = build_system(settings) if settings.is_family else None, settings.family
    conditions = None
    if isinstance(built, FermionFamily):
        conditions = replace(
            built.conditions, strength_scale=family.scale("strength_scale"), range_scale=family.scale("range_scale")
        )
    parts = system.n_particles, sizes["dtype"], system.contact_exponent, sizes
    try:
        return named_ansatz(sizes["ansatz"], *parts, conditions)
    except ValueError as error:
        raise SettingsError(str(error)) from error


def build_trainer(
    settings: Settings, system: TrappedFermions | FermionFamily, ansatz: keras.Model
) -> VariationalMonteCarlo:
    """Returns the compiled trainer that the settings describe.

    Raises:
        SettingsError: the ground state vanishes at contact as the ansatz cannot.
    """
    training, recipe, family = settings.training, settings.recipe(), settings.family
    try:
        if isinstance(system, TrappedFermions):
            check_contact(ansatz, system)
    except ValueError as error:
        raise SettingsError(str(error)) from error
    policy = ConditionPolicy(family.n_conditions, family.drift, family.margin) if settings.is_family else None
    vmc = VariationalMonteCarlo(
        ansatz,
        system,
        make_sampler(**settings.sampling.model_dump(exclude={"sampling_dtype"})),
        sampling_dtype=settings.sampling.sampling_dtype,
        reuse=ReusePolicy(**settings.reweighting.model_dump()),
        laplacian=training.laplacian,
        clip_deviations=training.clip_deviations,
        clip_doubling_iterations=recipe.clip_doubling_iterations,
        iterations_per_call=min(training.iterations_per_call, training.iterations),
        seed=settings.run.seed,
        conditions=policy,
    )
    vmc.compile(
        **make_optimizer(
            training.optimizer,
            recipe.learning_rate,
            recipe.decay_iterations,
            recipe.damping,
            training.damping_decay_iterations,
            recipe.momentum,
            average_decay=family.average_decay if settings.is_family else 0.0,
            max_step_norm=training.max_step_norm,
            damping_min=recipe.damping_min,
            leverage_bound=recipe.leverage_bound,
            dtype=settings.ansatz.dtype,
        ),
        jit_compile=training.jit_compile,
        chunk_mebibytes=training.chunk_mebibytes,
    )
    return vmc


def find_reference(settings: Settings) -> Reference:
    """Returns the exact energy, or the best known one, of the system that the settings describe; none of a family."""
    if settings.is_family:
        return NO_REFERENCE
    system, max_seconds = settings.system, settings.evaluation.reference_max_seconds
    is_gaussian = system.gaussian() is not None
    needs_diagonalisation = is_gaussian and system.n_particles > 2 and system.interaction_strength != 0
    if needs_diagonalisation and max_seconds == 0:
        return NO_REFERENCE
    if needs_diagonalisation and system.trap == "harmonic" and system.n_particles <= LARGEST_DIAGONALISED:
        logger.info(f"computing the reference energy by diagonalisation, for at most {max_seconds:g} seconds ...")
    return reference_energy(**system.model_dump(), max_seconds=max_seconds or 1.0, report=logger.info)


def load(run_dir: str | Path) -> Run:
    """Returns system, trained ansatz and settings of a run folder, with its result and its metrics as attributes.

    Args:
        run_dir: a folder that `run` has written.

    Returns:
        A `Run`, which unpacks into system, ansatz and settings.

    Raises:
        RunFolderError: the folder holds no run.
        SettingsError: the ansatz does not fit into memory.

    Example:
        >>> system, ansatz, settings = tf_nqs.load("runs/a4")
        >>> sign, log_abs_psi = ansatz(np.array([[-1.5, -0.5, 0.5, 1.5]]))
        >>> run = tf_nqs.load("runs/a4")
        >>> measured, errors = run.result["energy"], run.result["energy_error"]
        >>> energies = run.metrics["energy"]  # of every iteration
    """
    return read_run(RunFolder.finished(run_dir))


def read_run(folder: RunFolder) -> Run:
    """Does what `load` does, with a folder that is known to hold a finished run.

    Raises:
        RunFolderError: its weights cannot be read.
        SettingsError: the ansatz does not fit into memory.
    """
    settings = folder.settings
    check_model(settings)  # the settings may be from elsewhere, and alone say how large the ansatz is
    ansatz = build_ansatz(settings)
    try:
        ansatz.load_weights(folder.weights)
    except (AttributeError, LookupError, OSError, RuntimeError, TypeError, ValueError) as error:
        # HDF5 and Keras raise all of these about files that are cut short, or of another network.
        raise folder.unreadable(folder.weights, error) from error
    run = Run(build_system(settings), ansatz, settings)
    run.folder = folder.path
    return run
