"""Files on a disk that may be full or read-only: written whole or not at all, with errors of one line."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import sys
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from tf_nqs.config.errors import RunFolderError, shown, why

FAILURES = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO)
"""System errors of a disk that cannot be written."""

MISPLACED = (errno.EISDIR, errno.ENOTDIR)
"""System errors of a folder in the place of a file, or the other way round."""


UNREADABLE_ARRAYS = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)
"""Errors of NumPy that reads a damaged .npz file, and of taking the wanted entries out of it.

A changed bit may ask for a way to unpack that does not exist, a password, or an array larger than any memory.
"""


@contextlib.contextmanager
def folder_errors(leaf: str, folder: str | Path, hint: str = "", among_others: bool = False) -> Iterator[None]:
    """Converts file-system errors raised in the `with` block into a RunFolderError that names the setting.

    Such as: run_dir = 'runs/a4': cannot be written (No space left on device). TensorFlow raises errors of its own,
    which are recognised by the system's words in their text.

    Args:
        leaf: setting that names the folder.
        folder: its value.
        hint: end of the line: what is allowed, or how to continue.
        among_others: whether the block does more than writing; then only `FAILURES` and `MISPLACED` are converted.

    Raises:
        RunFolderError: a file of the folder cannot be written.
    """
    try:
        yield
    except _errors_of_files() as error:
        number = error_number(error)
        if number not in FAILURES + MISPLACED and (among_others or not isinstance(error, OSError)):
            raise
        reason = os.strerror(number) if number in FAILURES else why(error)
        end = f"; {hint}" if hint else ""
        raise RunFolderError(f"{leaf} = {shown(str(folder))}: cannot be written ({reason}){end}") from error


def error_number(error: Exception) -> int | None:
    """Returns the system's number of an error, for TensorFlow's errors by their text; None if there is none."""
    if isinstance(error, OSError):
        return error.errno
    return next((number for number in errno.errorcode if os.strerror(number) in str(error)), None)


def _errors_of_files() -> tuple[type[Exception], ...]:
    """Returns Python's class of file errors, and TensorFlow's own once TensorFlow is loaded."""
    tensorflow = sys.modules.get("tensorflow")
    return (OSError,) if tensorflow is None else (OSError, tensorflow.errors.OpError)


def replace_file(path: Path, write: Callable[[Path], object]) -> None:
    """Writes a file under another name first, then renames it, so that a file of this name is always whole.

    Args:
        path: the file.
        write: writes it to the path that it is given.

    Raises:
        OSError: it cannot be written; an earlier file stays as it was.
    """
    unfinished = path.with_name(f"unfinished-{path.name}")
    try:
        write(unfinished)
        unfinished.replace(path)
    except BaseException:  # Ctrl-C, say
        with contextlib.suppress(OSError):  # half a file should not take the little room that there is
            unfinished.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def one_at_a_time(folder: Path) -> Iterator[None]:
    """Waits until no other process is in such a block of the same folder.

    For the moment in which a command writes: a measurement in the same folder at the same time has files of the same
    names. The whole files of the last one stay.

    Args:
        folder: exists. Nothing is written into it.
    """
    opened = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX)
        yield
    finally:
        os.close(opened)


def replace_text(path: Path, text: str) -> None:
    """Writes a text file as `replace_file` does."""
    replace_file(path, lambda unfinished: unfinished.write_text(text, encoding="utf-8"))
