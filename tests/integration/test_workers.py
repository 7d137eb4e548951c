"""Two workers on this machine: what the others do when one fails, and how the run goes on."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks import faults
from examples.several_workers import free_ports, place_of
from tf_nqs.storage.checkpoints import newest_checkpoint
from tf_nqs.storage.run_folder import RunFolder

ROOT = Path(__file__).parents[2]
PATIENCE = 300.0
"""Seconds; on a busy machine the start takes a minute."""

LOST = "error: another worker has ended or does not answer; restart all workers"
LOST_IN_TRAINING = f"{LOST} with --resume, which continues from the last checkpoint\n"


def wait_until(condition, workers):
    """Waits for a condition, at most as long as all workers live."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end and all(worker.poll() is None for worker in workers)
        time.sleep(0.05)


COMMANDS = """
import json, os, signal, sys
from tf_nqs.commands.command import Command, main
from tf_nqs.commands.flags import switch_flag
from tf_nqs.config.distribution import DistributionSettings
from tf_nqs.runtime import startup

startup.import_tensorflow()
from tf_nqs.execution.workers import joined
from tf_nqs.runtime import strategy

def work_of(fault):
    def work(given):
        if fault == "devices" and '"index": 1' in os.environ["TF_CONFIG"]:
            check = strategy._check_numbers_of_devices
            strategy._check_numbers_of_devices = lambda cluster, own, timeout: check(cluster, 2, timeout)
        workers = joined(DistributionSettings(strategy="multi_worker"))
        workers.wait()
        if not workers.is_chief:
            if fault == "leave":
                return 0
            os.kill(os.getpid(), signal.Signals[fault])
        workers.wait()
    return work

started = {}
for fault, places in json.loads(sys.argv[1]).items():
    for number, place in enumerate(places):
        process = os.fork()
        if process == 0:
            os.environ["TF_CONFIG"] = place
            os.dup2(os.open(f"{fault}_{number}.err", os.O_WRONLY | os.O_CREAT), 2)
            command = Command("a", "b", "c", "d", lambda: [switch_flag("e", "f")], work_of(fault))
            sys.exit(main(command, ["command"]))
        started[fault, number] = process
statuses = {}
for key in sorted(started, key=lambda key: key[1]):  # the chiefs first: one of the others is stopped
    if key == ("SIGSTOP", 1):
        os.kill(started[key], signal.SIGKILL)
    statuses[" ".join(map(str, key))] = os.waitstatus_to_exitcode(os.waitpid(started[key], 0)[1])
print(json.dumps(statuses))
"""
"""Commands of two workers each, which are copies of one process, so that it alone loads TensorFlow. With a fault one of
the two ends or stops between two sums; or it has another number of devices."""


def test_a_command_whose_other_worker_has_gone_ends_with_one_line(tmp_path):
    """And so do all workers of one where they have different numbers of devices."""
    faults_here = ("SIGKILL", "SIGSTOP", "leave", "devices")
    addresses = iter(f"localhost:{port}" for port in free_ports(2 * len(faults_here)))
    places = {}
    for fault in faults_here:
        both = [next(addresses), next(addresses)]
        places[fault] = [place_of(worker, both) for worker in range(2)]
    script = tmp_path / "commands.py"
    script.write_text(COMMANDS, encoding="utf-8")
    command = [sys.executable, str(script), json.dumps(places)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            printed, _ = process.communicate(timeout=PATIENCE)  # ends long before the ten minutes of worker_timeout
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    assert json.loads(printed.splitlines()[-1]) == {
        "SIGKILL 0": 3,
        "SIGKILL 1": -signal.SIGKILL,
        "SIGSTOP 0": 3,
        "SIGSTOP 1": -signal.SIGKILL,
        "leave 0": 3,
        "leave 1": 0,
        "devices 0": 2,
        "devices 1": 2,
    }
    for fault in faults_here[:3]:
        assert (tmp_path / f"{fault}_0.err").read_text(encoding="utf-8") == f"{LOST}\n"
    for worker in range(2):
        assert (tmp_path / f"devices_{worker}.err").read_text(encoding="utf-8") == (
            "error: strategy = multi_worker: the workers have 1, 2 devices; all must have the same number "
            "(CUDA_VISIBLE_DEVICES hides some)\n"
        )


@contextlib.contextmanager
def long_training(folder, logs):
    """Two workers in the middle of a training, which are gone after the `with` block."""
    flags = faults.flags_of(folder, 2, PATIENCE)
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
    assert logs[0].with_suffix(".err").read_text(encoding="utf-8") == LOST_IN_TRAINING
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
    flags = ["train.py", *faults.flags_of(folder, 2, PATIENCE)]
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
    workers = faults.started(["train.py", *faults.flags_of(folder, 2, PATIENCE)], logs, {})
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
