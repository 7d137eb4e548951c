"""Ctrl-C and SIGTERM are noted at once, a second Ctrl-C leaves even in compiled code, nothing is left behind."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tf_nqs.stop_signals import StopSignals

REPOSITORY = Path(__file__).resolve().parents[2]

SLEEPER = """
import time
from tf_nqs.stop_signals import StopSignals
with StopSignals(lambda text: print(text, flush=True)):
    print("ready", flush=True)
    time.sleep(60)
"""
"""Sleeps in one call of C: Python returns to it after a handler, so only the thread can end it."""


@pytest.mark.parametrize(
    ("signals", "reason"),
    [
        ([signal.SIGINT], "interrupted"),
        ([signal.SIGTERM], "terminated"),
        ([signal.SIGTERM, signal.SIGTERM], "terminated"),  # some batch systems send it twice
        ([signal.SIGINT, signal.SIGTERM], "terminated"),
    ],
)
def test_signals_are_noted_and_said_once(signals, reason):
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    said, told = [], threading.Event()
    with StopSignals(lambda text: (said.append(text), told.set())) as stop:
        assert stop.reason is None
        for number in signals:
            signal.raise_signal(number)
        assert stop.reason == reason
        assert told.wait(10)
    assert len(said) == 1 and "Ctrl-C leaves at once" in said[0]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
    assert signal.set_wakeup_fd(-1) == -1
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_ignored_signals_stay_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with StopSignals(print) as stop:
            signal.raise_signal(signal.SIGINT)
            assert stop.reason is None and signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_other_threads_have_no_signals():
    found = []

    def enter():
        with StopSignals(print) as stop:
            found.append(stop.reason)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert found == [None]


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
def test_a_second_ctrl_c_leaves_at_once(first):
    process = subprocess.Popen([sys.executable, "-c", SLEEPER], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(first)
        assert process.stdout.readline().endswith("Ctrl-C leaves at once\n")  # while it sleeps
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
