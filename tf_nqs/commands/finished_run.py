"""What the commands on a finished run have in common: their flags, and the check of the folder before TensorFlow."""

from __future__ import annotations

import contextlib
import errno
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tf_nqs.commands.flags import DISTRIBUTION, NOT_OF_THE_RUN, Flag, Given, setting_flag
from tf_nqs.commands.member_flags import Member, member_of, settings_of_member
from tf_nqs.config import RunFolderError, Settings
from tf_nqs.config.distribution import check_flags
from tf_nqs.config.errors import shown
from tf_nqs.config.shape import compiled_shape
from tf_nqs.experiment.memory import check_measurement
from tf_nqs.runtime import startup
from tf_nqs.runtime.cluster import own_cluster
from tf_nqs.storage.files import folder_errors
from tf_nqs.storage.run_folder import RunFolder


class Request(NamedTuple):
    """What was asked for on the command line.

    Attributes:
        folder: of the run.
        overrides: name -> value of the settings that differ from those of the run.
        own: name -> value of the command's own flags.
        member: the member of a family that is asked for; None for the run of a single system.
    """

    folder: RunFolder
    overrides: dict[str, Any]
    own: dict[str, Any]
    member: Member | None = None

    def subject(self) -> str:
        """Returns what is measured, in words: the folder, and the member of a family."""
        return str(self.folder) if self.member is None else f"{self.folder} at {self.member.label}"


def run_dir_flag() -> Flag:
    """Returns the flag that names the folder of a finished run."""
    text = "Folder of a run, as train.py writes it (required)."
    return Flag("run_dir", text, "the folder of a run", is_required=True)


def run_flags(settings: Iterable[str]) -> list[Flag]:
    """Returns `--run_dir`, and the flags of settings whose values may differ from those of the run."""
    defaults = {name: shown(value).strip("'") for name, value in NOT_OF_THE_RUN.items()}
    given = [setting_flag(name, default=defaults.get(name, "the run's own")) for name in settings]
    return [run_dir_flag(), *given]


def work_on_run(
    target: str,
    subfolder: Callable[[RunFolder], Path] | None = None,
    check: Callable[[RunFolder, Given], None] = lambda folder, given: None,
    locks: bool = False,
    has_members: bool = True,
) -> Callable[[Given], None]:
    """Returns the work of a command on a finished run: it checks the folder and calls a function with the request.

    Args:
        target: the function, as for `tf_nqs.runtime.startup.call_late`.
        subfolder: run folder -> folder in it that the results go to; None for the run folder alone.
        check: raises a SettingsError for a run, or for flags, that the command has no use for.
        locks: whether the folder is locked meanwhile: no training and no other such command may change it.
        has_members: whether the command works on a member of a family too.
    """

    def work(given: Given) -> None:
        folder = RunFolder.finished(given.own["run_dir"])
        if not has_members:
            check_single_system(folder)
        member = member_of(folder, given)
        folder = folder if member is None else folder.of_member(member.label)
        check(folder, given)
        overrides = NOT_OF_THE_RUN | given.settings
        settings = placed(folder.settings, overrides)
        check_measurement(settings_of_member(settings, member))
        _ = folder.result_values  # refused if it cannot be used
        probe_folder(folder, subfolder(folder) if subfolder else None)
        request = Request(folder, overrides, given.own, member)
        with folder.locked_when_finished() if locks else contextlib.nullcontext():
            startup.call_with_tensorflow(target, request, shape=compiled_shape(settings))

    return work


def placed(settings: Settings, overrides: Mapping[str, Any]) -> Settings:
    """Returns the settings of a finished run with the devices, and the steps of a walk, that a command asks for.

    Args:
        settings: of the run.
        overrides: name -> value of the settings that differ from those of the run.

    Raises:
        SettingsError: several machines are asked for, but the environment describes no cluster that can be used; or a
            setting is given that the strategy would ignore.
    """
    check_place(overrides)
    update = {
        section: getattr(settings, section).model_copy(
            update={one: overrides[one] for one in names if one in overrides}
        )
        for section, names in {"distribution": DISTRIBUTION, "sampling": ("n_steps",)}.items()
    }
    return settings.model_copy(update=update)


def check_place(overrides: Mapping[str, Any]) -> None:
    """Refuses devices or machines that a command cannot use.

    Args:
        overrides: name -> value of the settings that differ from those of the run, strategy among them.

    Raises:
        SettingsError: as `placed`.
    """
    check_flags(overrides, overrides["strategy"])
    if overrides["strategy"] == "multi_worker":
        own_cluster()


def check_single_system(folder: RunFolder) -> None:
    """Refuses the run of a family.

    Args:
        folder: of a finished run.

    Raises:
        RunFolderError: it has several systems.
    """
    if folder.settings.is_family:
        raise RunFolderError(f"{folder.name}: holds a family of systems; must be the folder of a run of one system")


def probe_folder(run_dir: RunFolder, subfolder: Path | None = None) -> None:
    """Refuses, before anything is measured, a run folder that the results could not be written to afterwards.

    It writes a file and removes it again: permissions say little, least of all to the superuser.

    Args:
        run_dir: the folder of a run.
        subfolder: folder in it for several files; it need not exist.

    Raises:
        SettingsError: nothing can be written there.
    """
    with folder_errors("run_dir", run_dir.path):
        place = subfolder or run_dir.path
        if not place.exists():
            place = run_dir.path
        elif not place.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, f"{place.name} is a file, but must be a folder")
        with tempfile.NamedTemporaryFile(dir=place, prefix="unfinished-") as file:
            file.write(b"probe")
