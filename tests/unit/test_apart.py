"""A run in a process of its own, as seen from the one that started it."""

from __future__ import annotations

import os
import signal
import time

import pytest

from tf_nqs.config import settings_from
from tf_nqs.experiment import isolated as apart
from tf_nqs.experiment.isolated import Outcome, run_apart
from tf_nqs.runtime.signals import StopSignals, Terminated, termination_raised


def settings_of(note):
    """Settings that carry a note to the stand-ins below."""
    return settings_from(None, {"n_particles": 1, "run_dir": str(note)})


# What runs in the other process instead of a training; at the top of a file, so that it can be found there.


def killed(sender, settings, *_):
    os.kill(os.getpid(), signal.SIGKILL)


def ended(sender, settings, *_):
    os._exit(4)


def answers(sender, settings, *_):
    sender.send(Outcome(float(os.getpid()), 0.5))


def interrupts_its_parent(sender, settings, *_):
    with open(settings.run.run_dir, "w") as file:
        file.write(str(os.getpid()))
    os.kill(os.getppid(), signal.SIGINT)
    time.sleep(60)


def trains_until_it_is_told_to_end(sender, settings, *_):
    with StopSignals() as stop:
        os.kill(os.getppid(), signal.SIGHUP)
        while stop.reason is None:
            time.sleep(0.01)
    with open(settings.run.run_dir, "w") as file:
        file.write(stop.reason)


def is_running(process_id):
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture
def in_child(monkeypatch):
    return lambda function: monkeypatch.setattr(apart, "_run", function)


def test_the_outcome_is_that_of_another_process(in_child):
    in_child(answers)
    outcome = run_apart(settings_of("a"))
    assert outcome.energy != os.getpid() and (outcome.energy_error, outcome.problem) == (0.5, None)


@pytest.mark.parametrize(
    ("function", "problem"),
    [(killed, "its process was killed by signal 9; out of memory?"), (ended, "its process ended with status 4")],
)
def test_the_end_of_the_process_is_an_outcome(function, problem, in_child):
    in_child(function)
    assert run_apart(settings_of("a")) == Outcome(problem=problem)


def test_an_interrupt_ends_the_process(in_child, tmp_path):
    in_child(interrupts_its_parent)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # it is ignored in a shell's background job
    try:
        with pytest.raises(KeyboardInterrupt):
            run_apart(settings_of(tmp_path / "id"))
    finally:
        signal.signal(signal.SIGINT, before)
    assert not is_running(int((tmp_path / "id").read_text()))


def test_a_terminating_signal_lets_the_run_write_its_checkpoint(in_child, tmp_path):
    in_child(trains_until_it_is_told_to_end)
    with pytest.raises(Terminated) as ended, termination_raised():
        run_apart(settings_of(tmp_path / "note"))
    assert ended.value.code == 129
    assert (tmp_path / "note").read_text() == "terminated"


def test_bad_settings_are_a_problem(tmp_path):
    (tmp_path / "energy.csv").write_text("precious")
    problem = run_apart(settings_of(tmp_path)).problem
    assert problem.startswith("run_dir = ") and "not empty" in problem
