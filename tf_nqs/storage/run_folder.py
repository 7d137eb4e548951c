"""The folder of a run: it belongs to one run, which claims it before anything is written, and is never overwritten."""

from __future__ import annotations

import contextlib
import copy
import fcntl
import functools
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from tf_nqs.config import RunFolderError, Settings, SettingsError, settings_from
from tf_nqs.config.errors import brief, shown
from tf_nqs.storage.files import folder_errors
from tf_nqs.storage.result import read_result

CHAIN_MARK = ".chain"

_A_RUN = "must be the folder of a run"
LOCKED = "locked by another process; wait for it to finish"


class RunFolder(os.PathLike):
    """The folder of a run, and where its files are; making this object touches no file.

    `claim`, `reopen` and `finished` return one after checking that the folder is new, resumable or finished.

    Attributes:
        path: the folder.
        name: the setting that names the folder, with its value, for messages.
        mark: exists from the moment the run claims the folder; also the file that is locked.
        config: the settings, TOML.
        metrics: a row per iteration.
        windows: a row per window of early stopping.
        conditions: of a family, a row per system for every 100 iterations.
        events: folder for TensorBoard.
        checkpoints: folder of the states that a training can resume from.
        weights: the trained weights.
        walkers: the last walkers.
        result: the numbers of the finished run, see `RunResult`.
        plot: the energy over the iterations.
        profile, profile_plot: the time of each phase of an iteration.
        evaluation: a later measurement of the energy.
        diffusion, diffusion_plot: the energy by diffusion Monte Carlo.
        diffusion_state: the state from which an interrupted diffusion continues.
        observables, observable_plots: later measurements of other observables; a file and a folder.
    """

    def __init__(self, path: str | os.PathLike[str], setting: str = "run_dir"):
        self.name = f"{setting} = {shown(str(path))}"
        try:
            self.path = Path(path).expanduser()
        except RuntimeError as error:  # no such user for '~user'
            raise self._error(f"no usable path ({error}); {_A_RUN}") from error
        self.mark = self.path / ".claimed"
        self.config = self.path / "config.toml"
        self.metrics = self.path / "metrics.csv"
        self.windows = self.path / "windows.csv"
        self.conditions = self.path / "conditions.csv"
        self.events = self.path / "tensorboard"
        self.checkpoints = self.path / "checkpoints"
        self.weights = self.path / "ansatz.weights.h5"
        self.walkers = self.path / "walkers.npz"
        self.result = self.path / "result.json"
        self.plot = self.path / "energy.png"
        self.profile, self.profile_plot = self.path / "profile.csv", self.path / "profile.png"
        self.evaluation = self.path / "evaluation.json"
        self.diffusion, self.diffusion_plot = self.path / "diffusion.json", self.path / "diffusion.png"
        self.diffusion_state = self.path / "diffusion_state.npz"
        self.observables, self.observable_plots = self.path / "observables.npz", self.path / "observables"

    def __fspath__(self) -> str:
        return str(self.path)

    __str__ = __fspath__

    def _error(self, problem: str) -> RunFolderError:
        return RunFolderError(f"{self.name}: {problem}")

    @classmethod
    def claim(cls, run_dir: str | Path | None = None, setting: str = "run_dir") -> RunFolder:
        """Creates the folder of a new run, or takes an empty one, and marks it as taken.

        Only one process can create the mark, so two runs started at once cannot share a folder.

        Args:
            run_dir: the folder; None for a dated one in `runs/`.
            setting: name of the setting that gives it.

        Raises:
            RunFolderError: the path holds something already, is a file, or cannot be written.
        """
        folder, allowed = (
            cls(default_run_dir() if run_dir is None else run_dir, setting),
            "must be a new or an empty folder",
        )
        if folder.holds_checkpoint or (folder._was_killed_early and folder.config.is_file()):
            raise folder._error(f"holds a run that can be continued by --resume; {allowed} without it")
        taken = f"not empty, it may hold another run; {allowed}"
        try:
            n_new = sum(not place.exists() for place in (folder.path, *folder.path.parents))
            folder.path.mkdir(parents=True, exist_ok=True)
            is_empty = not any(folder.path.iterdir())
            if is_empty:
                folder._write_mark(n_new)
        except FileExistsError as error:
            lost_race = error.filename is not None and Path(error.filename) == folder.mark
            raise folder._error(taken if lost_race else f"is a file; {allowed}") from error
        except OSError as error:
            raise folder._error(f"cannot be written ({error.strerror}); {allowed}") from error
        except ValueError as error:  # a name that the file system cannot hold
            raise folder._error(f"no usable path ({error}); {allowed}") from error
        if not is_empty:
            raise folder._error(taken)
        return folder

    @classmethod
    def reopen(cls, run_dir: str | Path | None) -> RunFolder:
        """Returns the folder of a run that can be resumed.

        Raises:
            RunFolderError: run_dir is None, or holds neither a checkpoint nor a run that was killed before its first.
        """
        if run_dir is None:
            raise RunFolderError("run_dir: must be given with --resume; the folder of a run")
        folder = cls(run_dir)
        if not (folder.holds_checkpoint or folder._was_killed_early):
            raise folder._error(f"holds no checkpoint; {_A_RUN}, or be given without --resume")
        return folder

    @classmethod
    def finished(cls, run_dir: str | os.PathLike[str], setting: str = "run_dir") -> RunFolder:
        """Returns the folder of a finished run, with its settings read.

        Args:
            run_dir: the folder.
            setting: name of the setting that gives it.

        Raises:
            RunFolderError: it lacks a file that every finished run has, or its settings cannot be used.
        """
        folder = cls(run_dir, setting)
        try:
            if not (str(run_dir) and folder.path.is_dir()):
                raise folder._error(f"no such folder; {_A_RUN}")
            for file in (folder.config, folder.weights):
                folder.needed(file)
        except OSError as error:  # too long a name
            raise folder._error(f"no usable path ({error.strerror}); {_A_RUN}") from error
        _ = folder.settings
        return folder

    @functools.cached_property
    def settings(self) -> Settings:
        """All settings of the run, read once.

        Raises:
            RunFolderError: they cannot be used.
        """
        try:
            return settings_from(self.config)
        except SettingsError as error:
            raise self._error(f"its {self.config.name} cannot be used ({error}); {_A_RUN}") from error

    @functools.cached_property
    def result_values(self) -> dict[str, Any]:
        """The entries of `result.json`, read once, see `read_result`; empty if there is no such file.

        Raises:
            RunFolderError: it cannot be used.
        """
        try:
            return read_result(self.result) if self.result.is_file() else {}
        except (OSError, ValueError) as error:
            raise self.unreadable(self.result, error) from error

    def of_member(self, label: str) -> RunFolder:
        """Returns the same folder of a family, where later measurements are in files of one member.

        Args:
            label: of the member, as `tf_nqs.config.family.member_label` returns it.
        """
        folder = copy.copy(self)
        folder.evaluation = self.path / f"evaluation_{label}.json"
        folder.observables, folder.observable_plots = (self.path / f"observables_{label}{end}" for end in (".npz", ""))
        return folder

    def files_of_members(self) -> list[Path]:
        """Returns all later measurements of members of a family, see `of_member`."""
        return sorted(one for name in ("evaluation_*.json", "observables_*") for one in self.path.glob(name))

    def unreadable(self, file: Path, error: Exception) -> RunFolderError:
        """Returns the error that says that a file of the folder cannot be read."""
        return self._error(f"its {file.name} cannot be read ({brief(error)}); {_A_RUN}")

    def needed(self, file: Path) -> Path:
        """Returns a file of the folder.

        Raises:
            RunFolderError: it does not exist.
        """
        if not file.is_file():
            raise self._error(f"has no {file.name}; {_A_RUN}")
        return file

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Locks the folder for this process inside the `with` block, and gives back a new one that an error ends early.

        The system unlocks it when the process ends, however that happens.

        Raises:
            RunFolderError: another process has locked it, or it cannot be written, now or later.
        """
        hint = "once it can, --resume continues from the last checkpoint, if there is one"
        with locked(self.path, self.mark.name, LOCKED), folder_errors("run_dir", self.path, hint, True):
            try:
                yield
            except BaseException:
                self.release()
                raise

    @contextlib.contextmanager
    def locked_when_finished(self) -> Iterator[None]:
        """Locks the folder of a finished run for this process inside the `with` block, and writes nothing.

        Raises:
            RunFolderError: another process has locked it, or it cannot be read.
        """
        lock = self.mark if self.mark.is_file() else self.config  # a copy of a run may lack the mark
        with locked(self.path, lock.name, LOCKED):
            yield

    def release(self) -> None:
        """Deletes the mark and the settings of a run that wrote nothing else, and the folders made by `claim`."""
        entries = list(self.path.iterdir())
        if not {entry.name for entry in entries} <= self._before_training:
            return
        text = self.mark.read_text(encoding="ascii", errors="replace").strip() if self.mark.is_file() else ""
        for entry in entries:
            entry.unlink()
        with contextlib.suppress(OSError):  # something else is in it by now
            for place in (self.path, *self.path.parents)[: int(text) if text.isdecimal() else 0]:
                place.rmdir()

    @property
    def holds_checkpoint(self) -> bool:
        """Whether the folder holds a checkpoint, damaged or not."""
        try:
            return any(self.checkpoints.glob("*.index"))
        except (OSError, ValueError):  # a name that is refused elsewhere
            return False

    @property
    def _before_training(self) -> set[str]:
        """Names of all that a run writes before its training begins."""
        return {self.mark.name, self.config.name, f"unfinished-{self.config.name}"}

    @property
    def _was_killed_early(self) -> bool:
        """Whether the folder holds what a run writes before its first checkpoint, no iteration, and nothing else."""
        logs = {place.name for place in (self.metrics, self.windows, self.conditions, self.events, self.checkpoints)}
        try:
            names = {entry.name for entry in self.path.iterdir()}
            metrics = self.metrics.read_bytes() if self.metrics.name in names else b""
        except (OSError, ValueError):  # a name that is refused elsewhere
            return False
        has_iterations = len(metrics.splitlines()) > 1 or self.holds_checkpoint
        return self.mark.name in names and names <= self._before_training | logs and not has_iterations

    def _write_mark(self, n_new: int) -> None:
        """Marks the folder as taken; `release` deletes the last `n_new` folders of its path, which are new."""
        self.mark.touch(exist_ok=False)
        try:
            self.mark.write_text(f"{n_new}\n", encoding="ascii")
        except OSError:
            self.mark.unlink(missing_ok=True)
            raise


def default_run_dir(config: str | None = None) -> str:
    """Returns `runs/<name>-<date>-<time>`, where the name is the stem of the config file or 'run'.

    Args:
        config: path or preset that the run was started from.
    """
    stem = Path(config).stem if config else "run"
    return str(Path("runs", f"{stem}-{time.strftime('%Y%m%d-%H%M%S')}"))


def bears_mark(folder: str | os.PathLike[str], mark: str) -> bool:
    """Returns whether a folder holds a file of that name."""
    try:
        return Path(folder, mark).expanduser().is_file()
    except (OSError, RuntimeError, ValueError):  # e.g. a name that is too long, which claiming refuses in words
        return False


def locked(folder: Path, mark: str, in_use: str, setting: str = "run_dir") -> TextIO:
    """Returns a file in a folder that this process has locked, open; the lock ends when it is closed.

    Raises:
        RunFolderError: another process has locked it; or it cannot be written.
    """
    with contextlib.ExitStack() as stack, folder_errors(setting, folder):
        lock = stack.enter_context(open(folder / mark, "a", encoding="utf-8"))
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RunFolderError(f"{setting} = {shown(str(folder))}: {in_use}") from error
        stack.pop_all()
    return lock
