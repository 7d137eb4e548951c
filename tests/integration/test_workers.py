"""Two workers on this machine: what the others do when one fails, and how the run goes on."""

from __future__ import annotations

import contextlib
import random
import signal
import subprocess
import time

import pytest

from benchmarks import faults
from tf_nqs.storage.checkpoints import newest_checkpoint
from tf_nqs.storage.run_folder import RunFolder

PATIENCE = 300.0
"""Seconds; on a busy machine the start takes a minute."""

LOST = (
    "error: another worker has ended or does not answer; start all of them again with --resume, which continues from "
    "the last checkpoint\n"
)


def wait_until(condition, workers):
    """Waits for a condition, at most as long as all workers live."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end and all(worker.poll() is None for worker in workers)
        time.sleep(0.05)


COMMAND = """
import os, signal, sys, time
from tf_nqs.commands.command import Command, main
from tf_nqs.commands.flags import switch_flag
from tf_nqs.config.distribution import DistributionSettings
from tf_nqs.runtime.startup import import_tensorflow

def work(given):
    import_tensorflow()
    from tf_nqs.execution.workers import joined
    workers = joined(DistributionSettings(strategy="multi_worker"))
    workers.wait()
    if not workers.is_chief:
        os.kill(os.getpid(), signal.SIGKILL)
    workers.wait()

sys.exit(main(Command("a", "b", "c", "d", lambda: [switch_flag("e", "f")], work), ["command"]))
"""
"""A command of two workers, of whom one is killed between two sums."""


def test_a_worker_that_is_killed_ends_the_other_with_one_line(tmp_path):
    logs = [tmp_path / f"{worker}.log" for worker in range(2)]
    script = tmp_path / "command.py"
    script.write_text(COMMAND, encoding="utf-8")
    chief, other = workers = faults.started([str(script)], logs, {}, own=((), ()), strategy=())
    try:
        assert other.wait(PATIENCE) == -signal.SIGKILL
        assert chief.wait(PATIENCE) == 3  # it notices long before the ten minutes of worker_timeout
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    assert logs[0].with_suffix(".err").read_text(encoding="utf-8") == LOST


@contextlib.contextmanager
def long_training(folder, logs):
    """Two workers in the middle of a training, which are gone after the `with` block."""
    flags = faults.flags_of(folder, PATIENCE)
    workers = faults.started(["train.py", *flags, "--iterations=1000000"], logs, {})
    try:
        wait_until(lambda: faults.iterations_done(folder) >= 20, workers)
        yield workers
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()


@pytest.mark.slow
def test_a_training_whose_worker_is_killed_leaves_a_whole_checkpoint(tmp_path):
    folder, logs = tmp_path / "run", [tmp_path / f"{worker}.log" for worker in range(2)]
    with long_training(folder, logs) as workers:
        workers[1].kill()
        assert workers[0].wait(PATIENCE) == 3
    assert logs[0].with_suffix(".err").read_text(encoding="utf-8") == LOST
    checkpoint = newest_checkpoint(RunFolder(folder).checkpoints)  # reads all of it
    assert checkpoint.facts["iteration"] >= 10


@pytest.mark.slow
def test_a_signal_to_one_worker_ends_the_training_of_all(tmp_path):
    folder, logs = tmp_path / "run", [tmp_path / f"{worker}.log" for worker in range(2)]
    with long_training(folder, logs) as workers:
        workers[1].terminate()
        assert [worker.wait(PATIENCE) for worker in workers] == [128 + signal.SIGTERM] * 2
    done = newest_checkpoint(RunFolder(folder).checkpoints).facts["iteration"]
    for log in logs:
        line = f"terminated by SIGTERM; {done} iterations are done, --resume continues\n"
        assert log.with_suffix(".err").read_text(encoding="utf-8") == line


@pytest.mark.slow
@pytest.mark.parametrize("number", range(1, 1 + len(faults.FAULTS)))
def test_faults(number, tmp_path):
    ending = faults.suffer(faults.FAULTS[number - 1], tmp_path / "run", 30.0, random.Random(number), PATIENCE)
    assert ending.problems() == []


@pytest.mark.slow
def test_other_settings_on_a_worker_are_refused_on_all(tmp_path):
    logs = [tmp_path / f"{worker}.log" for worker in range(2)]
    folder = tmp_path / "run"
    flags = ["train.py", *faults.flags_of(folder, PATIENCE)]
    workers = faults.started(flags, logs, {}, [["--seed=1"], ["--seed=2"]])
    try:
        assert [worker.wait(PATIENCE) for worker in workers] == [2, 2]
    finally:
        for worker in workers:
            worker.kill()
    for log in logs:
        assert log.read_text(encoding="utf-8") == ""
        assert log.with_suffix(".err").read_text(encoding="utf-8") == (
            "error: strategy = multi_worker: worker 1 has other settings, or another version, than worker 0; all must "
            "be started by the same command\n"
        )
    assert not folder.exists()


@pytest.mark.slow
def test_a_folder_that_the_chief_refuses_ends_all(tmp_path):
    logs = [tmp_path / f"{worker}.log" for worker in range(2)]
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "something").touch()
    workers = faults.started(["train.py", *faults.flags_of(folder, PATIENCE)], logs, {})
    try:
        assert [worker.wait(PATIENCE) for worker in workers] == [2, 2]
    except subprocess.TimeoutExpired:
        pytest.fail("a worker waits for one that has left")
    finally:
        for worker in workers:
            worker.kill()
    chief, other = (log.with_suffix(".err").read_text(encoding="utf-8") for log in logs)
    assert "not empty, it may hold another run" in chief
    assert other == "error: strategy = multi_worker: worker 0 has refused, and says why\n"
