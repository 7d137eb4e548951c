"""What is said on the terminal, and that nothing depends on whether it can be."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Callable
from typing import TextIO


def say(text: str) -> None:
    """Prints a line at once.

    Where it cannot be written, as the reader of a pipe is gone, the terminal closed or the disk of a log full, nothing
    is printed from then on: a training is worth more than what it says. Characters that the output's encoding lacks
    are replaced.
    """
    _write(text, sys.stdout)


def complain(text: str) -> None:
    """Prints a line on standard error, as `say` does on standard output."""
    _write(text, sys.stderr)


def speaker(quiet: bool) -> Callable[[str], None]:
    """Returns `say`, or what takes its place where nothing is to be said."""
    return (lambda _: None) if quiet else say


def encode_anything() -> None:
    """Lets standard output replace the characters that its encoding lacks, whoever prints them.

    Such as a square sign in ASCII, or the byte of a file name that is no UTF-8. Standard error does so already.
    """
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="replace")


def _write(text: str, stream: TextIO) -> None:
    try:
        try:
            print(text, file=stream, flush=True)
        except UnicodeEncodeError:
            encoding = stream.encoding or "ascii"
            print(text.encode(encoding, "replace").decode(encoding), file=stream, flush=True)
    except OSError:
        _fall_silent(stream)


def _fall_silent(stream: TextIO) -> None:
    """Lets a stream lead nowhere, for what is still in its buffer too."""
    with contextlib.suppress(OSError, ValueError):  # where it is no file, as in a notebook
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, stream.fileno())
        finally:
            os.close(nowhere)
