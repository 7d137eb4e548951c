"""Two processes of one core each against one process of one core, and a model of many workers.

Usage: python -m benchmarks.distribution [--cases adam spring family] [--output=FILE]

The processes of all arms of a case stay alive and take turns, so a busy machine affects all of them equally; a ratio is
the median of the ratios within the rounds.
"""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from benchmarks.distribution_model import (
    WORKERS,
    Costs,
    efficiency,
    fitted_messages,
    fitted_serial,
    last_that_pays,
    seconds_per_iteration,
)
from benchmarks.protocol import Peer, PeerError
from benchmarks.report import machine, say, show_table, write_json
from examples.several_workers import free_ports, place_of
from tf_nqs.config import settings_from
from tf_nqs.execution.linear_solve import FEWEST_ROWS
from tf_nqs.experiment.memory import n_parameters, sizes_of

COMMON = {"interaction_strength": 10.0, "n_burn_in": 0, "n_particles": 4}

CASES: dict[str, dict[str, Any]] = {
    "adam": {**COMMON, "optimizer": "adam", "n_walkers": 4096},
    "spring": {**COMMON, "optimizer": "spring", "n_walkers": 2048},
    "family": {
        "config": "family",
        "n_particles": 4,
        "optimizer": "adam",
        "n_conditions": 32,
        "walkers_per_condition": 64,
        "n_burn_in": 0,
    },
}
"""Case -> settings of the single process."""

WEAK = ("adam",)
"""Cases with a third arm: two processes with as many walkers each as the single one has."""

MODELLED = ("adam", "spring")
"""Cases with a table of the model."""

MESSAGES = (4, 40_000, 1_000_000, 18_000_000)
"""Sizes of messages in bytes."""

PARTICLES = (4, 12, 24)
"""Of the model."""

_COLUMNS = 8
"""Numbers per walker that the workers exchange beside positions: parts of the local energy, acceptance, derivatives."""


def settings_of(case: str, arm: str, flags: argparse.Namespace) -> dict[str, Any]:
    """Returns setting -> value of an arm: one, apart, two or weak."""
    leaves = {**CASES[case], "iterations_per_call": flags.n_iterations}
    if flags.jit_compile is not None:
        leaves["jit_compile"] = flags.jit_compile
    if "n_walkers" in leaves:
        leaves["n_walkers"] = round(leaves["n_walkers"] * flags.share) * (2 if arm == "weak" else 1)
    else:
        leaves["walkers_per_condition"] = round(leaves["walkers_per_condition"] * flags.share)
    return leaves | ({"strategy": "multi_worker"} if arm in ("two", "weak") else {})


@contextlib.contextmanager
def started(settings: dict[str, Any], cores: Sequence[int]) -> Iterator[list[Peer]]:
    """Yields the processes of an arm, one for each core, once they have compiled; a strategy joins them."""
    addresses = [f"localhost:{port}" for port in free_ports(len(cores))]
    peers = []
    for index in range(len(cores)):
        environment = {"TF_CONFIG": place_of(index, addresses)} if "strategy" in settings else {}
        peers.append(Peer("benchmarks.distribution_worker", environment=environment))
    try:
        with ThreadPoolExecutor(len(cores)) as pool:
            list(pool.map(lambda peer, core: peer.ask(ask="start", settings=settings, core=core), peers, cores))
        yield peers
    finally:
        for peer in peers:
            peer.kill()


def ask_all(peers: Sequence[Peer], ask: str, *arguments: Any) -> Any:
    """Returns the answer of the first process; all are asked at once."""
    with ThreadPoolExecutor(len(peers)) as pool:
        answers = list(pool.map(lambda peer: peer.ask(ask=ask, arguments=arguments), peers))
    return answers[0]


def measure_case(case: str, cores: Sequence[int], flags: argparse.Namespace) -> dict[str, Any]:
    """Returns arm -> seconds per iteration of each round, and the seconds of messages."""
    arms = ["one", "apart", "two", *(["weak"] if case in WEAK else [])]
    with contextlib.ExitStack() as until_the_end:
        peers = {}
        for arm in arms:
            own = cores[:1] if arm == "one" else cores
            peers[arm] = until_the_end.enter_context(started(settings_of(case, arm, flags), own))
        rounds: dict[str, list[dict[str, float]]] = {arm: [] for arm in arms}
        for number in range(flags.n_rounds):
            for arm in arms[number % len(arms) :] + arms[: number % len(arms)]:
                rounds[arm].append(ask_all(peers[arm], "iterations", flags.n_iterations))
        messages = ask_all(peers["two"], "messages", MESSAGES, flags.n_messages)
    return {"rounds": rounds, "messages": dict(zip(map(str, MESSAGES), messages, strict=True))}


def ratios(found: dict[str, Any]) -> dict[str, float]:
    """Returns strong and weak efficiency of a case, and that of processes which share no work, medians over rounds."""
    wall = {arm: np.array([one["wall"] for one in rounds]) for arm, rounds in found["rounds"].items()}
    speeds = {"strong": wall["one"] / (2 * wall["two"]), "apart": wall["one"] / wall["apart"]}
    speeds |= {"weak": wall["one"] / wall["weak"]} if "weak" in wall else {}
    return {name: float(np.median(one)) for name, one in speeds.items()}


def message_sizes(settings: dict[str, Any]) -> list[float]:
    """Returns the bytes of the sums over all workers in an iteration: walkers, energies, and what the update needs.

    That is the gradient, or the log-derivatives of all walkers, the products of their rows, and blocks of these. Rows
    count half: a ring sends them once, but twice what is summed.
    """
    leaves = {name: value for name, value in settings.items() if name not in ("config", "strategy")}
    sizes = sizes_of(settings_from(settings.get("config"), leaves))
    parameters = n_parameters(sizes)
    update = [parameters]
    if sizes.optimizer != "adam":
        n_rows = min(sizes.n_walkers, parameters)
        blocks = [n_rows**2 / 2] * 2 if n_rows >= FEWEST_ROWS else []  # in float64, of half as many rows
        update = [rows / 2 for rows in (sizes.n_walkers * parameters, n_rows**2, *blocks)]
    return [4.0 * number for number in (sizes.n_walkers * sizes.n_particles, sizes.n_walkers * _COLUMNS, *update)]


def scaled_seconds(case: str, n_particles: int, core: int, flags: argparse.Namespace) -> float:
    """Returns the seconds per iteration of a case's walkers on one core, from fewer of them, as if all cost equally."""
    settings = settings_of(case, "one", flags) | {"n_particles": n_particles}
    n_walkers = settings["n_walkers"]
    settings["n_walkers"] = max(min(n_walkers, flags.n_walkers_of_model), 1)
    with started(settings, [core]) as peers:
        times = [ask_all(peers, "iterations", flags.n_iterations)["wall"] for _ in range(flags.n_rounds)]
    return float(np.median(times)) * n_walkers / settings["n_walkers"]


def seconds_of_particles(
    case: str, measured: float, particles: Sequence[int], core: int, flags: argparse.Namespace
) -> list[float]:
    """Returns the seconds per iteration on one core, for each number of particles.

    What more particles cost is that of their walkers, which is scaled. The linear system of a natural gradient, which
    depends otherwise on the number of walkers, does not depend on that of the particles.

    Args:
        case: adam or spring.
        measured: seconds of four particles.
        particles: numbers of them.
        core: the core.
        flags: of the command.
    """
    if set(particles) <= {4}:
        return [measured for _ in particles]
    scaled = {number: scaled_seconds(case, number, core, flags) for number in {4, *particles}}
    return [max(measured + scaled[number] - scaled[4], 0.0) for number in particles]


def modelled(case: str, found: dict[str, Any], core: int, flags: argparse.Namespace) -> dict[str, Any]:
    """Returns number of particles -> the model's costs and seconds per iteration, by the messages of two workers."""
    latency, per_byte = fitted_messages([(int(size), seconds) for size, seconds in found["messages"].items()])
    wall = {arm: float(np.median([one["wall"] for one in rounds])) for arm, rounds in found["rounds"].items()}
    settings = settings_of(case, "one", flags)
    serial = fitted_serial(wall["one"], wall["two"], latency, per_byte, message_sizes(settings)).serial
    results = {}
    times = seconds_of_particles(case, wall["one"], flags.particles, core, flags)
    for n_particles, alone in zip(flags.particles, times, strict=True):
        costs = Costs(max(alone - serial, 0.0), min(serial, alone), latency, per_byte)
        sizes = message_sizes(settings | {"n_particles": n_particles})
        results[str(n_particles)] = {
            "costs": costs._asdict(),
            "seconds": {number: seconds_per_iteration(costs, number, sizes) for number in WORKERS},
            "efficiency": {number: efficiency(costs, number, sizes) for number in WORKERS},
            "last_that_pays": last_that_pays(costs, sizes),
        }
    return results


def show(results: dict[str, Any], models: dict[str, Any]) -> None:
    """Prints the tables; of the model one for each case."""
    rows = []
    for case, found in results.items():
        wall = {arm: np.median([one["wall"] for one in rounds]) for arm, rounds in found["rounds"].items()}
        both = ratios(found)
        shares = [f"{100 * both[name]:.0f} %" if name in both else "-" for name in ("strong", "weak", "apart")]
        times = [f"{1e3 * wall[arm]:.1f}" if arm in wall else "-" for arm in ("one", "two", "weak", "apart")]
        rows.append([case, *times, *shares])
    header = ["", "one", "two", "two, weak", "two, apart", "strong", "weak", "apart"]
    show_table("ms per iteration, and efficiency", header, rows)
    rows = [[case, *(f"{1e3 * one:.2f}" for one in found["messages"].values())] for case, found in results.items()]
    show_table("ms of a sum over two processes", ["", *(f"{size:,} B" for size in MESSAGES)], rows)
    for case, model in models.items():
        rows = [
            [
                f"A = {particles}",
                *(f"{1e3 * found['seconds'][n]:.1f} ({100 * found['efficiency'][n]:.0f} %)" for n in WORKERS),
                str(found["last_that_pays"]),
            ]
            for particles, found in model.items()
        ]
        title = f"model for {case}: ms per iteration (strong efficiency) by number of workers"
        show_table(title, ["", *map(str, WORKERS), "pays up to"], rows)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Returns the flags."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", nargs="*", choices=CASES, default=list(CASES))
    parser.add_argument("--particles", nargs="*", type=int, default=PARTICLES, help="of the model; none for no model")
    parser.add_argument("--n_rounds", type=int, default=7)
    parser.add_argument("--n_iterations", type=int, default=20, help="in one round, and in one call of fit")
    parser.add_argument("--n_messages", type=int, default=50)
    parser.add_argument("--n_walkers_of_model", type=int, default=256, help="walkers that A = 12 and 24 are timed with")
    parser.add_argument("--share", type=float, default=1.0, help="of the walkers of each case, to try the benchmark")
    parser.add_argument("--jit_compile", action=argparse.BooleanOptionalAction, default=None)
    parser.add_argument("--output", help="JSON file")
    return parser.parse_args(arguments)


def main() -> None:
    """Measures all cases, prints tables and the model."""
    flags, before = parse(), machine()
    cores = sorted(os.sched_getaffinity(0))[:2]
    if len(cores) < 2:
        raise SystemExit("needs two processor cores")
    results = {}
    for case in flags.cases:
        try:
            results[case] = measure_case(case, cores, flags)
            say(f"{case}: " + ", ".join(f"{name} {100 * value:.0f} %" for name, value in ratios(results[case]).items()))
        except PeerError as error:
            say(f"{case} failed: {error}")
    if not results:
        raise SystemExit("nothing was measured")
    of_model = [case for case in MODELLED if case in results and flags.particles]
    models = {case: modelled(case, results[case], cores[0], flags) for case in of_model}
    show(results, models)
    write_json(flags.output, {"machine": before, "settings": vars(flags), "cases": results, "models": models})


if __name__ == "__main__":
    main()
