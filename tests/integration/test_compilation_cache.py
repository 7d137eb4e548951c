"""Runs that find traced and compiled functions of earlier ones give the same numbers as runs that make them."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SMALL = {"n_particles": 2, "interaction_strength": 5.0, "n_features": 8, "n_walkers": 64, "n_burn_in": 20}
SHORT = {"iterations": 5, "target_error": 0.5, "evaluation_max_seconds": 1, "optimizer": "spring"}


def start(folder, name, *flags):
    """Starts a training of its own, with a cache in a folder."""
    given = [f"--{name}={value}" for name, value in (SMALL | SHORT).items()]
    command = [sys.executable, ROOT / "train.py", *given, "--quiet", f"--run_dir={folder / name}", *flags]
    environment = os.environ | {"XDG_CACHE_HOME": str(folder / "cache")}
    return subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True)


def ended(process, folder, name):
    """Waits; returns the rows of metrics.csv as texts, without the seconds, and all other numbers of the last bit."""
    errors = process.communicate(timeout=600)[1]
    assert (process.returncode, errors) == (0, "")
    with open(folder / name / "metrics.csv", newline="") as file:
        rows = [{key: value for key, value in row.items() if key != "seconds"} for row in csv.DictReader(file)]
    assert len(rows) == SHORT["iterations"]
    return rows


def train(folder, name, *flags):
    return ended(start(folder, name, *flags), folder, name)


def kept(folder):
    return sorted(path for path in (folder / "cache" / "tf_nqs").rglob("*") if path.is_file())


def kept_names(folder):
    return {path.name.rpartition(".")[0] for path in kept(folder)}


def test_a_second_start_gives_the_same_numbers(tmp_path):
    """Its graphs are read: only a process of its own shows that they need nothing of the one that has traced them."""
    expected = train(tmp_path, "cold")
    names = kept_names(tmp_path)
    assert Counter(Path(name).suffix for name in names) == {".pb": 4, ".npz": 1}
    assert train(tmp_path, "warm") == expected
    assert kept_names(tmp_path) == names  # all was found


@pytest.mark.slow
def test_cold_warm_damaged_and_shared_caches_give_the_same_numbers(tmp_path):
    expected = train(tmp_path, "without", "--nocompilation_cache")
    assert not (tmp_path / "cache" / "tf_nqs").exists()
    both = {name: start(tmp_path, name) for name in ("cold", "cold_too")}
    for name, process in both.items():
        assert ended(process, tmp_path, name) == expected
    names = kept_names(tmp_path)
    # Sampling, local energy, scores, the linear system, and the graphs: both runs call them the same.
    assert len(names) == 5

    assert train(tmp_path, "warm") == expected
    assert train(tmp_path, "other_seed", "--seed=5", "--interaction_strength=5.5") != expected
    assert kept_names(tmp_path) == names  # all was found

    for path in kept(tmp_path)[:-1]:
        path.write_bytes(path.read_bytes()[:-7])
    assert train(tmp_path, "damaged") == expected
    assert kept_names(tmp_path) == names


@pytest.mark.slow
def test_a_killed_run_has_kept_what_it_has_compiled(tmp_path):
    process = start(tmp_path, "killed", "--iterations=1000000", "--checkpoint_iterations=1")
    while not (tmp_path / "killed" / "metrics.csv").is_file() or not kept(tmp_path):
        assert process.poll() is None, process.stderr.read()
    process.kill()
    process.communicate()
    assert any("process-" not in str(path) for path in kept(tmp_path))
