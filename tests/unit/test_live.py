"""Lines on a terminal that change: what fits is shown whole, and a wait has a clock."""

from __future__ import annotations

import io
import sys
from types import SimpleNamespace

import pytest

from tf_nqs.runtime import live

PARTS = ("iteration 7/90", "energy 10.89(1)", "3:07 left")


@pytest.mark.parametrize(
    ("width", "kept"), [(0, ()), (13, (2,)), (14, (0,)), (30, (0, 2)), (31, (0, 1)), (41, (0, 1)), (42, (0, 1, 2))]
)
def test_parts_are_left_out_whole(width, kept):
    assert live.fitted(PARTS, width) == "  ".join(PARTS[index] for index in kept)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.0, "0:00"), (7.9, "0:07"), (754.0, "12:34"), (3600.0, "1:00:00"), (360000.0, "100:00:00")]
)
def test_durations(seconds, text):
    assert live.duration(seconds) == text


class Terminal(io.StringIO):
    def isatty(self):
        return True


def wait(monkeypatch, stream, **options):
    """Twelve seconds, by a clock that is set by hand."""
    clock = SimpleNamespace(now=5.0, monotonic=lambda: clock.now)
    monkeypatch.setattr(live, "time", clock)
    monkeypatch.setattr(sys, "stdout", stream)
    with live.clock_beside("compiling ...", **options):
        clock.now += 12.0
        before = stream.getvalue()
    return before, stream.getvalue()


def test_a_wait_is_announced_by_a_plain_line_where_there_is_no_terminal(monkeypatch):
    assert wait(monkeypatch, io.StringIO()) == ("compiling ...\n", "compiling ...\n")


def test_a_wait_has_a_clock_on_a_terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    before, shown = wait(monkeypatch, Terminal())
    assert "compiling ... 0:00" in before and "\x1b[?25h" not in before
    assert shown.endswith("compiling ... 0:12\n")
    assert shown.count("\x1b[?25l") == shown.count("\x1b[?25h") == 1  # the cursor comes back


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()])
def test_a_quiet_wait_says_nothing(monkeypatch, stream):
    assert wait(monkeypatch, stream, quiet=True) == ("", "")


def test_an_error_leaves_the_terminal_as_it_was(monkeypatch):
    stream = Terminal()
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setenv("TERM", "xterm")
    with pytest.raises(KeyboardInterrupt), live.clock_beside("compiling ..."):
        raise KeyboardInterrupt
    assert stream.getvalue().count("\x1b[?25h") == 1
