"""A run in a process of its own, as seen from the one that started it."""

from __future__ import annotations

import functools
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.unit.figures.stand_ins import blank_result
from tf_nqs.config import SettingsError, settings_from
from tf_nqs.experiment import isolated
from tf_nqs.experiment.isolated import RunCrashedError, run_in_subprocess
from tf_nqs.runtime.signals import StopSignals, Terminated, termination_raised
from tf_nqs.storage.result import RunResult
from tf_nqs.storage.run_folder import RunFolder


def settings_of(note):
    """Settings that carry a note to the stand-ins below."""
    return settings_from(None, {"n_particles": 1, "run_dir": str(note)})


# What runs in the other process instead of a training; at the top of a file, so that it can be found there.


def killed(sender, settings, *_):
    os.kill(os.getpid(), signal.SIGKILL)


def ended(sender, settings, *_):
    os._exit(4)


def answers(sender, settings, *_):
    sender.send(RunResult(**{**blank_result(), "energy": float(os.getpid())}))


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


def both_get_ctrl_c(*_):
    """The terminal sends it to both processes; the parent passes its own on."""
    os.kill(os.getpid(), signal.SIGINT)
    os.kill(os.getppid(), signal.SIGINT)


def interrupted_in_training(settings, *_):
    with StopSignals() as stop:
        both_get_ctrl_c()
        while stop.reason is None:
            time.sleep(0.01)
        time.sleep(0.1)  # a second one would end this process
    return RunResult(**{**blank_result(), "stop_reason": stop.reason})


def interrupted_twice_in_training(settings, *_):
    with StopSignals() as stop:
        both_get_ctrl_c()
        while stop.reason is None:
            time.sleep(0.01)
        both_get_ctrl_c()
        time.sleep(60)


def interrupted_before_training(settings, *_):
    both_get_ctrl_c()
    for _ in range(6000):
        time.sleep(0.01)


def terminated_in_training(settings, *_):
    with StopSignals() as stop:
        os.kill(os.getppid(), signal.SIGHUP)
        while stop.reason is None:
            time.sleep(0.01)
    raise Terminated(stop.terminated_by, "7 iterations are done")


def claims_its_folder(settings, *_):
    RunFolder.claim(settings.run.run_dir)


def waits(settings, *_):
    Path(settings.run.run_dir).touch()
    time.sleep(60)


def trains_by(function):
    """As a run's process does, with a stand-in for the training itself."""
    return functools.partial(served, function)


def served(function, theirs, *arguments):
    isolated._train = function
    isolated._run(theirs, *arguments)


def is_running(process_id):
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture
def ctrl_c_raises():
    """As in a shell's foreground; in a background job it is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def in_child(monkeypatch):
    return lambda function: monkeypatch.setattr(isolated, "_run", function)


def test_the_result_is_that_of_another_process(in_child):
    in_child(answers)
    assert run_in_subprocess(settings_of("a")).energy not in (None, os.getpid())


@pytest.mark.parametrize(
    ("function", "problem"),
    [(killed, "its process was killed by signal 9; out of memory?"), (ended, "its process ended with status 4")],
)
def test_the_end_of_the_process_is_told(function, problem, in_child):
    in_child(function)
    with pytest.raises(RunCrashedError, match=f"^{re.escape(problem)}$"):
        run_in_subprocess(settings_of("a"))


def test_an_interrupt_ends_the_process(in_child, tmp_path, ctrl_c_raises):
    in_child(interrupts_its_parent)
    with pytest.raises(KeyboardInterrupt):
        run_in_subprocess(settings_of(tmp_path / "id"))
    assert not is_running(int((tmp_path / "id").read_text()))


def test_a_terminating_signal_lets_the_run_write_its_checkpoint(in_child, tmp_path):
    in_child(trains_until_it_is_told_to_end)
    with pytest.raises(Terminated) as ended, termination_raised():
        run_in_subprocess(settings_of(tmp_path / "note"))
    assert ended.value.code == 129
    assert (tmp_path / "note").read_text() == "terminated"


def test_a_refused_run_is_refused_here(in_child, tmp_path):
    in_child(trains_by(claims_its_folder))
    (tmp_path / "energy.csv").write_text("precious")
    with pytest.raises(SettingsError, match=r"^run_dir = .*not empty"):
        run_in_subprocess(settings_of(tmp_path))


def test_ctrl_c_ends_the_training_alone_where_signals_are_passed_on(in_child, ctrl_c_raises):
    """It reaches both processes, yet counts once: the run is measured, and its result is returned."""
    in_child(trains_by(interrupted_in_training))
    assert run_in_subprocess(settings_of("a"), pass_signals=True).stop_reason == "interrupted"


def test_a_second_ctrl_c_ends_the_run_at_once(in_child, ctrl_c_raises):
    in_child(trains_by(interrupted_twice_in_training))
    with pytest.raises(SystemExit) as ended:
        run_in_subprocess(settings_of("a"), pass_signals=True)
    assert ended.value.code == 130


def test_ctrl_c_before_training_interrupts(in_child, ctrl_c_raises):
    in_child(trains_by(interrupted_before_training))
    with pytest.raises(KeyboardInterrupt):
        run_in_subprocess(settings_of("a"), pass_signals=True)


def test_a_terminating_signal_is_passed_on_and_comes_back_with_advice(in_child):
    in_child(trains_by(terminated_in_training))
    with pytest.raises(Terminated) as ended, termination_raised():
        run_in_subprocess(settings_of("a"), pass_signals=True)
    assert (ended.value.code, ended.value.advice) == (129, "7 iterations are done")


def test_a_run_ends_with_the_process_that_started_it(tmp_path):
    """However that ended."""
    code = (
        "from tests.unit import test_isolated as t; from tf_nqs.experiment import isolated;"
        f"isolated._run = t.trains_by(t.waits); isolated.run_in_subprocess(t.settings_of({str(tmp_path / 'id')!r}))"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parents[2], stdout=subprocess.PIPE)
    while not (tmp_path / "id").is_file():
        assert parent.poll() is None
        time.sleep(0.02)
    parent.kill()
    parent.communicate(timeout=30)  # the output ends when no process is left that holds it
