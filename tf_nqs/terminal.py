"""What is said on the terminal, and that nothing depends on whether it can be."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable


def say(text: str) -> None:
    """Prints a line at once.

    Where it cannot be written, as the reader of a pipe is gone or the disk of a log full, nothing is printed from then
    on: a training is worth more than what it says.
    """
    try:
        print(text, flush=True)
    except OSError:
        _fall_silent()


def speaker(quiet: bool) -> Callable[[str], None]:
    """Returns `say`, or what takes its place where nothing is to be said."""
    return (lambda _: None) if quiet else say


def _fall_silent() -> None:
    """Lets standard output lead nowhere, for what is still in its buffer too."""
    with contextlib.suppress(OSError, ValueError):  # where it is no file, as in a notebook
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, sys.stdout.fileno())
        finally:
            os.close(nowhere)
