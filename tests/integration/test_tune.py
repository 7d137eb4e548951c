"""`python -m tf_nqs.tune` for real: trials that train, their best as a preset, continued training, several workers."""

from __future__ import annotations

import csv
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest

from tf_nqs import tune
from tf_nqs.commands import train as cli
from tf_nqs.config import load_toml, settings_from
from tf_nqs.experiment.build import build_ansatz, build_system, build_trainer

ROOT = Path(__file__).parents[2]

SEARCH = """
[search]
tuner = "random"
max_trials = 2
seconds_per_trial = 0.5
[search.space]
learning_rate = {low = 0.05, high = 0.2, scale = "log"}
n_steps = {choices = [1, 2]}
[system]
n_particles = 2
[ansatz]
n_features = 4
n_layers = 1
[sampling]
n_walkers = 16
n_burn_in = 10
[training]
optimizer = "adam"
jit_compile = false
[evaluation]
target_error = 0.05
evaluation_max_seconds = 30.0
[run]
seed = 1
"""


@pytest.fixture
def config(tmp_path, monkeypatch):
    for name in tune.WORKER_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "search.toml").write_text(SEARCH)
    return tmp_path / "search.toml"


def rows_of(folder):
    with open(folder / "trials.csv", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_the_best_of_a_search_is_repeated_by_train(config, tmp_path, capsys):
    folder = tmp_path / "search"
    assert tune.main(["tune", f"--config={config}", f"--run_dir={folder}", "--max_trials=1"]) == 0
    printed = capsys.readouterr()
    assert printed.err == "" and f"train.py --config={folder / 'best.toml'}" in printed.out
    rows = rows_of(folder)
    assert [row["status"] for row in rows] == ["completed"]
    for row in rows:  # every trial is a run folder, trained for its seconds: to the end of a call, after a burn-in
        trial = folder / "trials" / row["trial"]
        assert json.loads((trial / "result.json").read_text())["stop_reason"] == "time_limit"
        assert load_toml(trial / "config.toml").training.learning_rate == float(row["learning_rate"])
        assert float(row["seconds_training"]) >= 0.5
    best = rows[0]
    assert (folder / "trials.png").stat().st_size > 10_000
    arguments = [f"--config={folder / 'best.toml'}", f"--run_dir={tmp_path / 'again'}", "--quiet"]
    assert cli.main(["train.py", *arguments]) == 0
    again = json.loads((tmp_path / "again" / "result.json").read_text())
    assert again["n_iterations"] == int(best["n_iterations"])
    # The same seed and the same graph: only the order of a few float32 sums may differ, which the training amplifies.
    sigma = np.hypot(again["energy_error"], float(best["energy_error"]))
    assert abs(again["energy"] - float(best["energy"])) < 4 * sigma


@pytest.mark.slow
def test_continued_training_is_the_uninterrupted_one(tmp_path):
    """What Hyperband does between two rounds: the state of one trainer, optimiser included, goes on in another."""
    overrides = {"n_particles": 2, "n_features": 4, "n_walkers": 16, "n_burn_in": 5, "jit_compile": False}
    settings = settings_from(None, overrides)

    def trainer(seed):
        keras.utils.set_random_seed(seed)
        return build_trainer(settings, build_system(settings), build_ansatz(settings))

    whole, second = trainer(0), trainer(1)
    whole.fit(10)
    whole.save_weights(tmp_path / "state.weights.h5")
    whole.fit(10)
    second.load_weights(tmp_path / "state.weights.h5")
    second.fit(10)
    assert int(second.iteration) == int(second.optimizer.iterations) == 20
    for one, other in zip(whole.ansatz.get_weights(), second.ansatz.get_weights(), strict=True):
        # Sums of the same numbers, whose order TensorFlow's threads may change; another seed is off by tenths.
        np.testing.assert_allclose(one, other, atol=1e-3)
    np.testing.assert_allclose(whole.natural_gradient.previous, second.natural_gradient.previous, atol=1e-2)
    np.testing.assert_array_equal(whole.seed, second.seed)


def start(config, folder, tuner_id=None, port=None, **settings):
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    if tuner_id:
        environment |= dict(zip(tune.WORKER_VARIABLES, (tuner_id, "127.0.0.1", str(port)), strict=True))
    arguments = [f"--{name}={value}" for name, value in settings.items()]
    command = [sys.executable, "-m", "tf_nqs.tune", f"--config={config}", f"--run_dir={folder}", *arguments]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    # In a shell's background job Ctrl-C is ignored, by its children too.
    reset = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}
    return subprocess.Popen(command, cwd=ROOT, env=environment, **streams, **reset)


def finish(process):
    output, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors
    return output


@pytest.mark.slow
@pytest.mark.parametrize("tuner", ["bayesian", "hyperband"])
def test_a_chief_and_two_workers(tuner, config, tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder, settings = tmp_path / "search", {"tuner": tuner, "max_trials": 6, "random_trials": 3}
    workers = [start(config, folder, name, port, **settings) for name in ("worker1", "worker2")]
    chief = start(config, folder, "chief", port, **settings)
    outputs = [finish(worker) for worker in workers]
    table = finish(chief)
    rows = rows_of(folder)
    assert [row["status"] for row in rows] == ["completed"] * 6
    # Each worker did some of the trials, no two the same.
    done = [{line.split()[1].strip(":") for line in output.splitlines() if ": energy" in line} for output in outputs]
    assert all(done) and not done[0] & done[1] and done[0] | done[1] == {row["trial"] for row in rows}
    assert f"--config={folder / 'best.toml'}" in table
    assert load_toml(folder / "best.toml").training.optimizer == "adam"


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_search_resumes(how, config, tmp_path):
    folder = tmp_path / "search"
    process = start(config, folder, seconds_per_trial=5)
    while not (folder / "trials" / "1" / "metrics.csv").is_file():  # the second trial trains
        assert process.poll() is None
        time.sleep(0.1)
    process.send_signal(how)
    process.communicate(timeout=600)
    assert process.returncode == (130 if how == signal.SIGINT else -signal.SIGKILL)
    finished = (folder / "trials" / "0" / "result.json").stat().st_mtime_ns
    assert "resuming a search of 2 trials" in finish(start(config, folder, seconds_per_trial=5))
    assert (folder / "trials" / "0" / "result.json").stat().st_mtime_ns == finished
    assert [row["status"] for row in rows_of(folder)] == ["completed"] * 2
    refused = start(config, folder, seconds_per_trial=6)
    _, error = refused.communicate(timeout=600)
    assert refused.returncode == 2 and "(seconds_per_trial: was 5.0, is 6.0)" in error and error.count("\n") == 1
