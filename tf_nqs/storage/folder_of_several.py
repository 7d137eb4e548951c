"""The folder of several runs: of a chain, a search, a curve or figures. A mark in it says what it is."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from tf_nqs.storage.files import folder_errors
from tf_nqs.storage.run_folder import LOCKED, RunFolder, bears_mark, locked


@contextlib.contextmanager
def lock_folder(
    run_dir: str | Path, mark: str, in_use: str = LOCKED, lock_file: str | None = None, setting: str = "run_dir"
) -> Iterator[None]:
    """Locks a folder of several runs for this process: a new or an empty one, or one with this very mark.

    It is unlocked at the end of the `with` block, or with the process, however that ends.

    Args:
        run_dir: the folder.
        mark: name of the file in it that says what it is.
        in_use: message if another process has locked it.
        lock_file: name of the file to lock; None for the mark itself.
        setting: name of the setting that gives the folder.

    Raises:
        RunFolderError: the folder holds something else, is locked, or cannot be written, now or later.
    """
    if not bears_mark(run_dir, mark):
        RunFolder.claim(run_dir, setting)
    with (
        locked(Path(run_dir).expanduser(), lock_file or mark, in_use, setting),
        folder_errors(setting, run_dir, "the same command continues once it can", among_others=True),
    ):
        yield
