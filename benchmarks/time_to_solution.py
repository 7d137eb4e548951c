"""Seconds and iterations from random weights to the exact ground-state energy, compared with NetKet.

Usage: python -m benchmarks.time_to_solution [--output=FILE]
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Any

from benchmarks.problem import Problem
from benchmarks.protocol import PeerError, run_once
from benchmarks.report import machine, say, show_table, write_json

SYSTEMS = ("2:10", "4:10", "6:10", "4:-10")
ARMS = ("spring", "adam", "netket_spring", "netket_sr")
NETKET = {"learning_rate": 0.1, "decay_iterations": 400, "damping": 1e-3}
NETKET_MOMENTUM = {"netket_spring": 0.9, "netket_sr": 0.0}
N_BURN_IN = 500


def job_of(arm: str, problem: Problem, judge: dict[str, Any], flags: argparse.Namespace) -> tuple[str, dict[str, Any]]:
    """Returns the module of an optimiser, and its job."""
    job = {"problem": asdict(problem), "judge": judge, "criterion": flags.criterion}
    if arm.startswith("netket"):
        job |= NETKET | {"momentum": NETKET_MOMENTUM[arm], "n_burn_in": N_BURN_IN, "iterations": flags.iterations}
        return "benchmarks.solvers.netket_solver", job
    names = ("n_particles", "interaction_strength", "interaction_range", "n_features", "n_layers", "n_walkers")
    settings = {name: getattr(problem, name) for name in (*names, "n_steps", "proposal_width", "seed")}
    settings |= {"optimizer": arm, "iterations": flags.iterations, "n_burn_in": N_BURN_IN}
    settings |= {"learning_rate": flags.adam_learning_rate} if arm == "adam" else {}
    return "benchmarks.solvers.tf_nqs_solver", job | {"settings": settings}


def measure(flags: argparse.Namespace) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Runs every optimiser on every system and seed; optimisers take turns within a seed.

    Returns:
        A record per run, and the references.
    """
    from tf_nqs.exact import reference_energy

    runs, references = [], {}
    for system in flags.systems:
        n_particles, strength = system.split(":")
        problem = Problem(int(n_particles), float(strength), n_walkers=flags.n_walkers, n_steps=flags.n_steps)
        reference = reference_energy(problem.n_particles, problem.interaction_strength, problem.interaction_range)
        references[system] = reference._asdict()
        if reference.energy is None:
            say(f"{system} is skipped: it has no reference")
            continue
        say(f"{system}: reference {reference.energy:.6f}, uncertainty {reference.uncertainty:.0e}")
        judge = {"reference": reference.energy, "uncertainty": reference.uncertainty, "tolerances": flags.tolerances}
        judge |= {"window": flags.window, "hold": flags.hold, "max_seconds": flags.max_seconds}
        for seed in flags.seeds:
            for arm in flags.arms:
                module, job = job_of(arm, Problem(**{**asdict(problem), "seed": seed}), judge, flags)
                runs.append({"system": system, "arm": arm, "seed": seed} | _run(module, job, flags.max_seconds))
                say(_line(runs[-1]))
    return runs, references


def _run(module, job, max_seconds):
    # Compilation and measurements with frozen weights are not part of the limit of the training.
    try:
        return run_once(module, timeout=10 * max_seconds + 600, **job)
    except PeerError as error:
        return {"missing": str(error)}


def _line(run):
    head = f"{run['system']} {run['arm']} seed {run['seed']}: "
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
        ends = [f"{run['last_running_mean']:.5f}", f"{1e3 * run['seconds'] / n_iterations:.1f}"]
        rows.append([run["system"], run["arm"], str(run["seed"]), *cells, *ends, f"{run['seconds_compile']:.0f}"])
    header = ["A:V0", "arm", "seed", *(f"within {t}" for t in tolerances), "last mean", "ms/iteration", "s compile"]
    show_table("seconds (iterations) from random weights, compilation not counted", header, rows)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Returns the flags."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--systems", nargs="+", default=list(SYSTEMS), metavar="A:V0")
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=ARMS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--tolerances", nargs="+", type=float, default=[1e-2, 1e-3], help="tolerances in hbar*omega")
    parser.add_argument("--criterion", default="running_mean", choices=["running_mean", "frozen"])
    parser.add_argument("--max_seconds", type=float, default=120.0, help="maximum seconds of training per run")
    parser.add_argument("--iterations", type=int, default=100_000, help="maximum number of iterations")
    parser.add_argument("--window", type=int, default=20, help="iterations of the running mean")
    parser.add_argument("--hold", type=int, default=100, help="iterations within the tightest tolerance that end a run")
    parser.add_argument("--n_walkers", type=int, default=512)
    parser.add_argument("--n_steps", type=int, default=10)
    parser.add_argument("--adam_learning_rate", type=float, default=1e-3)
    parser.add_argument("--output", help="JSON file")
    return parser.parse_args(arguments)


def main() -> None:
    """Runs, judges, reports."""
    flags, before = parse(), machine()
    runs, references = measure(flags)
    show(runs)
    results = {"machine": before, "settings": vars(flags) | {"netket": NETKET, "netket_momentum": NETKET_MOMENTUM}}
    write_json(flags.output, results | {"references": references, "runs": runs})


if __name__ == "__main__":
    main()
