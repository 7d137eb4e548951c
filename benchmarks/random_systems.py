"""Short trainings of random systems with the default settings: does any fail, and how close to the exact energy?

Usage: python -m benchmarks.random_systems --output=FILE [--n_runs=100] [--ansatz=jastrow] [--runs 74 80 95]

An existing file is continued: its runs are not repeated.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.report import append_record, machine, read_records, say, show_table
from benchmarks.system_flags import checked_settings
from tf_nqs.analysis import read_metrics
from tf_nqs.runtime.startup import import_tensorflow

ROOT = Path(__file__).parents[1]
MEASUREMENT_SECONDS = 20.0
"""Maximum seconds of the measurement of a final energy."""

N_PARTICLES, STRENGTHS, RANGES = (2, 6), (-20.0, 20.0), (0.2, 1.0)
RELATIVE_TOLERANCE, SIGMAS = 0.01, 4.0
TIGHT_RELATIVE, TIGHT = 1e-3, 1e-3
"""The tight tolerance is the larger one of this share of the energy, and of this energy in hbar*omega."""


def draw_systems(n_runs: int) -> list[dict[str, Any]]:
    """Returns random systems and seeds, always the same ones, ordered by their number of particles."""
    random = np.random.default_rng(2025)
    systems = [
        {
            "run": run,
            "n_particles": int(random.integers(N_PARTICLES[0], N_PARTICLES[1] + 1)),
            "interaction_strength": round(float(random.uniform(*STRENGTHS)), 3),
            "interaction_range": round(float(random.uniform(*RANGES)), 3),
            "seed": int(random.integers(2**31 - 1)),
        }
        for run in range(n_runs)
    ]
    return sorted(systems, key=lambda system: system["n_particles"])


class Trainings:
    """Runs with one number of particles share one trainer: strength and range are variables of its compiled phases.

    Args:
        n_particles: number of fermions A.
        iterations: number of iterations of every run.
    """

    def __init__(self, n_particles: int, iterations: int):
        import tensorflow as tf

        from tf_nqs.config import settings_from
        from tf_nqs.experiment.build import build_ansatz, build_trainer
        from tf_nqs.physics import TrappedFermions

        self._settings = settings_from(None, {"n_particles": n_particles, "iterations": iterations})
        self._strength, self._range = (tf.Variable(1.0, trainable=False) for _ in range(2))

        def pair_potential(distances):
            height = self._strength / (math.sqrt(2 * math.pi) * self._range)
            return height * tf.exp(-0.5 * (distances / self._range) ** 2)

        system = TrappedFermions(n_particles, pair_potential=pair_potential)
        self._vmc = build_trainer(self._settings, system, build_ansatz(self._settings))
        self._vmc.warm_up()
        # Trainer and optimiser may both list the same variable.
        variables = {id(variable): variable for variable in (*self._vmc.variables, *self._vmc.optimizer.variables)}
        self._start = [(variable, variable.numpy()) for variable in variables.values()]

    def train(self, system: dict[str, Any], target_error: float) -> dict[str, Any]:
        """Trains from new random weights and walkers, and measures.

        Args:
            system: "interaction_strength", "interaction_range", "seed".
            target_error: target error of the measurement, in hbar*omega.

        Returns:
            Energy and its error, share of iterations with a non-finite energy, seconds of training.
        """
        import keras
        import tensorflow as tf

        from tf_nqs.callbacks import IterationCallback, RepairTraining
        from tf_nqs.experiment.build import build_ansatz
        from tf_nqs.training import pretrain

        class Watch(IterationCallback):
            """Counts what went wrong."""

            n_not_finite = 0

            def on_iterations(self, rows):
                self.n_not_finite += int(np.sum(~np.isfinite(rows["energy"])))

        keras.utils.set_random_seed(system["seed"])
        ansatz, sampling = build_ansatz(self._settings), self._settings.sampling
        pretrain(ansatz, self._settings.training.pretrain_iterations, sampling.n_walkers, system["seed"])
        for variable, value in self._start:
            variable.assign(value)
        self._vmc.ansatz.set_weights(ansatz.get_weights())
        self._strength.assign(system["interaction_strength"])
        self._range.assign(system["interaction_range"])
        key = tf.constant([system["seed"], 0])
        self._vmc.walkers = self._vmc.sampler.initial_state(self._settings.system.n_particles, key)
        self._vmc.needs_burn_in = True
        watch, repair = Watch(), RepairTraining(self._settings.training.max_repairs)
        self._vmc.fit(self._settings.training.iterations, callbacks=[repair, watch])
        measurement = self._vmc.evaluate_energy(target_error, MEASUREMENT_SECONDS, relations=False)
        return {
            "energy": measurement.energy,
            "energy_error": measurement.energy_error,
            "variance": measurement.variance,
            "n_not_finite": watch.n_not_finite + measurement.n_non_finite,
            "n_rejected": int(self._vmc.natural_gradient.n_rejected),
            "n_repairs": repair.n_repairs,
        }


def train_alone(system: dict[str, Any], target_error: float, flags: argparse.Namespace) -> dict[str, Any]:
    """Trains one system by train.py, as a user does; the length of JastrowAnsatz is part of its compiled phases.

    Args:
        system: "n_particles", "interaction_strength", "interaction_range", "seed".
        target_error: of the measurement, in hbar*omega.
        flags: flags of the command line.

    Returns:
        What `Trainings.train` returns.

    Raises:
        RuntimeError: the run ends with another status than 0.
    """
    leaves = {name: system[name] for name in ("n_particles", "interaction_strength", "interaction_range", "seed")}
    leaves |= {"ansatz": flags.ansatz, "iterations": flags.iterations, "target_error": target_error}
    leaves |= {"evaluation_max_seconds": MEASUREMENT_SECONDS, "reference_max_seconds": 0.0}
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        arguments = [f"--{leaf}={value}" for leaf, value in (leaves | {"run_dir": run}).items()]
        command = [sys.executable, "train.py", *arguments, "--quiet"]
        finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if finished.returncode != 0:
            raise RuntimeError(f"run {system['run']}: status {finished.returncode}: {finished.stderr[-2000:]}")
        result = json.loads((run / "result.json").read_text(encoding="utf-8"))
        return of_result(result, read_metrics(run / "metrics.csv")["energy"])


def of_result(result: dict[str, Any], energies: np.ndarray) -> dict[str, Any]:
    """Returns what `Trainings.train` returns, from the entries of a `result.json` and the energies of training.

    An unknown error counts as infinite, an unknown energy as NaN.
    """
    n_not_finite = int(np.sum(~np.isfinite(energies))) + (result["non_finite_share"] > 0)
    record = {name: result[name] for name in ("variance", "n_rejected", "n_repairs")}
    energy = math.nan if result["energy"] is None else result["energy"]
    error = math.inf if result["energy_error"] is None else result["energy_error"]
    return {"energy": energy, "energy_error": error, "n_not_finite": n_not_finite} | record


def reference_of(system: dict[str, Any], max_seconds: float) -> dict[str, Any]:
    """Returns the exact energy, its kind and uncertainty, and what is off where there is none."""
    from tf_nqs.exact import reference_energy

    names = ("n_particles", "interaction_strength", "interaction_range")
    found = reference_energy(*(system[name] for name in names), max_seconds=max_seconds)
    return {"reference": found.energy, "reference_kind": found.kind, "reference_uncertainty": found.uncertainty}


def judge(record: dict[str, Any]) -> dict[str, Any]:
    """Returns the verdicts on one run.

    `is_finite`: no energy was NaN or infinite. `is_below`: the energy is below reference - uncertainty by more than
    four standard errors. `is_close`: it ends within 1 % of the reference. `is_within`: it ends within the tight
    tolerance of it, downwards plus the uncertainty. None without a reference.
    """
    is_finite = math.isfinite(record["energy"]) and record["n_not_finite"] == 0
    if record["reference"] is None or not is_finite:
        return {"is_finite": is_finite, "is_below": None, "is_close": None, "is_within": None}
    tolerance, lowest = tight_tolerance(record), record["reference"] - record["reference_uncertainty"]
    deviation = record["energy"] - record["reference"]
    return {
        "is_finite": is_finite,
        "is_below": record["energy"] < lowest - SIGMAS * record["energy_error"],
        "is_close": abs(deviation) <= RELATIVE_TOLERANCE * abs(record["reference"]),
        "is_within": lowest - tolerance <= record["energy"] <= record["reference"] + tolerance,
    }


def tight_tolerance(record: dict[str, Any]) -> float:
    """Returns the larger one of 0.1 % of the exact energy and 1e-3 hbar*omega."""
    return max(TIGHT, TIGHT_RELATIVE * abs(record["reference"]))


def target_error(record: dict[str, Any], default: float) -> float:
    """Returns the error that an energy is measured to: a quarter of the tight tolerance where there is a reference."""
    return default if record["reference"] is None else min(default, tight_tolerance(record) / 4)


def measure(flags: argparse.Namespace, done: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Does the missing runs; yields a record per run."""
    trainings, n_particles = None, None
    for system in draw_systems(flags.n_runs):
        is_wanted = flags.runs is None or system["run"] in flags.runs
        if not is_wanted or any(record["run"] == system["run"] for record in done):
            continue
        if flags.ansatz == "slater" and system["n_particles"] != n_particles:
            n_particles = system["n_particles"]
            trainings = Trainings(n_particles, flags.iterations)
        record = system | reference_of(system, flags.reference_max_seconds)
        error = target_error(record, flags.target_error)
        record |= trainings.train(system, error) if trainings else train_alone(system, error, flags)
        yield record | judge(record)


def show(records: list[dict[str, Any]], ansatz: str) -> None:
    """Prints a row per run and the counts."""
    rows = []
    for r in sorted(records, key=lambda record: record["run"]):
        has_reference = r["reference"] is not None
        percent = 100 * (r["energy"] - r["reference"]) / abs(r["reference"]) if has_reference else None
        words = [name for name, bad in (("NaN", not r["is_finite"]), ("BELOW", r["is_below"])) if bad]
        words += ["far"] if r["is_close"] is False else ["off"] if r["is_within"] is False else []
        cells = [r["run"], r["n_particles"], r["interaction_strength"], r["interaction_range"]]
        cells += [
            f"{r['reference']:.5f}" if has_reference else "none",
            f"{r['energy']:.5f}",
            f"{r['energy_error']:.5f}",
        ]
        cells += [f"{r['variance']:.3g}", "" if percent is None else f"{percent:+.3f} %", " ".join(words)]
        rows.append([str(cell) for cell in cells])
    header = ["run", "A", "V0", "sigma0", "reference", "energy", "error", "variance", "deviation", "verdict"]
    show_table(f"random systems, {ansatz}, default settings", header, rows)
    with_reference = [record for record in records if record["is_close"] is not None]
    say(
        f"{len(records)} runs: {sum(not r['is_finite'] for r in records)} with NaN, "
        f"{sum(bool(r['is_below']) for r in records)} below the reference; of {len(with_reference)} with a reference "
        f"{sum(r['is_close'] for r in with_reference)} end within {RELATIVE_TOLERANCE:.0%} of it, "
        f"{sum(r['is_within'] for r in with_reference)} within {TIGHT_RELATIVE:.1%} or {TIGHT:g}"
    )


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Returns the flags."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", required=True, help="file of one JSON record per line; continued if it exists")
    parser.add_argument("--n_runs", type=int, default=100)
    parser.add_argument("--runs", type=int, nargs="+", help="numbers of the runs to do, counted from 0; default: all")
    parser.add_argument("--ansatz", default="slater", help="as of train.py")
    parser.add_argument("--iterations", type=int, default=300, help="number of iterations of each run")
    parser.add_argument("--target_error", type=float, default=2e-3, help="error of the final energies, in hbar*omega")
    parser.add_argument("--reference_max_seconds", type=float, default=20.0, help="maximum seconds for each reference")
    return parser.parse_args(arguments)


def main() -> None:
    """Runs, appends each record to the file, reports."""
    flags = parse()
    checked_settings({"n_particles": N_PARTICLES[0], "ansatz": flags.ansatz})
    import_tensorflow()
    path = Path(flags.output)
    records = read_records(path, "run")
    with path.open("a", encoding="utf-8") as file:
        append_record(file, {"machine": machine(), "settings": vars(flags)})
        for record in measure(flags, records):
            records.append(record)
            append_record(file, record)
            say(f"{len(records)}/{flags.n_runs}: {record}")
    show(records, flags.ansatz)


if __name__ == "__main__":
    main()
