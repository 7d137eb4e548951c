"""The folder of a hyper-parameter search, which only the same search may continue."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from tf_nqs.config import RunFolderError, SettingsError
from tf_nqs.config.errors import shown
from tf_nqs.config.search import Search, changed_setting, search_from, search_to_toml
from tf_nqs.storage.files import folder_errors, replace_text
from tf_nqs.storage.folder_of_several import lock_folder
from tf_nqs.storage.run_folder import RunFolder, bears_mark

SEARCH_FILE, LOCK_FILE = "search.toml", ".locked"

HINT = "the same command continues once it can"
"""How to continue after the folder of a search could not be written."""

_SECONDS_BETWEEN_LOOKS = 0.5


@contextlib.contextmanager
def search_folder(search: Search) -> Iterator[Path]:
    """Locks the folder of a search, new or begun, for this process inside the `with` block.

    Args:
        search: its `settings.run.run_dir` names the folder.

    Raises:
        RunFolderError: the folder holds something else or another search, is in use, or cannot be written, at first or
            later.
    """
    name = _name(search)
    if not bears_mark(name, SEARCH_FILE):
        _begin_folder(search, name)
    with lock_folder(name, SEARCH_FILE, lock_file=LOCK_FILE):
        folder = Path(name).expanduser()
        check_same_search(search, folder)
        replace_text(folder / SEARCH_FILE, search_to_toml(search))  # it may have got more trials
        yield folder


def _begin_folder(search: Search, name: str) -> None:
    """Claims the folder of a new search and writes its settings; releases the folder if that fails."""
    folder = RunFolder.claim(name)
    try:
        with folder_errors("run_dir", name):
            replace_text(folder.path / SEARCH_FILE, search_to_toml(search))
    except RunFolderError:
        folder.release()
        raise


def _name(search: Search) -> str:
    name = search.settings.run.run_dir
    assert name is not None  # the command line fills in a dated folder
    return name


def check_same_search(search: Search, folder: Path) -> None:
    """Checks that a folder holds this search.

    Args:
        search: requested now.
        folder: has a `search.toml`.

    Raises:
        RunFolderError: it holds another search; the text names the difference.
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
    """Waits until the chief process has begun a search, and returns its folder.

    Args:
        search: as for `search_folder`.
        max_seconds: longest time to wait for the chief.

    Raises:
        RunFolderError: no search was begun in it in time, or another one.
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
