"""Ctrl-C and SIGTERM as a wish: what is running ends at its next opportunity, instead of in the middle of something."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType

REASONS: dict[int, str] = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}
"""Signal -> stop reason of the training that it ends."""


class StopSignals:
    """Context manager that notes SIGINT and SIGTERM; a Ctrl-C after either of them leaves the process at once.

    Python's own handlers wait until compiled code returns, which may take minutes. So a thread of its own is told of
    the signals as they come. Signals that are ignored stay so; outside of the main thread, to which Python gives all
    signals, nothing is done.

    Args:
        say: is given a line when a signal comes.

    Attributes:
        reason: stop reason by the signal that has come, "interrupted" or "terminated"; None before.
    """

    def __init__(self, say: Callable[[str], None]):
        self.reason: str | None = None
        self._say = say
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
                if signal.getsignal(number) not in (signal.SIG_IGN, None):  # None: set by other code than Python's
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
        """Python's handler: so that the reason is known at the latest when the code that was interrupted goes on."""
        del frame
        self.reason = "terminated" if self.reason == "terminated" else REASONS[number]

    def _listen(self) -> None:
        told = False
        while number := os.read(self._reader, 1)[0]:
            if number not in self._handlers:
                continue
            if told and number == signal.SIGINT:
                _leave(number)
            self._note(number, None)
            if not told:
                told = True
                self._say(f"{self.reason}: training ends after the present iterations; Ctrl-C leaves at once")


def _leave(number: int) -> None:
    """Ends the process in the way of a shell's child that was killed by a signal."""
    if sys.stdout.isatty():
        os.write(sys.stdout.fileno(), b"\x1b[?25h\n")  # the live progress line has hidden the cursor
    os._exit(128 + number)
