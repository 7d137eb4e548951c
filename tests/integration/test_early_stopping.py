"""Early stopping from the command line: the run ends at a window, and its folder says why, or why not."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tf_nqs.analysis import read_metrics
from tf_nqs.commands import train as cli

SMALL = {
    "n_particles": 2,
    "n_features": 4,
    "n_layers": 1,
    "pretrain_iterations": 0,
    "n_walkers": 64,
    "n_burn_in": 50,
    "n_steps": 2,
    "iterations": 60,
    "iterations_per_call": 7,
    "window": 10,
    "target_error": 0.1,
    "evaluation_max_seconds": 5.0,
    "jit_compile": "false",  # these runs are shorter than their compilation
}


def run(folder, **settings):
    """Result, metrics and windows of a small run."""
    flags = [f"--{name}={value}" for name, value in (SMALL | settings).items()]
    assert cli.main(["train.py", *flags, f"--run_dir={folder}"]) == 0
    result = json.loads((folder / "result.json").read_text())
    windows = read_metrics(folder / "windows.csv") if (folder / "windows.csv").exists() else None
    return result, read_metrics(folder / "metrics.csv"), windows


def test_a_run_stops_early_and_says_why(tmp_path, capsys):
    """A tolerance that everything meets but a visible slope; restore_best measures the best window."""
    settings = {"iterations": 150, "early_stopping": "statistical", "gain_tolerance": 1e6, "restore_best": "true"}
    result, metrics, windows = run(tmp_path / "run", **settings)
    assert result["stop_reason"] == "early_stopping"
    assert result["n_iterations"] == len(metrics["iteration"]) == windows["iteration"][-1] < 150
    assert result["n_iterations"] % 10 == 0
    assert result["stop_explanation"].startswith(f"converged at iteration {result['n_iterations']}: slope ")
    assert result["blocking_criteria"] == []
    np.testing.assert_allclose(windows["energy"], metrics["energy"].reshape(-1, 10).mean(axis=1), rtol=1e-12)
    best = windows["iteration"][np.argmin(windows["energy"] + windows["energy_error"])]
    assert result["restored_iteration"] == best
    printed = capsys.readouterr().out
    assert printed.count("window of iterations ") == len(windows["iteration"])
    assert result["stop_explanation"] in printed


@pytest.mark.slow
def test_a_run_that_does_not_converge_says_what_blocked(tmp_path, capsys):
    """The thresholds of the thesis are out of reach of 64 walkers; that five windows do not fit is said before."""
    result, _, windows = run(tmp_path / "run", early_stopping="thesis", iterations=49)
    assert (result["stop_reason"], result["n_iterations"]) == ("iterations", 49)
    assert result["restored_iteration"] is None
    last = [name.removesuffix("_passed") for name in windows if name.endswith("_passed") and windows[name][-1] == 0]
    assert result["blocking_criteria"] == last != []
    assert all(name in result["stop_explanation"] for name in last)
    assert np.isnan(windows["slope"]).tolist() == [True, False, False, False]
    assert "early stopping cannot act before iteration 50" in capsys.readouterr().out


@pytest.mark.slow
def test_without_early_stopping_nothing_is_said(tmp_path):
    result, _, windows = run(tmp_path / "run", iterations=10)
    assert windows is None
    assert [result[name] for name in ("stop_explanation", "blocking_criteria", "restored_iteration")] == [None] * 3
