"""From settings to objects, and from a run folder back to them."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

from tf_nqs.analysis import read_metrics
from tf_nqs.analysis.notation import format_with_error
from tf_nqs.analysis.words import REFERENCE_WORDS
from tf_nqs.ansatz import FermionAnsatz
from tf_nqs.config import RunFolderError, Settings
from tf_nqs.config.errors import brief, shown
from tf_nqs.exact import LARGEST_DIAGONALISED, Reference, critical_strength, narrow_well, reference_energy
from tf_nqs.experiment.memory import check_model
from tf_nqs.physics import TrappedFermions
from tf_nqs.sampling import ReusePolicy, make_sampler
from tf_nqs.storage.run_folder import METRICS_FILE, RESULT_FILE, WEIGHTS_FILE, result_of_run, settings_of_run
from tf_nqs.training import VariationalMonteCarlo, make_optimizer, pretrain
from tf_nqs.training.cluster_start import start_in_cluster

logger = logging.getLogger(__name__)

_EXACT = 5e-7
"""An uncertainty below it does not show in six decimals."""


class _Parts(NamedTuple):
    """What a run unpacks into."""

    system: TrappedFermions
    ansatz: FermionAnsatz
    settings: Settings


class Run(_Parts):
    """A finished run, read back from its folder; unpacks into system, ansatz and settings.

    Attributes:
        system: the Hamiltonian.
        ansatz: the trained wave function.
        settings: all settings of the run.
        folder: where the run is, None for a run that was put together by hand.
    """

    folder: Path | None = None

    @property
    def result(self) -> dict[str, Any]:
        """What the run's `result.json` holds now, see `RunResult`; energies in hbar*omega.

        Raises:
            RunFolderError: there is no such file, as the run has not ended yet, or it cannot be read.
        """
        return result_of_run(self._file(RESULT_FILE).parent)

    @property
    def metrics(self) -> dict[str, np.ndarray]:
        """The columns of the run's `metrics.csv` as it is now, shape (n_iterations,) each, see `read_metrics`.

        Raises:
            RunFolderError: there is no such file, or it cannot be read.
        """
        file = self._file(METRICS_FILE)
        try:
            return read_metrics(file)
        except (OSError, ValueError) as error:
            raise RunFolderError(
                f"run_dir = {shown(str(self.folder))}: its {METRICS_FILE} cannot be read ({brief(error)}); "
                "must be the folder of a run"
            ) from error

    def _file(self, name: str) -> Path:
        if self.folder is None:
            raise RunFolderError(f"run: belongs to no folder, so it has no {name}; must come from tf_nqs.load")
        if not (self.folder / name).is_file():
            raise RunFolderError(f"run_dir = {shown(str(self.folder))}: has no {name}; must be the folder of a run")
        return self.folder / name


def build_system(settings: Settings) -> TrappedFermions:
    """Returns the Hamiltonian that the settings describe."""
    return TrappedFermions(**settings.system.model_dump())


def build_ansatz(settings: Settings) -> FermionAnsatz:
    """Returns the ansatz that the settings describe; its start values come from Keras' global random state."""
    return FermionAnsatz(settings.system.n_particles, **settings.ansatz.model_dump())


def build_trainer(settings: Settings, system: TrappedFermions, ansatz: keras.Model) -> VariationalMonteCarlo:
    """Returns the compiled trainer that the settings describe."""
    training = settings.training
    vmc = VariationalMonteCarlo(
        ansatz,
        system,
        make_sampler(**settings.sampling.model_dump(exclude={"sampling_dtype"})),
        sampling_dtype=settings.sampling.sampling_dtype,
        reuse=ReusePolicy(**settings.reweighting.model_dump()),
        laplacian=training.laplacian,
        clip_deviations=training.clip_deviations,
        clip_doubling_iterations=training.clip_doubling_iterations,
        iterations_per_call=min(training.iterations_per_call, training.iterations),
        seed=settings.run.seed,
    )
    vmc.compile(
        **make_optimizer(
            training.optimizer,
            training.learning_rate,
            training.decay_iterations,
            training.damping,
            training.damping_decay_iterations,
            training.momentum,
            max_step_norm=training.max_step_norm,
            leverage_bound=training.leverage_bound,
            dtype=settings.ansatz.dtype,
        ),
        jit_compile=training.jit_compile,
        chunk_mebibytes=training.chunk_mebibytes,
    )
    return vmc


def find_start_state(vmc: VariationalMonteCarlo, settings: Settings, is_transferred: bool) -> None:
    """Brings random start weights near free fermions, or walkers and weights into a narrow well of the interaction.

    Args:
        vmc: the compiled trainer.
        settings: all settings; `training.pretrain_iterations = 0` leaves everything as it is.
        is_transferred: whether weights of another run were copied; these stay, they are a better start already.
    """
    iterations, seed = settings.training.pretrain_iterations, settings.run.seed
    if iterations and is_transferred:
        logger.info("no pretraining, as weights were transferred")
    elif iterations and (well := narrow_well(**settings.system.model_dump())):
        logger.info(
            f"narrow well: the walkers start in clusters of size {well.size:.2g} a_ho, to which the orbitals are fitted"
        )
        start_in_cluster(vmc, well.size, seed)
    elif iterations:
        logger.info(f"pretraining, {iterations} updates towards free fermions ...")
        pretrain(vmc.ansatz, iterations, vmc.sampler.n_walkers, seed)


def find_reference(settings: Settings) -> Reference:
    """Returns the exact energy, or the best known one, of the system that the settings describe."""
    system, max_seconds = settings.system, settings.evaluation.reference_max_seconds
    needs_diagonalisation = system.n_particles > 2 and system.interaction_strength != 0
    if needs_diagonalisation and max_seconds == 0:
        return Reference(None, "none", None)
    if needs_diagonalisation and system.trap and system.n_particles <= LARGEST_DIAGONALISED:
        logger.info(f"computing the reference energy by diagonalisation, for at most {max_seconds:g} seconds ...")
    return reference_energy(**system.model_dump(), max_seconds=max_seconds or 1.0, report=logger.info)


def reference_line(reference: Reference) -> str:
    """Returns what the terminal says of a reference."""
    if reference.energy is None:
        return "no exact reference for this system"
    words = REFERENCE_WORDS.get(reference.kind, reference.kind)
    if not reference.uncertainty or reference.uncertainty < _EXACT:
        return f"reference energy {reference.energy:.6f} ({words}, exact)"
    return f"reference energy {format_with_error(reference.energy, reference.uncertainty)} ({words})"


def no_trap_line(settings: Settings) -> str:
    """Returns what the terminal says of a system without a trap."""
    critical = critical_strength(settings.system.interaction_range)
    return (
        "without a trap the energy is that of the internal motion, as the centre of mass moves freely; two fermions "
        f"are bound below interaction_strength = {critical:.4g} at this range"
    )


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
    return read_run(run_dir, "run_dir")


def read_run(run_dir: str | Path, leaf: str) -> Run:
    """Does what `load` does; errors name the setting `leaf`, which the folder was given for.

    Raises:
        RunFolderError: the folder holds no run.
        SettingsError: the ansatz does not fit into memory.
    """
    settings = settings_of_run(run_dir, leaf)
    check_model(settings)  # the settings may be from elsewhere, and are all that says how large the ansatz is
    ansatz = build_ansatz(settings)
    try:
        ansatz.load_weights(Path(run_dir).expanduser() / WEIGHTS_FILE)
    except (AttributeError, LookupError, OSError, RuntimeError, TypeError, ValueError) as error:
        # HDF5 and Keras raise all of these about files that are cut short, or of another network.
        reason = brief(error)
        raise RunFolderError(
            f"{leaf} = {shown(str(run_dir))}: its {WEIGHTS_FILE} cannot be read ({reason}); must be the folder of a run"
        ) from error
    run = Run(build_system(settings), ansatz, settings)
    run.folder = Path(run_dir).expanduser()
    return run
