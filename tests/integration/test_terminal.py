"""What a command says does not decide over what it does: the reader may be gone, the disk of the log full."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from tf_nqs.config import load_toml
from tf_nqs.experiment.start import find_start
from tf_nqs.storage.run_folder import RunFolder

ROOT = Path(__file__).parents[2]
SMALL = {
    "n_particles": 2,
    "n_features": 4,
    "n_layers": 1,
    "n_walkers": 32,
    "n_burn_in": 20,
    "pretrain_iterations": 0,
    "target_error": 0.5,
    "reference_max_seconds": 0,
    "evaluation_max_seconds": 1,
    "jit_compile": "false",
}


def command(folder, **changes):
    return [
        sys.executable,
        ROOT / "train.py",
        *(f"--{k}={v}" for k, v in (SMALL | changes).items()),
        f"--run_dir={folder}",
    ]


def without_reader():
    """Returns the writing end of a pipe that nobody reads from."""
    reader, writer = os.pipe()
    os.close(reader)
    return writer


@pytest.mark.slow
@pytest.mark.parametrize("place", ["broken pipe", "full disk"])
def test_a_training_that_nobody_can_read_of_goes_on(place, tmp_path):
    stdout = without_reader() if place == "broken pipe" else os.open("/dev/full", os.O_WRONLY)
    try:
        done = subprocess.run(
            command(tmp_path / "run", iterations=20), stdout=stdout, stderr=subprocess.PIPE, timeout=300, check=False
        )
    finally:
        os.close(stdout)
    assert (done.returncode, done.stderr) == (0, b"")
    assert json.loads((tmp_path / "run" / "result.json").read_text())["n_iterations"] == 20


def test_ctrl_c_of_a_pipe_keeps_what_was_reached(tmp_path):
    """As with `train.py | tee log`: tee ends at once, and the training, which nobody reads, must not end with it."""
    folder = tmp_path / "run"
    stdout = without_reader()
    process = subprocess.Popen(
        command(folder, iterations=10**6, iterations_per_call=5), stdout=stdout, stderr=subprocess.PIPE
    )
    os.close(stdout)
    metrics, waited_until = folder / "metrics.csv", time.monotonic() + 200
    while not (metrics.is_file() and metrics.read_bytes().count(b"\n") > 5):
        assert process.poll() is None and time.monotonic() < waited_until
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=200)
    assert (process.returncode, stderr) == (130, b"")
    result, n_rows = json.loads((folder / "result.json").read_text()), metrics.read_bytes().count(b"\n") - 1
    assert RunFolder(folder).holds_checkpoint and result["energy"] is not None
    assert (result["stop_reason"], result["n_iterations"]) == ("interrupted", n_rows)


def test_a_closed_terminal_ends_training_with_a_checkpoint(tmp_path, messages):
    folder = tmp_path / "run"
    arguments = command(folder, iterations=10**6, iterations_per_call=5)
    terminal, its_end = pty.openpty()
    streams = dict.fromkeys(("stdin", "stdout", "stderr"), its_end)
    own_terminal = {"start_new_session": True, "preexec_fn": lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0)}
    process = subprocess.Popen(arguments, **streams, **own_terminal)
    os.close(its_end)
    try:
        metrics, waited_until = folder / "metrics.csv", time.monotonic() + 200
        while not (metrics.is_file() and metrics.read_bytes().count(b"\n") > 5):
            assert process.poll() is None and time.monotonic() < waited_until
            time.sleep(0.05)
    finally:
        os.close(terminal)
    assert process.wait(200) == 128 + signal.SIGHUP
    n_rows = metrics.read_bytes().count(b"\n") - 1
    settings = load_toml(folder / "config.toml")
    assert find_start(settings, RunFolder(folder)).iteration == n_rows >= 5
    assert messages == [f"resumed after {n_rows} iterations; training to 1000000"]


def test_help_can_be_cut_off():
    stdout = without_reader()
    try:
        done = subprocess.run(
            [sys.executable, ROOT / "train.py", "--help"],
            stdout=stdout,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )
    finally:
        os.close(stdout)
    assert (done.returncode, done.stderr) == (0, b"")
