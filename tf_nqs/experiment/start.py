"""Where a training starts: from the beginning, from the weights of another run, or from a checkpoint."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel, NonNegativeFloat, NonNegativeInt, ValidationError

from tf_nqs.ansatz.protocol import HasClusterStart, HasMovableOrbitals, HasOrbitals
from tf_nqs.config import RunFolderError, Settings
from tf_nqs.config.resume import MAY_CHANGE, differences
from tf_nqs.exact import Cluster, narrow_well
from tf_nqs.experiment.preflight import source_of
from tf_nqs.experiment.transfer import carry_walkers, transfer_from
from tf_nqs.storage.checkpoints import Checkpoint, newest_checkpoint
from tf_nqs.storage.run_folder import RunFolder
from tf_nqs.training import VariationalMonteCarlo, pretrain
from tf_nqs.training.cluster_start import start_as_cluster, start_in_cluster

logger = logging.getLogger(__name__)


class Facts(BaseModel):
    """The entries of a checkpoint of a training beside its variables, as `RunCheckpoint` writes them."""

    settings: dict[str, Any]
    iteration: NonNegativeInt
    seconds: NonNegativeFloat
    stop_reason: str | None
    callbacks: dict[str, dict[str, Any]]
    transfer: dict[str, Any] | None


@dataclass(frozen=True)
class Start:
    """Where a training starts.

    Attributes:
        checkpoint: the state to resume from; None for the beginning.
        is_over: whether training has ended, so that only the energy is measured again.
        transfer: report on the weights taken from another run, see `tf_nqs.experiment.transfer.Transfer`; None for
            random weights.
    """

    checkpoint: Checkpoint | None = None
    is_over: bool = False
    transfer: dict[str, Any] | None = None

    @property
    def iteration(self) -> int:
        """Iterations done."""
        return self.checkpoint.facts["iteration"] if self.checkpoint else 0

    @property
    def seconds(self) -> float:
        """Seconds of training so far."""
        return self.checkpoint.facts["seconds"] if self.checkpoint else 0.0

    def transferred(self, vmc: VariationalMonteCarlo, settings: Settings) -> Start:
        """Gives a trainer weights and walkers of the run `transfer_from`, at the beginning of a training.

        Args:
            vmc: the trainer, before its first iteration.
            settings: all settings.

        Returns:
            This start with a report on the transfer; as it is where nothing is transferred.

        Raises:
            TransferError: weights or walkers cannot be used.
        """
        source = settings.transfer.transfer_from
        if self.checkpoint or source is None:
            return self
        found = source_of(settings)
        report = transfer_from(source, vmc.ansatz, member=found[1] if found else None)
        walkers = carry_walkers(source, vmc) if report.kind == "interaction" else "new, burnt in"
        report = report._replace(walkers=walkers)
        logger.info("\n".join(report.lines()))
        return replace(self, transfer=report._asdict())

    def prepare(self, vmc: VariationalMonteCarlo, settings: Settings) -> None:
        """Brings random weights near free fermions, or weights and walkers into a well of the interaction.

        Weights from a checkpoint or another run stay as they are, as do those of an ansatz that has nothing to fit.

        Args:
            vmc: the compiled trainer.
            settings: all settings; `training.pretrain_iterations = 0` leaves everything as it is.
        """
        iterations, seed = settings.training.pretrain_iterations, settings.run.seed
        if self.checkpoint or not iterations:
            return
        if isinstance(vmc.ansatz, HasOrbitals):
            self._fit_orbitals(vmc, settings)
        elif (
            not settings.is_family
            and isinstance(vmc.ansatz, HasClusterStart)
            and (self.transfer or {"kind": "particle"})["kind"] != "interaction"
        ):
            size = start_as_cluster(vmc, seed, keep_weights=self.transfer is not None)
            if size is not None:
                what = "the walkers start" if self.transfer else "wave function and walkers start"
                logger.info(f"attraction: {what} as clusters of size {size:.2g} a_ho")

    def _fit_orbitals(self, vmc: VariationalMonteCarlo, settings: Settings) -> None:
        """Fits the orbitals to free fermions, or to those of a narrow well."""
        iterations, seed = settings.training.pretrain_iterations, settings.run.seed
        if self.transfer:
            logger.info("no pretraining, because the weights were transferred")
        elif isinstance(vmc.ansatz, HasMovableOrbitals) and (well := _narrow_well(settings)):
            cluster = f"clusters of size {well.size:.2g} a_ho"
            logger.info(f"narrow well: the walkers start in {cluster}, to which the orbitals are fitted")
            start_in_cluster(vmc, well.size, seed)
        else:
            logger.info(f"pretraining, {iterations} updates towards free fermions ...")
            pretrain(vmc.ansatz, iterations, vmc.sampler.n_walkers, seed)


def _narrow_well(settings: Settings) -> Cluster | None:
    """Returns the cluster in the well of the interaction, where that is a narrow one; None for a family."""
    gaussian = None if settings.is_family else settings.system.gaussian()
    return narrow_well(**gaussian) if gaussian else None


def find_start(settings: Settings, folder: RunFolder) -> Start:
    """Returns where the training in a resumed folder starts; changes nothing.

    Args:
        settings: all settings, as they are now.
        folder: of the run.

    Returns:
        Start; the beginning if the run was killed before its first checkpoint.

    Raises:
        RunFolderError: a setting has changed that must not, or no checkpoint can be read.
    """
    checkpoint = newest_checkpoint(folder.checkpoints)
    if checkpoint is None:
        logger.info("nothing was trained yet: starting from the beginning")
        return Start()
    facts = checkpoint.facts
    problem = _find_problem(checkpoint, settings)
    if problem:
        raise RunFolderError(f"{folder.name}: {problem}")
    is_over = _is_over(facts, settings)
    more = "measuring the energy again" if is_over else f"training to {settings.training.iterations}"
    logger.info(f"resumed after {facts['iteration']} iterations; {more}")
    if not is_over and facts["stop_reason"] == "early_stopping":  # more iterations are wanted all the same
        facts["callbacks"]["FamilyEarlyStopping" if settings.is_family else "EnergyEarlyStopping"] = {}
    return Start(checkpoint, is_over, facts["transfer"])


def _find_problem(checkpoint: Checkpoint, settings: Settings) -> str | None:
    """Returns why a training cannot resume from a checkpoint; None if it can."""
    facts, iterations = checkpoint.facts, settings.training.iterations
    try:
        Facts.model_validate(facts)
    except ValidationError:
        return f"{checkpoint.path.name} is not a checkpoint of a training; start a new run in another folder"
    if changed := differences(facts["settings"], settings, MAY_CHANGE):
        keep = "keep the settings to resume, or start a new run in another folder"
        return f"was run with {'; '.join(changed)}; {keep}"
    if iterations < facts["iteration"]:
        return f"iterations = {iterations}: must be at least {facts['iteration']}, the number already done"
    return None


def _is_over(facts: dict[str, Any], settings: Settings) -> bool:
    """Returns whether training had ended, by its own rules and the present ones."""
    training, reason = settings.training, facts["stop_reason"]
    if reason == "early_stopping":
        return training.iterations <= facts["settings"]["iterations"]
    out_of_time = training.max_seconds is not None and facts["seconds"] >= training.max_seconds
    return facts["iteration"] >= training.iterations or out_of_time
