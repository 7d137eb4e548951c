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
from tf_nqs.run_folder import claim_run_folder

SEARCH_FILE, LOCK_FILE = "search.toml", ".locked"

_SECONDS_BETWEEN_LOOKS = 0.5


@contextlib.contextmanager
def search_folder(search: Search) -> Iterator[Path]:
    """Gives the folder of a search, new or as it was left, to this process alone while inside the `with` block.

    Args:
        search: its `settings.run.run_dir` names the folder.

    Raises:
        RunFolderError: the folder holds something else or another search, cannot be written, or is in use.
    """
    name = _name(search)
    folder = Path(os.path.expanduser(name))
    if not os.path.isfile(folder / SEARCH_FILE):
        folder = claim_run_folder(name)
        (folder / f"unfinished-{SEARCH_FILE}").write_text(search_to_toml(search), encoding="utf-8")
        (folder / f"unfinished-{SEARCH_FILE}").replace(folder / SEARCH_FILE)
    with contextlib.ExitStack() as stack:
        try:
            lock = stack.enter_context(open(folder / LOCK_FILE, "w", encoding="utf-8"))
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # released when the process ends, however it ends
        except BlockingIOError as error:
            raise RunFolderError(f"run_dir = {shown(name)}: another process searches in it") from error
        except OSError as error:
            raise RunFolderError(f"run_dir = {shown(name)}: cannot be written ({error.strerror})") from error
        check_same_search(search, folder)
        yield folder


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
