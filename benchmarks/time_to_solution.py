"""Seconds and iterations from random weights to the exact ground-state energy, of both wave functions and of NetKet.

Usage: python -m benchmarks.time_to_solution [--output=FILE]
       python -m benchmarks.time_to_solution --arms spring --ansatz slater jastrow [--interaction=coth --systems 4:0.3]
"""

from __future__ import annotations

import argparse
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from benchmarks.problem import Problem
from benchmarks.protocol import PeerError, run_once
from benchmarks.report import machine, say, show_table, write_json
from benchmarks.system_flags import SYSTEM_FLAGS, add_system_flags, checked_settings, given, refuse
from tf_nqs.config import Settings

SYSTEMS = ("2:10", "4:10", "6:10", "4:-10")
ARMS = ("spring", "adam", "netket_spring", "netket_sr")
NETKET = {"learning_rate": 0.1, "decay_iterations": 400, "damping": 1e-3}
NETKET_MOMENTUM = {"netket_spring": 0.9, "netket_sr": 0.0}
N_BURN_IN = 500
CLOCKS = ("seconds", "seconds_processor")
"""Of the training: on the clock, and of the processor (all threads)."""


def settings_of(system: str, ansatz: str, flags: argparse.Namespace) -> Settings:
    """Returns the settings of a system "A:strength" and a wave function; ends the benchmark where they are refused."""
    try:
        n_particles, strength = system.split(":")
        leaves = {"n_particles": int(n_particles), "interaction_strength": float(strength)}
    except ValueError:
        refuse(f"systems = {system}: must be A:STRENGTH, such as 4:10")
    leaves |= {"ansatz": ansatz, "iterations": flags.iterations, "n_burn_in": N_BURN_IN}
    leaves |= {"n_walkers": flags.n_walkers, "n_steps": flags.n_steps}
    return checked_settings(leaves | given(flags, SYSTEM_FLAGS))


def problem_of(settings: Settings) -> Problem:
    """Returns the common problem, of which NetKet and the determinant share initial weights and walkers."""
    system, sampling = settings.system.resolved(), settings.sampling
    names = ("n_particles", "interaction_strength", "interaction_range")
    shared = {name: system[name] for name in names if system[name] is not None}
    return Problem(**shared, n_walkers=sampling.n_walkers, n_steps=sampling.n_steps)


def job_of(
    arm: str, settings: Settings, seed: int, judge: dict[str, Any], flags: argparse.Namespace
) -> tuple[str, dict[str, Any]]:
    """Returns the module of an optimiser, and its job."""
    problem = replace(problem_of(settings), seed=seed)
    job = {"problem": asdict(problem), "judge": judge, "criterion": flags.criterion}
    job |= {"measurement_seconds": flags.measurement_seconds, "to_the_end": flags.to_the_end}
    if arm.startswith("netket"):
        job |= NETKET | {"momentum": NETKET_MOMENTUM[arm], "n_burn_in": N_BURN_IN, "iterations": flags.iterations}
        return "benchmarks.solvers.netket_solver", job
    leaves = {
        leaf: value
        for section in settings.model_dump(exclude_none=True, exclude={"family"}).values()
        for leaf, value in section.items()
    }
    if settings.ansatz.ansatz == "slater":
        leaves |= {"n_features": problem.n_features, "n_layers": problem.n_layers}
    leaves |= {"proposal_width": problem.proposal_width, "seed": seed}
    leaves |= {"optimizer": arm} | ({"learning_rate": flags.adam_learning_rate} if arm == "adam" else {})
    return "benchmarks.solvers.tf_nqs_solver", job | {"settings": leaves}


def combinations(flags: argparse.Namespace) -> list[tuple[str, str]]:
    """Returns the pairs of wave function and optimiser; NetKet has the determinant and the Gaussian alone."""
    ours = [arm for arm in flags.arms if not arm.startswith("netket")]
    theirs = [arm for arm in flags.arms if arm.startswith("netket")]
    if theirs and given(flags, SYSTEM_FLAGS).keys() - {"interaction_range"}:
        refuse(f"arms = {theirs[0]}: has the Gaussian interaction in the harmonic trap alone; must be left out")
    return [(ansatz, arm) for arm in ours for ansatz in flags.ansatz] + [("slater", arm) for arm in theirs]


def measure(flags: argparse.Namespace) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Runs every wave function and optimiser on every system and seed; they take turns within a seed.

    Returns:
        A record per run, and the references.
    """
    from tf_nqs.exact import reference_energy

    arms, runs, references = combinations(flags), [], {}
    wanted = {(system, ansatz): settings_of(system, ansatz, flags) for system in flags.systems for ansatz, _ in arms}
    for system in flags.systems:
        reference = reference_energy(**wanted[system, arms[0][0]].system.model_dump())
        references[system] = reference._asdict()
        if reference.energy is None:
            say(f"{system} is skipped: it has no reference")
            continue
        say(f"{system}: reference {reference.energy:.6f}, uncertainty {reference.uncertainty:.0e}")
        judge = {"reference": reference.energy, "uncertainty": reference.uncertainty, "tolerances": flags.tolerances}
        judge |= {"window": flags.window, "hold": flags.hold, "max_seconds": flags.max_seconds}
        for seed in flags.seeds:
            for ansatz, arm in arms:
                module, job = job_of(arm, wanted[system, ansatz], seed, judge, flags)
                run = {"system": system, "ansatz": ansatz, "arm": arm, "seed": seed}
                runs.append(run | _run(module, job, flags.max_seconds))
                say(_line(runs[-1]))
    return runs, references


def _run(module, job, max_seconds):
    # Compilation and measurements with frozen weights are not part of the limit of the training.
    try:
        return run_once(module, timeout=10 * max_seconds + 600, **job)
    except PeerError as error:
        return {"missing": str(error)}


def _line(run):
    head = f"{run['system']} {run['ansatz']} {run['arm']} seed {run['seed']}: "
    if "missing" in run:
        return head + f"missing, {run['missing']}"
    ends = f"; mean energy {run['last_running_mean']:.5f} after {run['seconds']:.0f} s"
    return head + ", ".join(f"{tolerance} {_when(found)}" for tolerance, found in run["reached"].items()) + ends


def _when(found):
    return f"{found['seconds']:.1f} s ({found['iteration']})" if found else "never"


def show(runs: list[dict[str, Any]]) -> None:
    """Prints a row per run: seconds (iterations) to each tolerance, and the last energy."""
    done = [run for run in runs if "missing" not in run]
    if not done:
        return
    tolerances = list(done[0]["reached"])
    rows = []
    for run in done:
        cells = [_when(run["reached"][tolerance]) for tolerance in tolerances]
        n_iterations = len(run["history"]["energy"])
        ends = [f"{run['last_running_mean']:.5f}", _number(run.get("variance")), str(n_iterations)]
        ends += [_number(1e3 * run[name] / n_iterations if run.get(name) else None) for name in CLOCKS]
        head = [run[name] for name in ("system", "ansatz", "arm", "seed")]
        rows.append([*map(str, head), *cells, *ends, f"{run['seconds_compile']:.0f}"])
    header = ["system", "ansatz", "arm", "seed", *(f"within {t}" for t in tolerances), "last mean", "variance"]
    header += ["iterations", "ms/iteration", "ms of CPU", "s compile"]
    show_table("seconds (iterations) from random weights, compilation not counted", header, rows)


def _number(value):
    return "" if value is None else f"{value:.3g}"


def ratios(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns a record per system, optimiser, tolerance and further wave function, compared with the first one.

    A run that does not reach the tolerance counts as infinitely long. A ratio is the median of the ratios within the
    seeds; NaN where neither run of the median seed arrives.
    """
    done = [run for run in runs if "missing" not in run]
    first, *others = dict.fromkeys(run["ansatz"] for run in done)
    by_name = {(run["system"], run["arm"], run["ansatz"], run["seed"]): run["reached"] for run in done}
    found = []
    for system, arm in dict.fromkeys((run["system"], run["arm"]) for run in done):
        for ansatz in others:
            seeds = [seed for *name, seed in by_name if name == [system, arm, ansatz]]
            pairs = [[by_name.get((system, arm, one, seed)) for one in (first, ansatz)] for seed in seeds]
            pairs = [pair for pair in pairs if None not in pair]
            for tolerance in pairs[0][0] if pairs else ():
                record = {"system": system, "arm": arm, "tolerance": tolerance, "ansatze": [first, ansatz]}
                found.append(
                    record | {"n_seeds": len(pairs)} | _compared([[one[tolerance] for one in p] for p in pairs])
                )
    return found


def _compared(pairs):
    """Medians of both wave functions and of their ratios, from the times to a tolerance, None for never."""
    record = {}
    for name in ("iteration", "seconds"):
        values = np.array([[one[name] if one else np.inf for one in pair] for pair in pairs])
        with np.errstate(invalid="ignore"):
            record[name] = [*np.median(values, axis=0).tolist(), float(np.median(values[:, 1] / values[:, 0]))]
    return record


def show_ratios(runs: list[dict[str, Any]]) -> None:
    """Prints the table of `ratios`, if there are several wave functions."""
    rows = []
    for record in ratios(runs) if len({run["ansatz"] for run in runs if "missing" not in run}) > 1 else ():
        cells = [f"{value:.3g}" for name in ("iteration", "seconds") for value in record[name]]
        head = [record["system"], record["arm"], " -> ".join(record["ansatze"]), record["n_seeds"]]
        rows.append([*map(str, head), record["tolerance"], *cells])
    if rows:
        header = ["system", "arm", "ansatz", "seeds", "within", "iterations", "->", "ratio", "seconds", "->", "ratio"]
        show_table("medians over the seeds, and medians of the ratios within a seed", header, rows)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Returns the flags."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--systems", nargs="+", default=list(SYSTEMS), metavar="A:STRENGTH")
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=ARMS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--tolerances", nargs="+", type=float, default=[1e-2, 1e-3], help="tolerances in hbar*omega")
    parser.add_argument("--criterion", default="running_mean", choices=["running_mean", "frozen"])
    parser.add_argument("--measurement_seconds", type=float, default=15.0, help="of one measurement, frozen weights")
    parser.add_argument("--max_seconds", type=float, default=120.0, help="maximum seconds of training per run")
    parser.add_argument("--iterations", type=int, default=100_000, help="maximum number of iterations")
    parser.add_argument("--to_the_end", action="store_true", help="train all --iterations, for the variance at the end")
    parser.add_argument("--window", type=int, default=20, help="iterations of the running mean")
    parser.add_argument("--hold", type=int, default=100, help="iterations within the tightest tolerance that end a run")
    parser.add_argument("--n_walkers", type=int, default=512)
    parser.add_argument("--n_steps", type=int, default=10)
    parser.add_argument("--adam_learning_rate", type=float, default=1e-3)
    add_system_flags(parser, several_ansatze=True)
    parser.add_argument("--output", help="JSON file")
    return parser.parse_args(arguments)


def main() -> None:
    """Runs, judges, reports."""
    flags, before = parse(), machine()
    runs, references = measure(flags)
    show(runs)
    show_ratios(runs)
    results = {"machine": before, "settings": vars(flags) | {"netket": NETKET, "netket_momentum": NETKET_MOMENTUM}}
    write_json(flags.output, results | {"references": references, "runs": runs})


if __name__ == "__main__":
    main()
