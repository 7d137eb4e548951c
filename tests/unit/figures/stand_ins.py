"""Run folders as runs leave them, with made-up numbers."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import get_args, get_origin, get_type_hints

import numpy as np

from tf_nqs.analysis.profile import WHOLE, WORDS, PhaseTime, write_profile
from tf_nqs.config import to_toml
from tf_nqs.experiment.isolated import RunCrashedError
from tf_nqs.storage.result import RunResult
from tf_nqs.storage.run_folder import RunFolder

REFERENCE = 10.0


def blank_result():
    """Returns what `result.json` holds of a run of which nothing is known: null, 0 or empty, as the types allow."""
    kinds = get_type_hints(RunResult)
    return {
        name: None if type(None) in get_args(kind) else (get_origin(kind) or kind)() for name, kind in kinds.items()
    }


def write_run(settings, n_iterations=40, seed=0, resume=False, **changes):
    """Writes config, result, metrics and profile of an arm; `changes` are those of its result."""
    folder = (RunFolder.reopen if resume else RunFolder.claim)(settings.run.run_dir).path
    (folder / "config.toml").write_text(to_toml(settings))
    metrics = make_metrics(n_iterations, settings.reweighting.resampling != "every_iteration", seed)
    result = {
        "energy": 10.2,
        "energy_error": 0.1,
        "reference_energy": REFERENCE,
        "reference_uncertainty": 0.01,
        "deviation_in_sigma": 2.0,
        "n_iterations": n_iterations,
        "n_samplings": int(metrics["sampled"].sum()),
        "n_parameters": 8712,
        "n_trainable_parameters": 264 if settings.transfer.freeze_equivariant else 8712,
        "stop_reason": "iterations",
        "stop_explanation": "not converged: noise",
        "seconds_training": 20.0,
        "seconds_total": 30.0,
        "versions": {"python": "3"},
    }
    numbers = blank_result()
    (folder / "result.json").write_text(json.dumps(numbers | result | changes))
    with open(folder / "metrics.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(metrics)
        writer.writerows(zip(*metrics.values(), strict=True))
    if settings.run.profile:
        rows = [PhaseTime(phase, 1e-3, 100, 1e-3, float("nan") if phase == WHOLE else 0.2) for phase in WORDS]
        if settings.reweighting.resampling == "every_iteration":  # no iteration calls the forward pass on its own
            rows[1] = PhaseTime("forward", 1e-3, 0, 0.0, 0.0)
        write_profile(rows, folder / "profile.csv", 100)


def make_metrics(n_iterations, reuses, seed):
    """A falling, noisy energy; reused samples serve for four iterations."""
    iterations = np.arange(1, n_iterations + 1)
    n_waited = (iterations - 1) % 5 if reuses else np.zeros(n_iterations, int)
    noise = np.random.default_rng(seed).normal(scale=0.02, size=n_iterations)
    return {
        "iteration": iterations,
        "energy": REFERENCE + 1 / iterations + noise,
        "energy_error": np.full(n_iterations, 0.02),
        "n_waited": np.where((n_waited == 0) & (iterations > 1) & reuses, 5, n_waited),
        "wait": np.full(n_iterations, 5.0),
        "sampled": (n_waited == 0).astype(int),
    }


class Runs:
    """Stands for `run_in_subprocess`: notes which runs are made and writes their files; `ends` says how one ends."""

    def __init__(self):
        self.ran, self.ends, self.resumed, self.limits = [], {}, [], []

    def __call__(self, settings, resume=False, max_seconds=None):
        name = Path(settings.run.run_dir).name
        self.ran.append(name)
        self.resumed += [name] * resume
        self.limits.append(max_seconds)
        end = self.ends.get(name, {})
        if isinstance(end, BaseException):
            raise end
        if "problem" in end:
            raise RunCrashedError(end["problem"])
        write_run(settings, resume=resume, **end)
        return RunResult(**json.loads(Path(settings.run.run_dir, "result.json").read_text()))
