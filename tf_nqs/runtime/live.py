"""Lines on a terminal that change with time: the progress of a training, a clock while something is compiled."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from tf_nqs.runtime.terminal import say

GAP = "  "
"""Text between two parts of a line."""

_SHORTEST_BAR, _LONGEST_BAR = 10, 24
"""Widths of the bar in characters; it uses the space that the parts leave free."""

_REFRESHES_PER_SECOND = 4


def fitted(parts: Sequence[str], width: int) -> str:
    """Returns the parts of a line, most important first, that fit into its width; no part is cut.

    Args:
        parts: the parts of the line.
        width: maximum number of characters.
    """
    kept: list[str] = []
    for part in parts:
        if len(GAP.join([*kept, part])) <= width:
            kept.append(part)
    return GAP.join(kept)


def duration(seconds: float) -> str:
    """Returns minutes and seconds as 0:07 or 12:34, with hours as 1:02:03."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class _Line:
    """A line for Rich that is made again for each drawing, so that it fits a terminal that changes its width.

    Args:
        parts: returns the parts of the line, most important first.
        share: returns the completed share of the work, for a bar; None for no bar.
    """

    def __init__(self, parts: Callable[[], Sequence[str]], share: Callable[[], float] | None = None):
        self.parts = parts
        self.share = share

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        del console
        text = fitted(self.parts(), options.max_width)
        room = options.max_width - len(text) - len(GAP)
        line = Table.grid(padding=(0, len(GAP), 0, 0))
        cells: list[Text | ProgressBar] = [Text(text, no_wrap=True)]
        if self.share and room >= _SHORTEST_BAR:
            cells.append(ProgressBar(1.0, min(self.share(), 1.0), width=min(room, _LONGEST_BAR)))
        line.add_row(*cells)
        yield line


def live_line(
    parts: Callable[[], Sequence[str]], share: Callable[[], float] | None = None, console: Console | None = None
) -> Live:
    """Returns a line that refreshes several times a second from its `start` to its `stop`, and then disappears.

    Args:
        parts: returns the parts of the line, most important first.
        share: returns which share of the work is done, for a bar; None for no bar.
        console: where to draw the line; None for standard output.
    """
    console = console or Console(file=sys.stdout)
    return Live(_Line(parts, share), console=console, transient=True, refresh_per_second=_REFRESHES_PER_SECOND)


@contextlib.contextmanager
def clock_beside(text: str, quiet: bool = False) -> Iterator[None]:
    """Prints a message before the `with` block; on a terminal a clock next to it runs until the block ends.

    Args:
        text: the message, e.g. "compiling ...".
        quiet: whether to print nothing.
    """
    if quiet or not sys.stdout.isatty():
        if not quiet:
            say(text)
        yield
        return
    started = time.monotonic()

    def with_clock() -> str:
        return f"{text} {duration(time.monotonic() - started)}"

    line = live_line(lambda: [with_clock()])
    with contextlib.suppress(OSError):  # the terminal was closed, which is no reason to stop
        line.start(refresh=True)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            line.stop()
    say(with_clock())
