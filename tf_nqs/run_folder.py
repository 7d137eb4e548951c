"""A run folder belongs to one run: it is claimed before anything is written, and never overwritten."""

from __future__ import annotations

import fcntl
import time
from pathlib import Path
from typing import TextIO

from tf_nqs.config.errors import RunFolderError, shown

CLAIM_FILE = ".claimed"
CONFIG_FILE, WEIGHTS_FILE, METRICS_FILE = "config.toml", "ansatz.weights.h5", "metrics.csv"
RESULT_FILE, PLOT_FILE, WALKERS_FILE = "result.json", "energy.png", "walkers.npz"
PROFILE_FILE, PROFILE_PLOT_FILE = "profile.csv", "profile.png"


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
    taken = f"run_dir = {shown(name)}: not empty, it may hold another run; must be a new or an empty folder"
    try:
        folder = Path(name).expanduser()
        folder.mkdir(parents=True, exist_ok=True)
        is_empty = not any(folder.iterdir())
        if is_empty:
            (folder / CLAIM_FILE).touch(exist_ok=False)
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


def release_run_folder(folder: Path) -> None:
    """Gives back a claimed folder that holds nothing but its mark and its settings, so that it can be used again.

    Args:
        folder: as `claim_run_folder` returned it.
    """
    entries = list(folder.iterdir())
    if all(entry.name in (CLAIM_FILE, CONFIG_FILE) for entry in entries):
        for entry in entries:
            entry.unlink()


def lock_folder(run_dir: str | Path, mark: str, in_use: str) -> TextIO:
    """Takes the folder of several runs for this process alone: a new or an empty one, or one with this very mark.

    Args:
        run_dir: the folder.
        mark: name of the file in it that says what it is.
        in_use: what to say where another process has it.

    Returns:
        The locked mark; the lock ends when it is closed, or with the process, however that ends.

    Raises:
        RunFolderError: the folder holds something else, cannot be written, or is in use.
    """
    folder = Path(run_dir)
    try:
        is_known = (folder / mark).is_file()
    except OSError:  # e.g. a name that is too long, which claiming refuses in words
        is_known = False
    if not is_known:
        claim_run_folder(run_dir)
    try:
        lock = open(folder / mark, "a", encoding="utf-8")
    except OSError as error:
        raise RunFolderError(f"run_dir = {shown(str(run_dir))}: cannot be written ({error.strerror})") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.close()
        raise RunFolderError(f"run_dir = {shown(str(run_dir))}: {in_use}") from error
    return lock
