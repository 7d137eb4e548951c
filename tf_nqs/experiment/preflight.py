"""What can be refused of a training before TensorFlow is loaded: its memory, its folder and what it starts from."""

from __future__ import annotations

from pathlib import Path

from tf_nqs.config import Settings, SettingsError
from tf_nqs.config.chain import Chain
from tf_nqs.config.errors import shown
from tf_nqs.experiment.memory import check_model, check_training
from tf_nqs.storage.run_folder import (
    CHAIN_MARK,
    CONFIG_FILE,
    bears_mark,
    claim_run_folder,
    given_run_dir,
    release_run_folder,
    reopen_run_folder,
    settings_of_run,
)


def check_run(settings: Settings, resume: bool) -> None:
    """Refuses a run that cannot be made; leaves its folder as it is.

    Args:
        settings: all settings; of a run that is not resumed, the folder too.
        resume: whether the run goes on from a checkpoint, which has the weights that training started from.

    Raises:
        SettingsError: it needs more memory than there is, its folder cannot be used, or `transfer_from` is no run.
    """
    check_training(settings)
    if not resume:
        _check_source(settings)
        release_run_folder(claim_run_folder(settings.run.run_dir))


def check_chain(chain: Chain) -> None:
    """Refuses a chain of which a stage cannot be run; leaves its folder as it is.

    Raises:
        SettingsError: as `check_run`; of a stage with its number.
    """
    is_new = not bears_mark(chain.run_dir, CHAIN_MARK)
    earlier: set[str | None] = set()
    for number, settings in enumerate(chain.stages, start=1):
        try:
            check_training(settings)
            if is_new and settings.transfer.transfer_from not in earlier:
                _check_source(settings)
        except SettingsError as error:
            raise SettingsError(f"stage {number}: {error}") from error
        earlier.add(settings.run.run_dir)
    if is_new:
        release_run_folder(claim_run_folder(chain.run_dir))


def _check_source(settings: Settings) -> None:
    """Refuses a `transfer_from` that is no run; whether its network fits is told by its weights, later."""
    source = settings.transfer.transfer_from
    if source is not None:
        check_model(settings_of_run(source, "transfer_from"))


def config_of_run(run_dir: str | None) -> str:
    """Returns the file with the settings of the run that is to be resumed.

    Args:
        run_dir: its folder, as given.

    Raises:
        SettingsError: there is no such run, or only the mark of a chain.
    """
    run_dir = given_run_dir(run_dir)
    try:
        folder = Path(run_dir).expanduser()
        if (folder / CONFIG_FILE).is_file():
            return str(folder / CONFIG_FILE)
        if (folder / CHAIN_MARK).is_file():
            raise SettingsError(
                f"run_dir = {shown(run_dir)}: holds a chain without {CONFIG_FILE}; must be resumed with its --config"
            )
    except (OSError, RuntimeError):
        pass  # a name that is refused below
    reopen_run_folder(run_dir)
    raise SettingsError(f"run_dir = {shown(run_dir)}: has no {CONFIG_FILE}; must be given with --config to be resumed")
