"""Members of a family as the start of single runs: the energy at once, and iterations until it is exact.

Usage: python -m benchmarks.family_starts --run_dir=runs/paper [--n_particles 2 3 4 5 6] [--n_members=5]
       python -m benchmarks.family_starts --leave_out=4 [--config=family_paper] [--seconds=300]
       python -m benchmarks.family_starts --leave_out=4 --run_dir=FAMILY_WITHOUT_4

The single run is that of `train.py --transfer_from=FAMILY`: its own optimiser, new walkers, weights of the member. Its
energy is measured with frozen weights every few iterations, until it is within the tolerance; 0 iterations mean that it
is so before training. With --leave_out the family is trained without this number of particles; the run's energy is also
measured after 20 iterations, whatever the first ones are. References come from `python -m benchmarks.references`; of
each number of particles some systems are taken, from one end of the range of V0 to the other.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.deviations import SHARE_OF_ERROR, tolerance_of
from benchmarks.family import setting
from benchmarks.judge import Judge
from benchmarks.references import SETS, Row, read_rows
from benchmarks.report import append_record, machine, say, show_table
from benchmarks.single_runs import Kept, SingleRuns, settings_of_single
from tf_nqs.config import settings_from
from tf_nqs.config.transfer import inputs_of_network
from tf_nqs.experiment.build import Run, load
from tf_nqs.experiment.run import run
from tf_nqs.named_ansatze import ALL_SIZES

_WINDOW = 20
"""Iterations of the running mean in the judge's record."""


class Start(NamedTuple):
    """A single run from a member of a family; deviations from exact, and their errors, in hbar*omega.

    Attributes:
        at_once: deviation of the member.
        at_once_error: its standard error, large where the deviation is.
        iterations: until the tolerance; None for never.
        later: deviation after `flags.iterations`; nan where the tolerance alone was asked for.
        later_error: likewise.
    """

    n_particles: int
    interaction_strength: float
    interaction_range: float
    tolerance: float
    at_once: float
    at_once_error: float
    iterations: int | None
    later: float = math.nan
    later_error: float = math.nan


class Family:
    """The members of a family as starts.

    Args:
        trained: the family's run.
        flags: of the command line.
    """

    def __init__(self, trained: Run, flags: argparse.Namespace):
        self._trained, self._flags = trained, flags
        self._trainers: dict[int, SingleRuns] = {}

    def start(self, row: Row) -> Start:
        """Trains a system from its member until it is exact, and measures on the way."""
        trainer, flags, tolerance = self._trainer(row), self._flags, tolerance_of(row)
        kept = Kept(self._trained.at(*row.system, extrapolate=True).ansatz.get_weights())
        trainer.begin_at(row, flags.seed, kept)
        looks: list[tuple[int, float, float]] = []

        def measure(target_error: float) -> tuple[float, float]:
            energy, error = trainer.measure(target_error)
            looks.append((int(trainer.vmc.iteration), energy - row.reference_energy, error))
            return energy, error

        reference = row.reference_energy, row.reference_uncertainty
        judge = Judge(*reference, [tolerance], _WINDOW, 0, math.inf, measure)
        is_done = judge.record([])
        _, at_once, error = looks[-1]
        if not is_done:
            trainer.fit_until(judge.record, flags.max_iterations)
        found = judge.verdict()["reached"][f"{tolerance:g}"]
        start = Start(*row.system, tolerance, at_once, error, found and found["iteration"])
        return start if flags.leave_out is None else start._replace(**self._later(trainer, row, kept))

    def _later(self, trainer: SingleRuns, row: Row, kept: Kept) -> dict[str, float]:
        """The deviation after a few iterations from the member."""
        trainer.begin_at(row, self._flags.seed, kept)
        trainer.vmc.fit(self._flags.iterations)
        energy, error = trainer.measure(SHARE_OF_ERROR * tolerance_of(row))
        return {"later": energy - row.reference_energy, "later_error": error}

    def _trainer(self, row: Row) -> SingleRuns:
        """The compiled trainer of a number of particles, with the family's network and the recipe of single runs."""
        if row.n_particles not in self._trainers:
            family = self._trained.settings
            sizes = family.ansatz.resolved(family.system) | inputs_of_network(family)
            changes = {leaf: sizes[leaf] for leaf in ALL_SIZES if sizes.get(leaf) is not None}
            changes |= {"iterations_per_call": self._flags.iterations_per_call} | self._flags.set
            self._trainers[row.n_particles] = SingleRuns(settings_of_single(family, row, changes))
        return self._trainers[row.n_particles]


def chosen(rows: list[Row], n_members: int) -> list[Row]:
    """Returns some systems of each number of particles, evenly from one end of the strengths to the other."""
    found = []
    for number in sorted({row.n_particles for row in rows}):
        some = sorted((row for row in rows if row.n_particles == number), key=lambda row: row.interaction_strength)
        places = np.unique(np.linspace(0, len(some) - 1, min(n_members, len(some))).round().astype(int))
        found += [some[place] for place in places]
    return found


def show(starts: list[Start], flags: argparse.Namespace) -> None:
    """Prints a row for each system, and a line for each number of particles."""
    header = ["A, V0, sigma0", "at once", "iterations", f"after {flags.iterations}"]
    rows = []
    for one in starts:
        system = f"{one.n_particles}, {one.interaction_strength:g}, {one.interaction_range:g}"
        later = "" if math.isnan(one.later) else f"{one.later:+.1e}({one.later_error:.0e})"
        reached = "never" if one.iterations is None else str(one.iterations)
        rows.append([system, f"{one.at_once:+.1e}({one.at_once_error:.0e})", reached, later])
    show_table("Single runs from members: deviation from exact in ħω, and iterations to the tolerance", header, rows)
    for number in sorted({one.n_particles for one in starts}):
        some = [one for one in starts if one.n_particles == number]
        counts = [math.inf if one.iterations is None else one.iterations for one in some]
        line = f"A = {number}: {counts.count(0)} of {len(some)} within {some[0].tolerance:g} at once, "
        say(line + f"iterations: median {np.median(counts):g}, largest {max(counts):g}")


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run_dir", help="a family that was trained")
    parser.add_argument("--leave_out", type=int, help="number of particles that the family is not trained for")
    parser.add_argument("--config", default="family_paper", help="of the family that is trained for --leave_out")
    parser.add_argument("--seconds", type=float, default=300.0, help="seconds of this training")
    parser.add_argument("--family_set", nargs="+", type=setting, default=[], metavar="NAME=VALUE", help="its settings")
    parser.add_argument("--set", nargs="+", type=setting, default=[], metavar="NAME=VALUE", help="of the single runs")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=["paper"])
    parser.add_argument("--n_particles", nargs="+", type=int, help="default: all of the sets, or that of --leave_out")
    parser.add_argument("--n_members", type=int, default=5, help="systems of each number of particles")
    parser.add_argument("--iterations", type=int, default=20, help="with --leave_out: measure after so many, too")
    parser.add_argument("--max_iterations", type=int, default=300)
    parser.add_argument("--iterations_per_call", type=int, default=10, help="iterations between two measurements")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, help="file that a line of JSON for each system is appended to")
    flags = parser.parse_args(arguments)
    flags.set, flags.family_set = dict(flags.set), dict(flags.family_set)
    if flags.run_dir is None and flags.leave_out is None:
        parser.error("one of --run_dir and --leave_out must be given")
    return flags


def train_without(flags: argparse.Namespace, folder: Path) -> None:
    """Trains a family without one number of particles."""
    numbers = [one for one in settings_from(flags.config).family.n_particles if one != flags.leave_out]
    overrides: dict[str, Any] = {"n_particles": numbers, "seed": flags.seed, "run_dir": str(folder)}
    overrides |= {"max_seconds": flags.seconds, "iterations": 10**6, "reference": "none"}
    result = run(settings := settings_from(flags.config, overrides | flags.family_set))
    trained = ", ".join(map(str, settings.family.n_particles))
    say(f"trained A = {trained}: {result.n_iterations} iterations, {result.seconds_training:.1f} s of training")


def main(arguments: list[str] | None = None) -> None:
    """Starts a single run from each member, and prints a table."""
    flags = _parse(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(flags.run_dir or Path(temporary, "family"))
        if not flags.run_dir:
            train_without(flags, folder)
        trained = load(folder)
    asked = flags.n_particles or (trained.settings.family.n_particles if flags.leave_out is None else [flags.leave_out])
    rows = [row for name in flags.sets for row in read_rows(name) if math.isfinite(row.reference_energy)]
    family, starts = Family(trained, flags), []
    for row in chosen([row for row in rows if row.n_particles in asked], flags.n_members):
        starts.append(start := family.start(row))
        say(", ".join(f"{name} {value}" for name, value in start._asdict().items()))
        if flags.output:
            with flags.output.open("a", encoding="utf-8") as file:
                append_record(file, {"seed": flags.seed, "machine": machine()} | start._asdict())
    show(starts, flags)


if __name__ == "__main__":
    main()
