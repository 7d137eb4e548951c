"""Graceful handling of SIGINT and of the signals that terminate a run: training stops after the current iterations."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from types import FrameType

logger = logging.getLogger(__name__)

TERMINATING = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU)
"""Signals that terminate a run, sent by `kill`, a closed terminal, a batch system, a CPU time limit."""

REASONS: dict[int, str] = {signal.SIGINT: "interrupted", **dict.fromkeys(TERMINATING, "terminated")}
"""Signal -> stop reason of the training that it ends."""


class Terminated(SystemExit):
    """Ends the process after a terminating signal, with the exit status 128 + signal.

    Args:
        number: number of the signal.
        advice: how to continue; None for the advice of the command.
    """

    def __init__(self, number: int, advice: str | None = None):
        super().__init__(128 + number)
        self.args = (number, advice)  # by which it is made again where it was sent to another process
        self.status = 128 + number
        self.number = number
        self.advice = advice

    @property
    def signal_name(self) -> str:
        """Name of the signal, such as SIGTERM."""
        return signal.Signals(self.number).name


@contextlib.contextmanager
def termination_raised() -> Iterator[None]:
    """Raises `Terminated` in the `with` block at the first terminating signal; ignored signals stay ignored.

    Does nothing outside the main thread, because Python delivers signals only there.
    """
    raised = False

    def end(number: int, frame: FrameType | None) -> None:
        nonlocal raised
        del frame
        if not raised:  # some batch systems send it twice; the first one is already being handled
            raised = True
            raise Terminated(number)

    with _handled(TERMINATING, end):
        yield


def signals_passed_on(send: Callable[[int], object]) -> AbstractContextManager[None]:
    """Calls a function with the number of every signal that ends a run, inside the `with` block; nothing else happens.

    Signals that are ignored stay so. Outside of the main thread, to which Python gives all signals, nothing is done.

    Args:
        send: for another process; what it raises because that process has ended is ignored.
    """

    def pass_on(number: int, frame: FrameType | None) -> None:
        del frame
        with contextlib.suppress(OSError):
            send(number)

    return _handled(REASONS, pass_on)


@contextlib.contextmanager
def _handled(numbers: Iterable[int], handle: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    before = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.signal(number, handle) for number in numbers if _may_be_taken(number)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _may_be_taken(number: int) -> bool:
    """Returns whether a handler may be replaced.

    A handler that ignores its signal stays. For signals without a fixed meaning only the default and our own handlers
    are replaced.
    """
    handler = signal.getsignal(number)
    if handler in (signal.SIG_IGN, None):  # None: set by other code than Python's
        return False
    is_ours = getattr(handler, "__module__", None) == __name__
    return number in (signal.SIGINT, signal.SIGTERM) or handler is signal.SIG_DFL or is_ours


class StopSignals:
    """Context manager that records SIGINT and the terminating signals; a Ctrl-C after one of them exits at once.

    Python's own handlers wait until compiled code returns, which may take minutes, so a separate thread reads the
    signals as they arrive. Ignored signals stay ignored. Does nothing outside the main thread, because Python delivers
    signals only there.

    Attributes:
        reason: stop reason of the training, "interrupted" or "terminated"; None before any signal.
        terminated_by: number of the first terminating signal; None before any.
    """

    def __init__(self) -> None:
        self.reason: str | None = None
        self.terminated_by: int | None = None
        self._handlers: dict[int, signal._HANDLER] = {}
        self._thread: threading.Thread | None = None

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():
            self._reader, self._writer = os.pipe()
            os.set_blocking(self._writer, False)  # as a signal handler must not wait
            self._thread = threading.Thread(target=self._listen, daemon=True)
            self._thread.start()
            self._descriptor_before = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
            for number in REASONS:
                if _may_be_taken(number):
                    self._handlers[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread:
            for number, handler in self._handlers.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(self._descriptor_before)
            os.write(self._writer, b"\0")  # ends the thread
            self._thread.join()
            os.close(self._reader)
            os.close(self._writer)

    def _note(self, number: int, frame: FrameType | None) -> None:
        """Python's handler: sets the reason at the latest when the interrupted code continues."""
        del frame
        if self.terminated_by is None and number in TERMINATING:
            self.terminated_by = number
        self.reason = "interrupted" if self.terminated_by is None else "terminated"

    def _listen(self) -> None:
        is_announced = False
        while number := os.read(self._reader, 1)[0]:
            if number not in self._handlers:
                continue
            if is_announced and number == signal.SIGINT:
                _leave(number)
            self._note(number, None)
            if not is_announced:
                is_announced = True
                logger.info(f"{self.reason}: training ends after the current iterations; Ctrl-C exits at once")


def _leave(number: int) -> None:
    """Ends the process with the status that a shell reports for one killed by a signal."""
    if sys.stdout.isatty():
        os.write(sys.stdout.fileno(), b"\x1b[?25h\n")  # the progress line has hidden the cursor
    os._exit(128 + number)
