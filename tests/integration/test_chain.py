"""A chain whose stages run in processes of their own, as the command line starts it."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]

CHAIN = """
n_particles = 1
n_features = 2
n_layers = 1
n_walkers = 8
n_steps = 1
n_burn_in = 2
iterations = 4
pretrain_iterations = 0
optimizer = "adam"
reference_max_seconds = 0.0
target_error = 1.0
evaluation_max_seconds = 0.1
jit_compile = false
[[stage]]
[[stage]]
iterations = 1000000
iterations_per_call = 5
"""


def test_ctrl_c_measures_the_stage_and_ends_the_chain(tmp_path):
    """From the terminal it reaches all processes of the chain, yet only once."""
    (tmp_path / "chain.toml").write_text(CHAIN)
    folder = tmp_path / "chain"
    process = subprocess.Popen(
        [sys.executable, "train.py", f"--config={tmp_path / 'chain.toml'}", f"--run_dir={folder}"],
        **{"cwd": ROOT, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True},
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    metrics = folder / "stage_2" / "metrics.csv"
    while not (metrics.is_file() and metrics.read_bytes().count(b"\n") > 10):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    printed, errors = process.communicate(timeout=300)
    assert (process.returncode, errors) == (130, "")
    lines = printed.splitlines()
    assert lines.index("stage 1 of 2") < lines.index("stage 2 of 2")
    assert sum(line.startswith("interrupted: training ends after ") for line in lines) == 1
    assert json.loads((folder / "stage_2" / "result.json").read_text())["stop_reason"] == "interrupted"
    with open(folder / "summary.csv", newline="") as file:
        assert [row["stop_reason"] for row in csv.DictReader(file)] == ["iterations", "interrupted"]
