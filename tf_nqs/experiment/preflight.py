"""The checks of a training before TensorFlow is loaded: its memory, its folder and the run that it starts from."""

from __future__ import annotations

from typing import Any

import tf_nqs
from tf_nqs.config import Settings, SettingsError
from tf_nqs.config.chain import Chain
from tf_nqs.config.distribution import check_divisible
from tf_nqs.config.errors import must_be_given
from tf_nqs.config.family import SCALES
from tf_nqs.config.system import check_diffusion
from tf_nqs.config.transfer import inputs_of_network, member_to_start_from
from tf_nqs.experiment.memory import check_model, check_training
from tf_nqs.experiment.share import share_of
from tf_nqs.named_ansatze import ALL_SIZES
from tf_nqs.storage.pretrained import finished_source
from tf_nqs.storage.run_folder import CHAIN_MARK, RunFolder, bears_mark


def open_run(settings: Settings, resume: bool) -> RunFolder:
    """Returns the folder of a run that can be made: a new one is claimed, a resumable one is as it was.

    Args:
        settings: all settings; of a run that is not resumed, the folder too.
        resume: whether the run resumes from a checkpoint, which has the weights that training started from.

    Raises:
        SettingsError: it needs more memory than there is, its folder cannot be used, or `transfer_from` is no run.
    """
    check_run(settings, resume)
    return RunFolder.reopen(settings.run.run_dir) if resume else RunFolder.claim(settings.run.run_dir)


def check_run(settings: Settings, resume: bool) -> None:
    """Does the checks of `open_run` but for the folder, which the chief alone opens where several workers share a run.

    Raises:
        SettingsError: as `open_run`; or something is asked for that a run on several devices, or in no trap, cannot do.
    """
    check_reference(settings)
    check_training(settings)
    check_strategy(settings)
    if not resume:
        _check_source(settings)


def check_reference(settings: Settings) -> None:
    """Refuses a reference by diffusion without a trap, where the walkers may need longer than any fixed time.

    Raises:
        SettingsError: it is asked for.
    """
    if settings.evaluation.reference == "diffusion":
        check_diffusion(settings.system)


def check_strategy(settings: Settings) -> None:
    """Refuses what a run on several devices, or on several machines, cannot do.

    Raises:
        SettingsError: it is asked for, or the environment describes no cluster that can be used.
    """
    strategy = settings.distribution.strategy
    if strategy != "none" and settings.run.profile:
        raise SettingsError(f"profile = true contradicts strategy = {strategy}: must be false, or strategy be none")
    if strategy == "multi_worker":
        if settings.run.run_dir is None:
            raise must_be_given("run_dir", "with strategy = multi_worker a folder that all workers see")
        if settings.evaluation.reference == "diffusion":
            raise SettingsError(
                "reference = diffusion contradicts strategy = multi_worker: must be auto, exact or none; python -m "
                "tf_nqs.diffuse computes it for the finished run"
            )
    check_spread(settings, share_of(settings).n_replicas)  # once more when the GPUs are known


def check_spread(settings: Settings, n_replicas: int) -> None:
    """Refuses walkers that cannot be spread evenly over the replicas.

    Args:
        settings: all settings.
        n_replicas: devices of all workers together.

    Raises:
        SettingsError: there would be another number of them on some replica.
    """
    name = "n_conditions * walkers_per_condition" if settings.is_family else "n_walkers"
    check_divisible(name, settings.sampling.n_walkers, n_replicas)


def shared_text(settings: Settings, *others: Any) -> str:
    """Returns what all workers of a run must have in common, as text.

    Args:
        settings: all settings; quiet may differ.
        others: what else must be the same.
    """
    leaves = {name: value for name, value in settings.filled().model_dump().items() if name != "run"}
    run = settings.run.model_dump(exclude={"quiet"})
    return repr((tf_nqs.__version__, leaves, run, others))


def check_chain(chain: Chain) -> None:
    """Refuses a chain of which a stage cannot be run; its folder is looked at by `run_chain`, which claims it.

    Raises:
        SettingsError: as `open_run`, but for the folder; of a stage with its number.
    """
    is_new = not bears_mark(chain.run_dir, CHAIN_MARK)
    earlier: set[str | None] = set()
    for number, settings in enumerate(chain.stages, start=1):
        try:
            check_reference(settings)
            check_training(settings)
            check_strategy(settings)
            if is_new and settings.transfer.transfer_from not in earlier:
                _check_source(settings)
        except SettingsError as error:
            raise SettingsError(f"stage {number}: {error}") from error
        earlier.add(settings.run.run_dir)


def _check_source(settings: Settings) -> None:
    """Refuses a `transfer_from` that is no run, or one of another kind of wave function.

    Whether its network fits is checked with its weights, later.
    """
    source = settings.transfer.transfer_from
    if source is None:
        return
    folder = finished_source(source)
    check_model(folder.settings)
    source_of(settings)
    before, now = folder.settings.ansatz.ansatz, settings.ansatz.ansatz
    if before != now:
        raise SettingsError(f"{folder.name}: has ansatz = {before}, the run ansatz = {now}; must be the same")


def source_of(settings: Settings) -> tuple[RunFolder, dict[str, Any] | None] | None:
    """Returns the folder that weights are transferred from, and which member if it is that of a family.

    Args:
        settings: of the run that starts; None is returned if it starts from random weights.

    Raises:
        SettingsError: it is no run, or cannot be transferred from.
    """
    source = settings.transfer.transfer_from
    if source is None:
        return None
    folder = finished_source(source)
    try:
        return folder, member_to_start_from(folder.settings, settings)
    except SettingsError as error:
        raise SettingsError(f"{folder.name}: {error}") from error


def with_units_of_source(settings: Settings, resume: bool = False) -> Settings:
    """Returns the settings with those that the weights of a family belong to, unless they are given.

    The weights of a member belong to the family's network, and to its unit of distances (pair_length), not to those of
    a run of its own; those of a whole family to the ranges that its network's inputs are scaled by, too.

    Args:
        settings: of a run that may start from another one.
        resume: whether the run is resumed: it has its weights, and the other one need not exist any more.

    Raises:
        SettingsError: as `source_of`.
    """
    missing = [leaf for leaf in ALL_SIZES if getattr(settings.ansatz, leaf) is None]
    if settings.transfer.transfer_from is None or not (missing or settings.is_family):
        return settings
    try:
        source = source_of(settings)
    except SettingsError:
        if resume:
            return settings
        raise
    if source is None or not source[0].settings.is_family:
        return settings
    sizes = source[0].settings.resolved()
    found = {leaf: sizes[leaf] for leaf in missing if sizes.get(leaf) is not None}
    ansatz, family = settings.ansatz.model_copy(update=found), settings.family
    if settings.is_family:
        inputs = inputs_of_network(source[0].settings)
        scales = {leaf: text for leaf, text in inputs.items() if leaf in SCALES.values() and text is not None}
        family = family.model_copy(update=scales)
    return settings.model_copy(update={"ansatz": ansatz, "family": family})


def config_of_run(run_dir: str | None) -> str:
    """Returns the file with the settings of the run that is to be resumed.

    Args:
        run_dir: its folder, as given.

    Raises:
        SettingsError: there is no such run, or only the mark of a chain.
    """
    if run_dir is None:
        return str(RunFolder.reopen(None).config)
    folder = RunFolder(run_dir)
    config = folder.config.name
    if bears_mark(folder, config):
        return str(folder.config)
    if bears_mark(folder, CHAIN_MARK):
        raise SettingsError(f"{folder.name}: holds a chain without {config}; must be resumed with its --config")
    RunFolder.reopen(run_dir)
    raise SettingsError(f"{folder.name}: has no {config}; must be given with --config to be resumed")
