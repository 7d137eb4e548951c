"""Signals are noted at once, a second Ctrl-C leaves even in compiled code, nothing is left behind."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tf_nqs.runtime import exit_status
from tf_nqs.runtime.signals import TERMINATING, StopSignals, Terminated, termination_raised

REPOSITORY = Path(__file__).resolve().parents[2]

SLEEPER = """
import time
from tf_nqs.runtime.signals import StopSignals
from tf_nqs.runtime.terminal import printed_messages
with printed_messages(quiet=False), StopSignals():
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
        ([signal.SIGHUP], "terminated"),  # the terminal was closed
        ([signal.SIGUSR1, signal.SIGTERM], "terminated"),  # SLURM's warning, then its end
    ],
)
def test_signals_are_noted_and_said_once(signals, reason, messages):
    before = [signal.getsignal(number) for number in (signal.SIGINT, *TERMINATING)]
    with StopSignals() as stop:
        assert stop.reason is None
        for number in signals:
            signal.raise_signal(number)
        assert stop.reason == reason
        assert stop.terminated_by == next((number for number in signals if number in TERMINATING), None)
        waited_until = time.monotonic() + 10
        while not messages and time.monotonic() < waited_until:  # another thread logs it
            time.sleep(0.01)
    assert len(messages) == 1 and "Ctrl-C exits at once" in messages[0]
    assert [signal.getsignal(number) for number in (signal.SIGINT, *TERMINATING)] == before
    assert signal.set_wakeup_fd(-1) == -1
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])  # as in a shell's background job, and by nohup
def test_ignored_signals_stay_ignored(number):
    before = signal.signal(number, signal.SIG_IGN)
    try:
        with termination_raised(), StopSignals() as stop:
            signal.raise_signal(number)
            assert stop.reason is None and signal.getsignal(number) is signal.SIG_IGN
    finally:
        signal.signal(number, before)


def test_a_handler_of_the_users_own_is_kept():
    came = []
    before = signal.signal(signal.SIGUSR1, lambda number, frame: came.append(number))
    try:
        with termination_raised(), StopSignals() as stop:
            signal.raise_signal(signal.SIGUSR1)
        assert came == [signal.SIGUSR1] and stop.reason is None
    finally:
        signal.signal(signal.SIGUSR1, before)


@pytest.mark.parametrize("number", TERMINATING)
def test_a_command_ends_with_a_line_and_the_status_of_a_shell(number, capsys):
    def work():
        with StopSignals() as stop:  # while it trains the signal is a wish
            pass
        assert stop.reason is None
        signal.raise_signal(number)

    before = signal.getsignal(number)
    assert exit_status.exit_status_of(work, "nothing was written") == 128 + number
    assert capsys.readouterr().err == f"terminated by {number.name}; nothing was written\n"
    assert signal.getsignal(number) is before


def test_only_the_first_terminating_signal_is_obeyed():
    with pytest.raises(Terminated) as ended, termination_raised():
        try:
            signal.raise_signal(signal.SIGHUP)
        finally:
            signal.raise_signal(signal.SIGTERM)  # while the first one is being obeyed
    assert ended.value.code == 129


def test_other_threads_have_no_signals():
    found = []

    def enter():
        with StopSignals() as stop:
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
        assert process.stdout.readline().endswith("Ctrl-C exits at once\n")  # while it sleeps
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
