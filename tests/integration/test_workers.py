"""Two workers on this machine: what the others do when one fails, and how the run goes on."""

from __future__ import annotations

import random
import subprocess
import time

import pytest

from benchmarks import faults
from tf_nqs.storage.checkpoints import newest_checkpoint
from tf_nqs.storage.run_folder import RunFolder

PATIENCE = 300.0
"""Seconds; on a busy machine the start takes a minute."""


def wait_until(condition, workers):
    """Waits for a condition, at most as long as all workers live."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end and all(worker.poll() is None for worker in workers)
        time.sleep(0.05)


def test_a_worker_that_is_killed_ends_the_run_with_one_line(tmp_path):
    folder, logs = tmp_path / "run", [tmp_path / f"{worker}.log" for worker in range(2)]
    flags = faults.flags_of(folder, PATIENCE)
    workers = faults.started(["train.py", *flags, "--iterations=1000000"], logs, {})
    try:
        wait_until(lambda: faults.iterations_done(folder) >= 20, workers)
        workers[1].kill()
        assert workers[0].wait(PATIENCE) == 3
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    errors = logs[0].with_suffix(".err").read_text(encoding="utf-8")
    assert errors.startswith("error: another worker has ended") and errors.count("\n") == 1
    checkpoint = newest_checkpoint(RunFolder(folder).checkpoints)  # reads all of it
    assert checkpoint.facts["iteration"] >= 10


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
