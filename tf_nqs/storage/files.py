"""Files on a disk that may be full or read-only: they are whole or not there, and what fails is told in one line."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from tf_nqs.config.errors import RunFolderError, shown

FAILURES = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO)
"""Errors of the system by which a disk refuses what is to be written."""

MISPLACED = (errno.EISDIR, errno.ENOTDIR)
"""Errors of the system where a folder stands in the place of a file, or the other way round."""


@contextlib.contextmanager
def told_in_one_line(leaf: str, folder: str | Path, hint: str = "", among_others: bool = False) -> Iterator[None]:
    """Turns what the disk refuses inside the `with` block into one line that names the setting of the folder.

    Such as: run_dir = 'runs/a4': cannot be written (No space left on device). TensorFlow has errors of its own for
    that, which only the system's words in their text tell from others.

    Args:
        leaf: setting that names the folder.
        folder: its value.
        hint: end of the line: what is allowed, or how to go on.
        among_others: whether the block does more than writing: then only `FAILURES` and what is `MISPLACED` are turned,
            other errors stay.

    Raises:
        RunFolderError: something in it cannot be written.
    """
    try:
        yield
    except _errors_of_files() as error:
        number = error_number(error)
        if number not in FAILURES + MISPLACED and (among_others or not isinstance(error, OSError)):
            raise
        reason = os.strerror(number) if number in FAILURES else getattr(error, "strerror", None) or str(error)
        end = f"; {hint}" if hint else ""
        raise RunFolderError(f"{leaf} = {shown(str(folder))}: cannot be written ({reason}){end}") from error


def error_number(error: Exception) -> int | None:
    """Returns the system's number of an error, of TensorFlow's by the text; None where it has none."""
    if isinstance(error, OSError):
        return error.errno
    return next((number for number in errno.errorcode if os.strerror(number) in str(error)), None)


def _errors_of_files() -> tuple[type[Exception], ...]:
    """Returns Python's kind of error, and TensorFlow's own, which nothing can raise before it is loaded."""
    tensorflow = sys.modules.get("tensorflow")
    return (OSError,) if tensorflow is None else (OSError, tensorflow.errors.OpError)


def replace_file(path: Path, write: Callable[[Path], object]) -> None:
    """Writes a file under another name first, so that a file of this name is always whole.

    Args:
        path: the file.
        write: writes it, under the name that it is given.

    Raises:
        OSError: it cannot be written; what was there before stays.
    """
    unfinished = path.with_name(f"unfinished-{path.name}")
    try:
        write(unfinished)
        unfinished.replace(path)
    except OSError:
        with contextlib.suppress(OSError):  # as little room as there is, half a file should not take it
            unfinished.unlink(missing_ok=True)
        raise


def replace_text(path: Path, text: str) -> None:
    """Writes a text file as `replace_file` does."""
    replace_file(path, lambda unfinished: unfinished.write_text(text, encoding="utf-8"))
