"""Trains families and measures members that were never trained, against exact energies.

Usage: python -m benchmarks.family --config=family --sets off_grid [--seeds 0 1 2] [--seconds=60] [--set NAME=VALUE]

Weights are frozen; each energy is measured until its error is a quarter of the tolerance. References come from
`python -m benchmarks.references`. One line per member goes to the output, as JSON.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.references import SETS, Row, read_rows
from benchmarks.report import say
from tf_nqs.config import Settings, settings_from
from tf_nqs.experiment.build import load
from tf_nqs.experiment.members import MemberTrainers
from tf_nqs.experiment.run import run

TOLERANCES = {5: 3e-3, 6: 5e-3}
"""Number of particles -> tolerance of an energy, in hbar*omega; 1e-3 for fewer particles."""

_SHARE_OF_ERROR = 0.25
"""Of the tolerance: the error of each measured energy."""


class Deviation(NamedTuple):
    """A member's measured energy beside the exact one.

    Attributes:
        deviation: measured minus exact, in hbar*omega.
        error: standard error of the measured energy.
        tolerance: of the deviation, the uncertainty of the reference not counted.
        variance: of the local energy.
        seconds: of the measurement.
    """

    n_particles: int
    interaction_strength: float
    interaction_range: float
    deviation: float
    error: float
    uncertainty: float
    tolerance: float
    variance: float
    seconds: float

    @property
    def is_within(self) -> bool:
        """Whether the energy is within the tolerance; a reference may lie above the exact energy."""
        return -self.tolerance - self.uncertainty <= self.deviation <= self.tolerance


def settings_of(flags: argparse.Namespace, seed: int, folder: Path) -> Settings:
    """Returns the settings of one training."""
    overrides: dict[str, Any] = {"seed": seed, "run_dir": str(folder), "reference": "none", **flags.set}
    if flags.seconds:
        overrides |= {"max_seconds": flags.seconds, "iterations": 10**6}
    return settings_from(flags.config, overrides)


def measure(folder: Path, rows: list[Row], max_seconds: float) -> list[Deviation]:
    """Returns the deviations of a trained family's members.

    Args:
        folder: of the run.
        rows: members and their references.
        max_seconds: of each measurement.
    """
    trainers, found = MemberTrainers(load(folder)), []
    for row in rows:
        started, tolerance = time.monotonic(), TOLERANCES.get(row.n_particles, 1e-3)
        vmc = trainers.at(*row.system)
        energy = vmc.evaluate_energy(_SHARE_OF_ERROR * tolerance, max_seconds, relations=False)
        deviation = energy.energy - row.reference_energy
        seconds = time.monotonic() - started
        found.append(
            Deviation(
                *row.system,
                deviation,
                energy.energy_error,
                row.reference_uncertainty,
                tolerance,
                energy.variance,
                seconds,
            )
        )
    return found


def summary(found: list[Deviation]) -> list[str]:
    """Returns one line for each number of particles."""
    lines = []
    for number in sorted({one.n_particles for one in found}):
        rows = [one for one in found if one.n_particles == number]
        off = np.abs([one.deviation for one in rows])
        worst = rows[int(np.argmax(off))]
        within = sum(one.is_within for one in rows)
        lines.append(
            f"A = {number}: {within} of {len(rows)} within {rows[0].tolerance:g}; median {np.median(off):.2e}, "
            f"rms {np.sqrt(np.mean(off**2)):.2e}, largest {worst.deviation:+.2e}({worst.error:.0e}) at "
            f"V0 = {worst.interaction_strength:g}, sigma0 = {worst.interaction_range:g}"
        )
    return lines


def _setting(text: str) -> tuple[str, Any]:
    name, _, value = text.partition("=")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


def main(arguments: list[str] | None = None) -> None:
    """Trains, measures, and prints a table for each seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="family")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=["off_grid"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--seconds", type=float, help="seconds of training; default: the iterations of the config")
    parser.add_argument("--set", nargs="+", type=_setting, default=[], metavar="NAME=VALUE", help="other settings")
    parser.add_argument("--measure_seconds", type=float, default=60.0, help="maximum seconds for each member")
    parser.add_argument("--run_dir", help="measure the members of this run instead")
    parser.add_argument("--output", help="file for one line of JSON per member")
    flags = parser.parse_args(arguments)
    flags.set = dict(flags.set)
    rows = [row for name in flags.sets for row in read_rows(name) if math.isfinite(row.reference_energy)]
    for seed in flags.seeds:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(flags.run_dir or Path(temporary, "family"))
            if not flags.run_dir:
                result = run(settings_of(flags, seed, folder))
                trained = f"{result.n_iterations} iterations, {result.seconds_training:.1f} s of training"
                say(f"seed {seed}: {trained}, {result.seconds_compile:.1f} s of compilation")
            found = measure(folder, rows, flags.measure_seconds)
        for one in found:
            line = json.dumps({"seed": seed, "config": flags.config} | one._asdict())
            if flags.output:
                with Path(flags.output).open("a", encoding="utf-8") as file:
                    file.write(line + "\n")
        for line in summary(found):
            say(f"seed {seed}: {line}")
        say(f"seed {seed}: {sum(one.seconds for one in found):.0f} s of measurements")


if __name__ == "__main__":
    main()
