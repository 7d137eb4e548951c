"""A run folder belongs to one run: it is claimed before anything is written, and never overwritten."""

from __future__ import annotations

import contextlib
import fcntl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from tf_nqs.config import RunFolderError, Settings, SettingsError, settings_from
from tf_nqs.config.errors import brief, shown
from tf_nqs.storage.files import told_in_one_line
from tf_nqs.storage.result import read_result

CLAIM_FILE, CHAIN_MARK = ".claimed", ".chain"
CHECKPOINT_FOLDER, EVENTS_FOLDER = "checkpoints", "tensorboard"
CONFIG_FILE, WEIGHTS_FILE, METRICS_FILE = "config.toml", "ansatz.weights.h5", "metrics.csv"
WINDOWS_FILE = "windows.csv"
RESULT_FILE, PLOT_FILE, WALKERS_FILE = "result.json", "energy.png", "walkers.npz"
PROFILE_FILE, PROFILE_PLOT_FILE = "profile.csv", "profile.png"
EVALUATION_FILE = "evaluation.json"
OBSERVABLES_FILE, OBSERVABLES_FOLDER = "observables.npz", "observables"

_BEFORE_TRAINING = (CLAIM_FILE, CONFIG_FILE, f"unfinished-{CONFIG_FILE}")
"""All that a run has written before its training begins."""

_BEFORE_CHECKPOINT = (*_BEFORE_TRAINING, METRICS_FILE, WINDOWS_FILE, EVENTS_FOLDER, CHECKPOINT_FOLDER)
"""All that a run has written before its first checkpoint, which is that of iteration 0, is whole."""


def default_run_dir(config: str | None = None) -> str:
    """Returns `runs/<name>-<date>-<time>`, where the name is the stem of the config file or 'run'.

    Args:
        config: path or preset that the run was started from.
    """
    stem = Path(config).stem if config else "run"
    return str(Path("runs", f"{stem}-{time.strftime('%Y%m%d-%H%M%S')}"))


def claim_run_folder(run_dir: str | Path | None = None) -> Path:
    """Creates the folder of a run, or takes an empty one, and marks it as taken.

    The mark is a file that only one process can create, so two runs started at once cannot share a folder.

    Args:
        run_dir: the folder; None for a dated one in `runs/`.

    Returns:
        The folder.

    Raises:
        RunFolderError: it holds something already, is no folder, or cannot be written.
    """
    name = default_run_dir() if run_dir is None else str(run_dir)
    if holds_checkpoint(name) or (bears_mark(name, CONFIG_FILE) and _was_killed_early(name)):
        raise RunFolderError(
            f"run_dir = {shown(name)}: holds a run that can be continued by --resume; "
            "must be a new or an empty folder without it"
        )
    taken = f"run_dir = {shown(name)}: not empty, it may hold another run; must be a new or an empty folder"
    try:
        folder = Path(name).expanduser()
        n_new = sum(not place.exists() for place in (folder, *folder.parents))
        folder.mkdir(parents=True, exist_ok=True)
        is_empty = not any(folder.iterdir())
        if is_empty:
            _write_mark(folder / CLAIM_FILE, n_new)
    except FileExistsError as error:
        lost_race = error.filename is not None and Path(error.filename).name == CLAIM_FILE
        problem = taken if lost_race else f"run_dir = {shown(name)}: is a file; must be a new or an empty folder"
        raise RunFolderError(problem) from error
    except OSError as error:
        raise RunFolderError(
            f"run_dir = {shown(name)}: cannot be written ({error.strerror}); must be a new or an empty folder"
        ) from error
    except (RuntimeError, ValueError) as error:  # no such user for '~user'; a name the file system cannot hold
        raise RunFolderError(
            f"run_dir = {shown(name)}: no usable path ({error}); must be a new or an empty folder"
        ) from error
    if not is_empty:
        raise RunFolderError(taken)
    return folder


def _write_mark(mark: Path, n_new: int) -> None:
    """Marks a folder as taken, of which so many parts of the path are new, for `release_run_folder`."""
    mark.touch(exist_ok=False)
    try:
        mark.write_text(f"{n_new}\n", encoding="ascii")
    except OSError:
        mark.unlink(missing_ok=True)
        raise


def _was_killed_early(run_dir: str | Path) -> bool:
    """Returns whether a folder holds what a run writes before its first checkpoint, no iteration, and nothing else."""
    try:
        folder = Path(run_dir).expanduser()
        names = {entry.name for entry in folder.iterdir()}
        metrics = (folder / METRICS_FILE).read_bytes() if METRICS_FILE in names else b""
    except (OSError, RuntimeError, ValueError):  # a name that is refused elsewhere
        return False
    has_iterations = len(metrics.splitlines()) > 1 or holds_checkpoint(folder)
    return CLAIM_FILE in names and names <= set(_BEFORE_CHECKPOINT) and not has_iterations


def holds_checkpoint(run_dir: str | Path) -> bool:
    """Returns whether a folder holds a checkpoint of a run, damaged or not."""
    try:
        return any(Path(run_dir, CHECKPOINT_FOLDER).expanduser().glob("*.index"))
    except (OSError, RuntimeError, ValueError):  # a name that is refused elsewhere
        return False


def given_run_dir(run_dir: str | Path | None) -> str:
    """Returns the setting of that name.

    Raises:
        RunFolderError: it is not given, but only a folder that exists can be resumed.
    """
    if run_dir is None:
        raise RunFolderError("run_dir: must be given with --resume; the folder of a run")
    return str(run_dir)


def reopen_run_folder(run_dir: str | Path | None) -> Path:
    """Returns the folder of a run that can be resumed.

    Args:
        run_dir: the folder.

    Raises:
        RunFolderError: it is not given, or holds neither a checkpoint nor a run that was killed before its
            training began.
    """
    folder = Path(given_run_dir(run_dir))
    if holds_checkpoint(folder) or _was_killed_early(folder):
        return folder.expanduser()
    raise RunFolderError(
        f"run_dir = {shown(str(run_dir))}: holds no checkpoint; "
        "must be the folder of a run, or be given without --resume"
    )


@contextlib.contextmanager
def locked_run_folder(folder: Path) -> Iterator[None]:
    """Keeps other processes from the folder of a run inside the `with` block; a process that is killed locks nothing.

    Args:
        folder: as `claim_run_folder` or `reopen_run_folder` returned it.

    Raises:
        RunFolderError: another process is at it, or it cannot be written, at first or later.
    """
    lock = _locked(folder, CLAIM_FILE, "another process is at this run; must wait until it has ended")
    hint = "once it can, --resume goes on from the last checkpoint, if there is one"
    with lock, told_in_one_line("run_dir", folder, hint, among_others=True):
        yield


def release_run_folder(folder: Path) -> None:
    """Gives back a claimed folder that holds nothing but its mark and its settings; what was new is there no more.

    Args:
        folder: as `claim_run_folder` returned it.
    """
    entries = list(folder.iterdir())
    if not all(entry.name in _BEFORE_TRAINING for entry in entries):
        return
    mark = folder / CLAIM_FILE
    text = mark.read_text(encoding="ascii", errors="replace").strip() if mark.is_file() else ""
    for entry in entries:
        entry.unlink()
    with contextlib.suppress(OSError):  # something else is in it by now
        for place in (folder, *folder.parents)[: int(text) if text.isdecimal() else 0]:
            place.rmdir()


def settings_of_run(run_dir: str | Path, leaf: str = "run_dir") -> Settings:
    """Returns the settings of a finished run.

    Args:
        run_dir: the folder.
        leaf: the setting that names it.

    Raises:
        RunFolderError: it lacks a file that every finished run has, or its settings cannot be used.
    """
    name, allowed = f"{leaf} = {shown(str(run_dir))}", "must be the folder of a run"
    try:
        folder = Path(run_dir).expanduser()
        if not (str(run_dir) and folder.is_dir()):
            raise RunFolderError(f"{name}: no such folder; {allowed}")
        for file in (CONFIG_FILE, WEIGHTS_FILE):
            if not (folder / file).is_file():
                raise RunFolderError(f"{name}: has no {file}; {allowed}")
    except (OSError, RuntimeError) as error:  # too long a name, no such user
        reason = getattr(error, "strerror", None) or error
        raise RunFolderError(f"{name}: no usable path ({reason}); {allowed}") from error
    try:
        return settings_from(str(folder / CONFIG_FILE))
    except SettingsError as error:
        raise RunFolderError(f"{name}: its {CONFIG_FILE} cannot be used ({error}); {allowed}") from error


def result_of_run(run_dir: str | Path) -> dict[str, Any]:
    """Returns what the `result.json` of a run holds, see `read_result`; nothing where there is none.

    Raises:
        RunFolderError: it cannot be used.
    """
    file = Path(run_dir).expanduser() / RESULT_FILE
    try:
        return read_result(file) if file.is_file() else {}
    except (OSError, ValueError) as error:
        reason = brief(error)
        raise RunFolderError(
            f"run_dir = {shown(str(run_dir))}: its {RESULT_FILE} cannot be read ({reason}); must be the folder of a run"
        ) from error


@contextlib.contextmanager
def lock_folder(run_dir: str | Path, mark: str, in_use: str, lock_file: str | None = None) -> Iterator[None]:
    """Takes the folder of several runs for this process alone: a new or an empty one, or one with this very mark.

    It is given back at the end of the `with` block, or with the process, however that ends.

    Args:
        run_dir: the folder.
        mark: name of the file in it that says what it is.
        in_use: what to say where another process has it.
        lock_file: name of the file to lock; None for the mark itself.

    Raises:
        RunFolderError: the folder holds something else, is in use, or cannot be written, at first or later.
    """
    if not bears_mark(run_dir, mark):
        claim_run_folder(run_dir)
    with (
        _locked(Path(run_dir).expanduser(), lock_file or mark, in_use),
        told_in_one_line("run_dir", run_dir, "the same command goes on once it can", among_others=True),
    ):
        yield


def bears_mark(run_dir: str | Path, mark: str) -> bool:
    """Returns whether a folder holds a file of that name."""
    try:
        return Path(run_dir, mark).expanduser().is_file()
    except (OSError, RuntimeError, ValueError):  # e.g. a name that is too long, which claiming refuses in words
        return False


def _locked(folder: Path, mark: str, in_use: str) -> TextIO:
    with contextlib.ExitStack() as stack, told_in_one_line("run_dir", folder):
        lock = stack.enter_context(open(folder / mark, "a", encoding="utf-8"))
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RunFolderError(f"run_dir = {shown(str(folder))}: {in_use}") from error
        stack.pop_all()
    return lock
