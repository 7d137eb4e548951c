"""One iteration, phase by phase, compared with other frameworks and a lower bound.

Usage: python -m benchmarks.iteration [--output=FILE]
       python -m benchmarks.iteration --ansatz=jastrow [--interaction=coth --interaction_strength=0.3]
       python -m benchmarks.iteration --before=CHECKOUT

The second form measures tf_nqs alone: only it has other wave functions and interactions. The third compares it with
the tf_nqs of another checkout, as "before".
"""

from __future__ import annotations

import argparse
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

import numpy as np

from benchmarks.floor import PHASES, phase_products
from benchmarks.problem import Problem
from benchmarks.protocol import Peer, PeerError
from benchmarks.report import machine, say, show_table, write_json

MODULES = {
    "tf_nqs": ("benchmarks.peers.tf_nqs_peer",),
    "torch": ("benchmarks.peers.torch_peer",),
    "jax_hessian": ("benchmarks.peers.jax_peer", "hessian"),
    "jax_folx": ("benchmarks.peers.jax_peer", "folx"),
    "before": ("benchmarks.peers.tf_nqs_peer",),
}
ARMS = ("tf_nqs/float32", "tf_nqs/float64", "torch/float32", "jax_hessian/float32", "jax_folx/float32")
OURS = ARMS[0]

LARGEST_ERROR = {"float64": (0.99, 1e-7), "float32": (0.5, 1e-3)}
"""Quantile over walkers, and its maximum error relative to 1 + |value|.

Next to a node rounding errors grow without limit, as 1/|Psi|, and random weights bring most walkers near a node: in
float32 only the median walker must agree. The comparison in float64 shows that the functions are the same.
"""


def start(
    arms: list[str], problem: Problem, n_iterations: int, before: str | None = None
) -> tuple[dict[str, Peer], dict[str, str], dict]:
    """Starts a process per framework and dtype.

    Args:
        arms: frameworks and dtypes.
        problem: the common problem.
        n_iterations: of one repeat of the total.
        before: folder of the checkout that the arm "before" runs.

    Returns:
        Name -> process; name -> why it is missing; package -> version.
    """
    peers, missing, versions = {}, {}, {}

    def start_one(arm):
        name, dtype = arm.split("/")
        module, *arguments = MODULES[name]
        peer = Peer(module, arguments, folder=before if name == "before" else None)
        try:
            # Another checkout may not know the fields of later ones.
            changed = {name: value for name, value in asdict(problem).items() if value != getattr(Problem(), name)}
            message = {"problem": changed, "dtype": dtype, "n_iterations": n_iterations}
            return peer, peer.ask(ask="start", **message)
        except PeerError as error:
            return None, str(error)

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for arm, (peer, answer) in zip(arms, pool.map(start_one, arms), strict=True):
            if peer:
                peers[arm] = peer
                versions |= answer
            else:
                missing[arm] = answer
                say(f"{arm} is missing: {answer}")
    return peers, missing, versions


def check(
    peers: dict[str, Peer], problem: Problem, before: str | None = None
) -> dict[str, dict[str, dict[str, float]]]:
    """Compares every framework and dtype, and every framework in float64, with ours in float64, on the same walkers.

    Returns:
        Framework and dtype -> name of the value -> median and 99 % quantile of the error relative to 1 + |value|.

    Raises:
        SystemExit: an error is too large, so that the computations differ and their times cannot be compared.
    """
    values = _evaluate(peers)
    ours = OURS.replace("32", "64")
    exact = {ours} | {arm.replace("32", "64") for arm in peers}
    helpers, _, _ = start(sorted(exact - peers.keys()), problem, 1, before)
    values |= _evaluate(helpers)
    for helper in helpers.values():
        helper.close()
    errors = {}
    for arm in sorted(values.keys() - {ours}):
        relative = {
            name: np.abs(found - values[ours][name]) / (1 + np.abs(values[ours][name]))
            for name, found in values[arm].items()
        }
        errors[arm] = {
            name: {"median": float(np.median(error)), "99 %": float(np.quantile(error, 0.99))}
            for name, error in relative.items()
        }
        quantile, largest = LARGEST_ERROR[arm.split("/")[1]]
        is_same = all(np.quantile(error, quantile) <= largest for error in relative.values())
        numbers = "; ".join(f"{n} {e['median']:.0e}, {e['99 %']:.0e}" for n, e in errors[arm].items())
        verdict = "agrees with" if is_same else "computes something else than"
        say(f"{arm} {verdict} {ours}: median and 99 % of relative errors of {numbers}")
        if not is_same:
            raise SystemExit(1)
    return errors


def _evaluate(peers):
    """Returns framework and dtype -> "log_abs_psi" and "local_energy" of the problem's walkers."""
    answers = {arm: peer.ask(ask="evaluate") for arm, peer in peers.items()}
    return {
        arm: {name: np.array(numbers, np.float64) for name, numbers in answer.items()}
        for arm, answer in answers.items()
    }


def measure(peers: dict[str, Peer], n_rounds: int, n_iterations: int) -> dict[str, dict[str, list[float]]]:
    """Times all phases of all frameworks, one repeat each per round; each round starts with another framework.

    Returns:
        Framework and dtype -> phase -> seconds of each round; the "total" is one iteration.
    """
    names = [*PHASES, *(f"products_{phase}" for phase in PHASES)]
    seconds = {arm: {name: [] for name in [*names, "total"]} for arm in peers}
    arms = list(peers)
    for round_ in range(-1, n_rounds):  # round -1 warms up
        for arm in arms[max(round_, 0) % len(arms) :] + arms[: max(round_, 0) % len(arms)]:
            found = {name: peers[arm].ask(ask="time", phase=name, n_untimed=1) for name in names}
            found["total"] = peers[arm].ask(ask="time", phase="iterations", n_untimed=0) / n_iterations
            for name, value in found.items():
                if round_ >= 0:
                    seconds[arm][name].append(value)
    return seconds


def summarise(seconds: dict[str, dict[str, list[float]]], problem: Problem) -> dict[str, Any]:
    """Returns medians, ratios to ours within the same round, and the floor of each phase."""
    medians = {
        arm: {name: float(np.median(times)) for name, times in phases.items()} for arm, phases in seconds.items()
    }
    columns = (*PHASES, "total")
    ratios = {
        arm: {name: float(np.median(np.divide(phases[name], seconds[OURS][name]))) for name in columns}
        for arm, phases in seconds.items()
        if OURS in seconds
    }
    floor = {}
    for phase, products in phase_products(problem).items() if problem.ansatz == "slater" else ():
        flop = sum(product.flop for product in products)
        times = {arm: medians[arm][f"products_{phase}"] for arm in medians if arm.endswith("float32")}
        if times:
            fastest = min(times, key=times.get)
            floor[phase] = {"seconds": times[fastest], "flop": flop, "flop_per_second": flop / times[fastest]}
            floor[phase]["fastest"] = fastest
    return {"median_seconds": medians, "ratio_to_ours": ratios, "floor": floor}


def show(summary: dict[str, Any], seconds: dict[str, dict[str, list[float]]]) -> None:
    """Prints the table: milliseconds, the range of the total over rounds, and ratios to ours."""
    columns = (*PHASES, "total")
    rows = []
    for arm, medians in summary["median_seconds"].items():
        ratios = summary["ratio_to_ours"].get(arm, {})
        cells = [f"{1e3 * medians[name]:.1f}" + (f" ({ratios[name]:.2f}x)" if ratios else "") for name in columns]
        total = seconds[arm]["total"]
        rows.append([arm, *cells, f"{1e3 * min(total):.1f} - {1e3 * max(total):.1f}"])
    if summary["floor"]:
        times = [1e3 * summary["floor"][phase]["seconds"] for phase in PHASES]
        rows.append(["matrix products alone", *(f"{time:.1f}" for time in times), f"{sum(times):.1f}", ""])
    title = "milliseconds per iteration, medians (median of ratios to ours in the same round)"
    show_table(title, ["", *PHASES, "total", "range of total"], rows)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Returns the flags."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--arms", nargs="+", default=list(ARMS), metavar="NAME/DTYPE", help=f"of {', '.join(MODULES)}")
    parser.add_argument("--n_rounds", type=int, default=9, help="number of repeats, interleaved over the frameworks")
    parser.add_argument("--n_iterations", type=int, default=20, help="iterations of one repeat of the total")
    parser.add_argument("--before", metavar="CHECKOUT", help="compare with tf_nqs of this checkout alone")
    parser.add_argument("--output", help="JSON file")
    for name, value in asdict(Problem()).items():
        parser.add_argument(f"--{name}", type=type(value), default=value)
    return parser.parse_args(arguments)


def main() -> None:
    """Checks, measures, reports."""
    flags = parse()
    problem = Problem(**{name: getattr(flags, name) for name in asdict(Problem())})
    arms = [arm for arm in flags.arms if problem.is_common or arm.startswith("tf_nqs/")]
    if flags.before:
        arms = [OURS, OURS.replace("tf_nqs", "before")]
    computer = machine()
    if computer["load"] > 0.5:
        say(f"the machine is busy (load {computer['load']:.1f}): frameworks with spinning threads are slowed down most")
    peers, missing, versions = start(arms, problem, flags.n_iterations, flags.before)
    if not peers:
        raise SystemExit("nothing to measure")
    try:
        errors = check(peers, problem, flags.before)
        seconds = measure(peers, flags.n_rounds, flags.n_iterations)
    finally:
        for peer in peers.values():
            peer.close()
    summary = summarise(seconds, problem)
    show(summary, seconds)
    load = os.getloadavg()[0]
    say(f"{computer['processor']}, {computer['cores']} cores; load {computer['load']:.1f} before, {load:.1f} after")
    results = {"machine": computer | {"load_after": load}, "versions": versions, "settings": vars(flags)}
    results |= {"missing": missing, "relative_errors": errors, **summary, "seconds": seconds}
    write_json(flags.output, results)


if __name__ == "__main__":
    main()
