"""Re-weighted samples at the thesis' setting: the time that they save, and whether any energy is below the exact one.

Usage: python -m benchmarks.reweighting --folder=FOLDER [--iterations=5000] [--source_strength=5] [--seed=0]

A training with a weaker interaction by the quickstart's recipe, then three from its weights by `configs/thesis.toml`
(Adam, 4096 walkers x 10 steps): with fresh samples in every iteration, and re-weighted in the modes thesis and guarded.
A run that exists in FOLDER is not repeated. Ends with status 1 if a criterion below is not met.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.report import say, show_table
from tf_nqs.analysis.profile import read_profile

ROOT = Path(__file__).parents[1]
MODES = ("every_iteration", "thesis", "guarded")

LEAST_FACTOR = 5.0
"""Minimum factor by which the mode thesis shortens the measured time of sampling; the thesis reports 10."""

LARGEST_DEVIATION, LARGEST_PULL = 5e-3, 3.0
"""Limits of the final energies, in hbar*omega and in standard errors."""

BLOCK, DEEPEST_DIP = 100, 4.0
"""Iterations of a mean, and its maximum distance below the exact energy in the guarded mode, in standard errors."""


def run_mode(flags: argparse.Namespace, mode: str, source: Path) -> dict[str, Any]:
    """Does one run, or reads the files of an earlier call.

    Returns:
        Mode, energy, its error and reference, share of iterations that sampled, seconds per iteration of sampling and
        of ln|Psi| in the profile after training, and the lowest mean of `BLOCK` iterations in standard errors.
    """
    folder = Path(flags.folder) / mode
    iterations = [f"--iterations={flags.iterations}", f"--target_error={flags.target_error}"]
    settings = [f"--resampling={mode}", f"--transfer_from={source}", f"--seed={flags.seed}", "--profile"]
    _train(folder, "--config=configs/thesis.toml", *iterations, *settings)
    result = json.loads((folder / "result.json").read_text())
    if result["energy_error"] is None:
        raise SystemExit(f"{folder}: the error of the energy is unknown: {result['not_converged_because']}")
    seconds = {row.phase: row.seconds_per_iteration for row in read_profile(folder / "profile.csv")}
    names = ("energy", "energy_error", "reference_energy")
    return {"mode": mode, "share": result["n_samplings"] / result["n_iterations"]} | {
        **{name: result[name] for name in names},
        **{name: seconds[name] for name in ("sampling", "forward")},
        "dip": deepest_dip(folder, result),
    }


def deepest_dip(folder: Path, result: dict[str, Any]) -> float:
    """Returns the lowest mean over `BLOCK` iterations minus the exact energy, in standard errors.

    Iterations that share samples share their noise: in a mean each sampling counts once, with all its iterations. The
    correlation of successive samplings is taken from the final measurement: the ratio of its standard error to the
    naive one.
    """
    with (folder / "metrics.csv").open(newline="") as file:
        rows = [[float(row[name]) for name in ("energy", "energy_error", "sampled")] for row in csv.DictReader(file)]
    energy, error, sampled = np.array(rows[: len(rows) // BLOCK * BLOCK]).T.reshape(3, -1, BLOCK)
    correlation = max(1.0, result["energy_error"] / result["energy_error_naive"])
    pulls = []
    for energies, errors, draws in zip(energy, error, sampled, strict=True):
        shared = np.cumsum(draws)
        squares = [np.sum(errors[shared == one]) ** 2 for one in np.unique(shared)]
        standard_error = correlation * np.sqrt(np.sum(squares)) / BLOCK
        pulls.append((np.mean(energies) - result["reference_energy"]) / standard_error)
    return float(np.min(pulls))


def factors(run: dict[str, Any], fresh: dict[str, Any]) -> dict[str, float]:
    """Returns the factors by which re-weighting shortens sampling.

    Args:
        run: a run.
        fresh: the run that samples in every iteration.

    Returns:
        "counted", from the number of samplings; "measured", from the seconds of sampling per iteration in the profiles
        of both runs; and "with_forward", the same with the seconds of ln|Psi| for the weights. nan for a profile
        without any sampling.
    """
    sampling, whole = run["sampling"] or math.nan, run["sampling"] + run["forward"] or math.nan
    measured = {"measured": fresh["sampling"] / sampling, "with_forward": fresh["sampling"] / whole}
    return {"counted": 1 / run["share"], **measured}


def failures(runs: list[dict[str, Any]]) -> list[str]:
    """Returns a line for each criterion that is not met. The first run is the one with fresh samples."""
    found = []
    for run in runs:
        deviation = abs(run["energy"] - run["reference_energy"])
        if deviation > LARGEST_DEVIATION or deviation > LARGEST_PULL * run["energy_error"]:
            found.append(
                f"{run['mode']}: the energy is off by {deviation:.1e}, {deviation / run['energy_error']:.1f} errors"
            )
        measured = factors(run, runs[0])["measured"]
        if run["mode"] == "thesis" and not measured >= LEAST_FACTOR:
            found.append(f"thesis: sampling takes only {measured:.1f} times less time")
        if run["mode"] == "guarded" and run["dip"] < -DEEPEST_DIP:
            found.append(f"guarded: a mean over {BLOCK} iterations lies {-run['dip']:.1f} errors below")
    return found


def main() -> int:
    """Does all runs, prints a table and the criteria that are not met; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", required=True)
    parser.add_argument("--iterations", type=int, default=5000)
    parser.add_argument("--source_strength", type=float, default=5.0)
    parser.add_argument("--target_error", type=float, default=1e-3, help="error of the final energies, in hbar*omega")
    parser.add_argument("--seed", type=int, default=0)
    flags = parser.parse_args()
    source = Path(flags.folder).resolve() / "source"
    _train(source, "--config=configs/quickstart.toml", f"--interaction_strength={flags.source_strength}")
    runs = [run_mode(flags, mode, source) for mode in MODES]
    header = [
        "mode",
        "energy",
        "error",
        "exact",
        "sampled",
        "counted",
        "sampling, ms",
        "factor",
        "with ln|Psi|",
        f"lowest {BLOCK}, errors",
    ]
    show_table(
        f"{flags.iterations} iterations from V0 = {flags.source_strength:g}",
        header,
        [_row(run, runs[0]) for run in runs],
    )
    problems = failures(runs)
    say("\n".join(problems) or "all criteria are met")
    return 1 if problems else 0


def _row(run: dict[str, Any], fresh: dict[str, Any]) -> list[str]:
    energies = [f"{run[name]:.5f}" for name in ("energy", "energy_error", "reference_energy")]
    counted, *measured = (f"{factor:.1f}" for factor in factors(run, fresh).values())
    milliseconds = f"{1e3 * run['sampling']:.2f}"
    return [
        run["mode"],
        *energies,
        f"{100 * run['share']:.1f} %",
        counted,
        milliseconds,
        *measured,
        f"{run['dip']:+.1f}",
    ]


def _train(folder: Path, *arguments: str) -> None:
    if not (folder / "result.json").is_file():
        going_on = ["--resume"] if (folder / "checkpoints").is_dir() else []
        command = [sys.executable, "train.py", *arguments, f"--run_dir={folder.resolve()}", "--quiet", *going_on]
        subprocess.run(command, cwd=ROOT, check=True)


if __name__ == "__main__":
    sys.exit(main())
