"""Output on the terminal. A run does not depend on whether its output can be written."""

from __future__ import annotations

import codecs
import contextlib
import io
import logging
import os
import sys
from collections.abc import Iterator
from typing import TextIO

_WORDS = {
    "ħ": "hbar",
    "ω": "*omega",
    "\N{GREEK SMALL LETTER SIGMA}": "sigma",
    "Σ": "sum",
    "√": "sqrt",
    "²": "^2",
    "±": "+-",
    "\N{MINUS SIGN}": "-",
    "\N{MULTIPLICATION SIGN}": "x",
    "·": "*",
    "⟨": "<",
    "⟩": ">",
    "—": "-",
}
"""Character that an encoding may lack -> its replacement; all others become a question mark."""

SPELLED_OUT = "tf_nqs.spelled_out"
"""Name of the error handler that does this."""


def say(text: str) -> None:
    """Prints a line at once.

    After a failed write (closed pipe or terminal, full disk of a log file), nothing more is printed: the training is
    more important than its messages. Characters that the encoding lacks are replaced, see `_WORDS`.
    """
    _write(text, sys.stdout)


def complain(text: str) -> None:
    """Prints a line on standard error, as `say` does on standard output."""
    _write(text, sys.stderr)


@contextlib.contextmanager
def printed_messages(quiet: bool) -> Iterator[None]:
    """Prints the messages that the modules of this package log inside the `with` block.

    Messages of level INFO go to standard output, warnings and errors to standard error. A block inside another one
    replaces it until it ends.

    Args:
        quiet: whether to print only warnings and errors.
    """
    logger, printer = logging.getLogger("tf_nqs"), _Printer()
    before = logger.handlers[:], logger.level, logger.propagate
    logger.handlers = [one for one in logger.handlers if not isinstance(one, _Printer)] + [printer]
    logger.setLevel(logging.WARNING if quiet else logging.INFO)
    logger.propagate = False  # a handler of the root logger would print them again
    try:
        yield
    finally:
        logger.handlers, level, logger.propagate = before
        logger.setLevel(level)


class _Printer(logging.Handler):
    """Prints each message as a line, without a prefix."""

    def emit(self, record: logging.LogRecord) -> None:
        write = complain if record.levelno >= logging.WARNING else say
        write(record.getMessage())


def encode_anything() -> None:
    """Lets standard output replace the characters that its encoding lacks, whatever code prints them.

    Examples are a square sign in ASCII, and a byte of a file name that is not UTF-8. Standard error escapes them
    already. Streams that were closed before the start are connected to the null device.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors=SPELLED_OUT)


def _spell_out(error: UnicodeError) -> tuple[str, int]:
    """The error handler: returns the replacement of the characters, and the position at which encoding continues."""
    assert isinstance(error, UnicodeEncodeError)  # it is used for writing alone
    text = error.object[error.start : error.end]
    return "".join(_WORDS.get(character, "?") for character in text), error.end


codecs.register_error(SPELLED_OUT, _spell_out)


def _write(text: str, stream: TextIO) -> None:
    try:
        try:
            print(text, file=stream, flush=True)
        except UnicodeEncodeError:
            encoding = stream.encoding or "ascii"
            print(text.encode(encoding, SPELLED_OUT).decode(encoding), file=stream, flush=True)
    except OSError:
        _fall_silent(stream)


def _fall_silent(stream: TextIO) -> None:
    """Redirects a stream, with what is still in its buffer, to the null device."""
    with contextlib.suppress(OSError, ValueError):  # where it is no file, as in a notebook
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, stream.fileno())
        finally:
            os.close(nowhere)
