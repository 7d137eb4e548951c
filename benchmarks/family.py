"""Trains families and measures members that were never trained, against exact energies.

Usage: python -m benchmarks.family --config=family --sets off_grid [--seeds 0 1 2] [--seconds=60] [--set NAME=VALUE]
       python -m benchmarks.family --seconds=60 --ansatze jastrow slater
       python -m benchmarks.family --seconds=60 --arms separate warm_chain

Weights are frozen; each energy is measured until its error is a quarter of the tolerance. References come from
`python -m benchmarks.references`. One line per member goes to the output, as JSON. --arms measures the same members
from separate runs, and from a warm chain, of single systems: in as many seconds of training in total as the family had,
by one compiled trainer for each way. A table has all of them.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.deviations import Arm, Deviation, measured, show_arms, summary
from benchmarks.family_arms import ARMS, train_arm
from benchmarks.references import SETS, Row, read_rows
from benchmarks.report import say
from tf_nqs.config import Settings, settings_from
from tf_nqs.experiment.build import load
from tf_nqs.experiment.members import MemberTrainers
from tf_nqs.experiment.run import run
from tf_nqs.storage.run_folder import RunFolder


def settings_of(flags: argparse.Namespace, seed: int, ansatz: str | None, folder: Path) -> Settings:
    """Returns the settings of one training."""
    overrides: dict[str, Any] = {"seed": seed, "run_dir": str(folder), "reference": "none", **flags.set}
    if ansatz:
        overrides["ansatz"] = ansatz
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
    trainers = MemberTrainers(load(folder))
    return [measured(trainers.at(*row.system), row, max_seconds) for row in rows]


def setting(text: str) -> tuple[str, Any]:
    """Returns the name and the value of a setting that is given as NAME=VALUE."""
    name, _, value = text.partition("=")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


def arms_of(flags: argparse.Namespace, seed: int, ansatz: str | None, rows: list[Row]) -> list[Arm]:
    """Trains a family, unless its folder is given, and measures its members, and those of the other ways.

    Args:
        flags: of the command line.
        seed: of weights and walkers.
        ansatz: wave function; None for that of the config.
        rows: members and their references.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(flags.run_dir or Path(temporary, "family"))
        if not flags.run_dir:
            run(settings_of(flags, seed, ansatz, folder))
        trained = load(folder)
        found = measure(folder, rows, flags.measure_seconds)
        result = RunFolder(folder).result_values  # the shipped network has none
        seconds, n_iterations = result.get("seconds_training", math.nan), result.get("n_iterations", 0)
    settings = trained.settings
    arms = [Arm(seed, f"{settings.ansatz.ansatz}, family", seconds, n_iterations, found)]
    total = flags.seconds or seconds
    if flags.arms and math.isnan(total):
        raise SystemExit(f"{folder} has no result.json: --seconds must say how long the other ways train")
    for name in flags.arms:
        arms.append(train_arm(name, settings, rows, total, flags.measure_seconds, flags.single_set))
    return arms


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="family")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=["off_grid"])
    parser.add_argument("--n_members", type=int, help="take only the first of the sets")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--seconds", type=float, help="seconds of training; default: the iterations of the config")
    parser.add_argument("--set", nargs="+", type=setting, default=[], metavar="NAME=VALUE", help="other settings")
    parser.add_argument("--ansatze", nargs="+", default=[None], help="wave functions; default: that of the config")
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=[], help="other ways to the same energies")
    parser.add_argument(
        "--single_set", nargs="+", type=setting, default=[], metavar="NAME=VALUE", help="settings of single runs"
    )
    parser.add_argument("--measure_seconds", type=float, default=60.0, help="maximum seconds for each member")
    parser.add_argument("--run_dir", help="measure the members of this run instead")
    parser.add_argument("--output", help="file for one line of JSON per member")
    flags = parser.parse_args(arguments)
    flags.set, flags.single_set = dict(flags.set), dict(flags.single_set)
    return flags


def main(arguments: list[str] | None = None) -> None:
    """Trains, measures, and prints a table of all seeds and ways."""
    flags, arms = _parse(arguments), []
    rows = [row for name in flags.sets for row in read_rows(name) if math.isfinite(row.reference_energy)]
    rows = rows[: flags.n_members]
    for seed in flags.seeds:
        for ansatz in flags.ansatze:
            for arm in arms_of(flags, seed, ansatz, rows):
                arms.append(arm)
                _report(arm, flags)
    show_arms(arms)


def _report(arm: Arm, flags: argparse.Namespace) -> None:
    for one in arm.found:
        line = json.dumps({"seed": arm.seed, "config": flags.config, "way": arm.name} | one._asdict())
        if flags.output:
            with Path(flags.output).open("a", encoding="utf-8") as file:
                file.write(line + "\n")
    say(f"seed {arm.seed}, {arm.name}: {arm.n_iterations} iterations, {arm.seconds:.1f} s of training")
    for line in summary(arm.found):
        say(f"seed {arm.seed}, {arm.name}: {line}")
    say(f"seed {arm.seed}, {arm.name}: {sum(one.seconds for one in arm.found):.0f} s of measurements")


if __name__ == "__main__":
    main()
