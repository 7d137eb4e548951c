"""Trainings and observables of exactly solved systems: are their deviations within their errors?

Usage: python -m benchmarks.exact_systems --folder=FOLDER [--config=two_particles] [--n_particles=2]
       [--strengths -20 -10 -5 5 10 20] [--seed=1] [--observe_seconds=30]

Every system is trained once, by `train.py` with the preset, and observed once, by `python -m tf_nqs.observe`. A run
that exists in FOLDER is not repeated. Ends with status 1 if a criterion below is not met.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.report import say, show_table

ROOT = Path(__file__).parents[1]
LARGEST_ERROR, LARGEST_DEVIATION = 2e-4, 1e-3
"""Limits of the energy, in hbar*omega; the deviation is from the exact energy."""

LEAST_DENSITY, LEAST_OCCUPATION = 1e-2, 1e-3
"""Minimum values that are compared, of the density relative to its maximum: for smaller ones the statistical errors are
far below the error of any trained wave function."""

LEAST_SHARE, LARGEST_PULL = 0.9, 5.0
"""Minimum share of the values of density and occupations within two errors, and maximum deviation in errors."""


def run_system(flags: argparse.Namespace, strength: float) -> dict[str, Any]:
    """Trains and observes one system, or reads the files of an earlier call.

    Returns:
        Strength, energy, its error, reference, deviation, and the pulls of density and occupations.
    """
    folder = Path(flags.folder) / f"A{flags.n_particles}_V{strength:g}"
    if not (folder / "result.json").is_file():
        system = [f"--n_particles={flags.n_particles}", f"--interaction_strength={strength}"]
        _python(
            "train.py", f"--config={flags.config}", *system, f"--seed={flags.seed}", f"--run_dir={folder}", "--quiet"
        )
    if not (folder / "observables.npz").is_file():
        seconds = f"--evaluation_max_seconds={flags.observe_seconds}"
        _python("-m", "tf_nqs.observe", f"--run_dir={folder}", seconds, "--quiet")
    result = json.loads((folder / "result.json").read_text())
    names = ("energy", "energy_error", "reference_energy", "deviation_in_sigma")
    return {"strength": strength} | {name: result[name] for name in names} | {"pulls": pulls(folder)}


def pulls(folder: Path) -> np.ndarray:
    """Returns deviations of density and occupations from the exact ones, in their errors."""
    with np.load(folder / "observables.npz", allow_pickle=False) as file:
        found = dict(file)
    density, occupations = found["exact_density"], found["exact_occupations"]
    kept = {"density": density > LEAST_DENSITY * density.max(), "occupations": occupations > LEAST_OCCUPATION}
    values = [
        (found[name] - found[f"exact_{name}"])[where] / found[f"{name}_error"][where] for name, where in kept.items()
    ]
    return np.concatenate(values)


def failures(runs: list[dict[str, Any]]) -> list[str]:
    """Returns a line for each criterion that is not met."""
    found = [f"V0 = {run['strength']:g}: the error is unknown" for run in runs if run["energy_error"] is None]
    runs = [run for run in runs if run["energy_error"] is not None]
    if not runs:
        return found
    sigmas = [abs(run["deviation_in_sigma"]) for run in runs]
    if sum(sigma > 2 for sigma in sigmas) > max(1, len(runs) // 6) or max(sigmas) > 3:
        found.append(f"energies are off by {', '.join(f'{sigma:.1f}' for sigma in sigmas)} errors")
    for run in runs:
        name = f"V0 = {run['strength']:g}"
        if run["energy_error"] > LARGEST_ERROR:
            found.append(f"{name}: energy_error {run['energy_error']:.1e} is above {LARGEST_ERROR:g}")
        if abs(run["energy"] - run["reference_energy"]) > LARGEST_DEVIATION:
            found.append(f"{name}: energy is off by more than {LARGEST_DEVIATION:g}")
        if np.mean(np.abs(run["pulls"]) < 2) < LEAST_SHARE or np.abs(run["pulls"]).max() > LARGEST_PULL:
            found.append(f"{name}: density or occupations are off by too much")
    return found


def main() -> int:
    """Runs all systems, prints a table and the criteria that are not met; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", required=True)
    parser.add_argument("--config", default="two_particles")
    parser.add_argument("--n_particles", type=int, default=2)
    parser.add_argument("--strengths", type=float, nargs="+", default=[-20, -10, -5, 5, 10, 20])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--observe_seconds", type=float, default=30.0)
    flags = parser.parse_args()
    runs = []
    for strength in flags.strengths:
        runs.append(run_system(flags, strength))
        say(_row(runs[-1])[0] + ": " + "  ".join(_row(runs[-1])[1:]))
    header = ["V0", "energy", "error", "exact", "deviation, errors", "within 2 errors", "largest"]
    show_table(f"A = {flags.n_particles}, {flags.config}, seed {flags.seed}", header, [_row(run) for run in runs])
    problems = failures(runs)
    say("\n".join(problems) or "all criteria are met")
    return 1 if problems else 0


def _row(run: dict[str, Any]) -> list[str]:
    sizes = np.abs(run["pulls"])
    return [
        f"{run['strength']:g}",
        f"{run['energy']:.6f}",
        "unknown" if run["energy_error"] is None else f"{run['energy_error']:.6f}",
        f"{run['reference_energy']:.6f}",
        "unknown" if run["deviation_in_sigma"] is None else f"{run['deviation_in_sigma']:+.1f}",
        f"{100 * np.mean(sizes < 2):.0f} %",
        f"{sizes.max():.1f}",
    ]


def _python(*arguments: str) -> None:
    subprocess.run([sys.executable, *arguments], cwd=ROOT, check=True)


if __name__ == "__main__":
    sys.exit(main())
