"""The folder of a hyper-parameter search: claimed by one search, and taken up again by the same one alone."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from tf_nqs.config import RunFolderError, SettingsError
from tf_nqs.config.errors import shown
from tf_nqs.config.search import Search, changed_setting, search_from, search_to_toml
from tf_nqs.storage.files import replace_text, told_in_one_line
from tf_nqs.storage.run_folder import claim_run_folder, release_run_folder

SEARCH_FILE, LOCK_FILE = "search.toml", ".locked"

HINT = "the same command goes on once it can"
"""What is said where the folder of a search cannot be written any more."""

_SECONDS_BETWEEN_LOOKS = 0.5


@contextlib.contextmanager
def search_folder(search: Search) -> Iterator[Path]:
    """Gives the folder of a search, new or as it was left, to this process alone while inside the `with` block.

    Args:
        search: its `settings.run.run_dir` names the folder.

    Raises:
        RunFolderError: the folder holds something else or another search, is in use, or cannot be written, at first or
            later.
    """
    name = _name(search)
    folder = Path(os.path.expanduser(name))
    if not os.path.isfile(folder / SEARCH_FILE):
        folder = _begun_folder(search, name)
    with contextlib.ExitStack() as stack:
        with told_in_one_line("run_dir", name):
            lock = stack.enter_context(open(folder / LOCK_FILE, "w", encoding="utf-8"))
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # released when the process ends, however it ends
            except BlockingIOError as error:
                raise RunFolderError(f"run_dir = {shown(name)}: another process searches in it") from error
        check_same_search(search, folder)
        stack.enter_context(told_in_one_line("run_dir", name, HINT, among_others=True))
        replace_text(folder / SEARCH_FILE, search_to_toml(search))  # it may have got more trials
        yield folder


def _begun_folder(search: Search, name: str) -> Path:
    """Claims the folder of a new search, and writes what is searched; gives it back if that fails."""
    folder = claim_run_folder(name)
    try:
        with told_in_one_line("run_dir", name):
            replace_text(folder / SEARCH_FILE, search_to_toml(search))
    except RunFolderError:
        release_run_folder(folder)
        raise
    return folder


def _name(search: Search) -> str:
    name = search.settings.run.run_dir
    assert name is not None  # the command line gives a search that names none a dated folder
    return name


def check_same_search(search: Search, folder: Path) -> None:
    """Checks that a folder holds this search.

    Args:
        search: what is asked for.
        folder: has a `search.toml`.

    Raises:
        RunFolderError: it holds another search; the text names what differs.
    """
    path = folder / SEARCH_FILE
    try:
        begun = search_from(str(path))
    except SettingsError as error:
        raise RunFolderError(f"run_dir = {shown(str(folder))}: its {SEARCH_FILE} cannot be read ({error})") from error
    changed = changed_setting(begun, search)
    if changed:
        raise RunFolderError(
            f"run_dir = {shown(str(folder))}: holds a search with another config ({changed}); "
            "must be a new folder or the same search"
        )


def wait_for_search(search: Search, max_seconds: float) -> Path:
    """Returns the folder of a search that the chief process has begun or is about to begin.

    Args:
        search: as for `search_folder`.
        max_seconds: longest time to wait for the chief.

    Raises:
        RunFolderError: no search was begun in it, or another one.
    """
    folder = Path(os.path.expanduser(_name(search)))
    deadline = time.monotonic() + max_seconds
    while not os.path.isfile(folder / SEARCH_FILE):
        if time.monotonic() > deadline:
            raise RunFolderError(
                f"run_dir = {shown(str(folder))}: no chief began a search in it within {max_seconds:g} seconds"
            )
        time.sleep(_SECONDS_BETWEEN_LOOKS)
    check_same_search(search, folder)
    return folder
