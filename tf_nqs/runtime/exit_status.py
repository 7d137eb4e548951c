"""How every command ends: its exit status, and one line on stderr where it did not finish.

0 done, 2 bad input, 3 the computation failed, 130 interrupted, 128 + signal terminated (143 for SIGTERM).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import NoReturn

from tf_nqs.config import SettingsError
from tf_nqs.runtime.signals import Terminated, termination_raised
from tf_nqs.runtime.terminal import complain, encode_anything

BAD_INPUT = 2
EXIT_STATUS = {"failed": 3, "interrupted": 130}
"""Stop reason of a training -> exit status; 0 for every other reason."""


class WorkFailedError(Exception):
    """The input was valid, but the computation failed; the message is one line."""


def exit_status_of(work: Callable[[], int | None], interrupted: str) -> int:
    """Does the work of a command and returns its exit status.

    Args:
        work: does the work of the command; returns the exit status, None for 0.
        interrupted: message after Ctrl-C or a terminating signal: the state of the files, and how to continue. The
            text of a `KeyboardInterrupt`, or the advice of a `Terminated`, takes its place.
    """
    encode_anything()
    try:
        with termination_raised():
            return work() or 0
    except (SettingsError, WorkFailedError) as error:
        complain(f"error: {error}")
        return BAD_INPUT if isinstance(error, SettingsError) else EXIT_STATUS["failed"]
    except KeyboardInterrupt as end:
        complain(f"interrupted; {str(end) or interrupted}")
        return EXIT_STATUS["interrupted"]
    except Terminated as end:
        complain(f"terminated by {end.signal_name}; {end.advice or interrupted}")
        return end.status


def leave(status: int) -> NoReturn:
    """Ends the process at once, without the clean-up of Python and TensorFlow.

    For a worker whose others wait for it: they miss an abrupt end within seconds, but not a clean one.

    Args:
        status: of the process.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):  # closed
            continue
    os._exit(status)
