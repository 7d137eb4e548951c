"""Effective samples per second of each sampler on a trained state, for several numbers of steps per iteration.

Usage: python -m benchmarks.sampling [--run_dir=FOLDER] [--output=FILE]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from benchmarks.report import machine, say, show_table, write_json
from tf_nqs.runtime.startup import import_tensorflow

import_tensorflow()

import tensorflow as tf  # noqa: E402

from tf_nqs.analysis.chain_sums import ChainSums  # noqa: E402
from tf_nqs.config import Settings, settings_from  # noqa: E402
from tf_nqs.execution.compilation import compiled_phase  # noqa: E402
from tf_nqs.experiment.build import build_ansatz, build_system, build_trainer, load  # noqa: E402
from tf_nqs.physics.energy import clip_local_energy  # noqa: E402
from tf_nqs.sampling import Sampler, make_sampler  # noqa: E402
from tf_nqs.training import VariationalMonteCarlo  # noqa: E402
from tf_nqs.types import WalkerState  # noqa: E402

OBSERVABLES = ("local_energy", "trap", "centre")
"""e_L (clipped, as in the gradient), sum x^2/2 and mean x: from the fastest mode to the slowest."""

COSTS = ("sampling", "measurement", "iteration")
"""Costs of one row of samples: steps alone; with local energies; with log-derivatives and natural gradient."""

SHOWN_COSTS = ("sampling", "iteration")
"""Costs in the table; the JSON file has all."""

BASELINE = ("metropolis:0.5", 10)
"""Sampler and number of steps that the ratios refer to, if they are measured."""

Seconds = dict[str, list[float]]


class Chains(NamedTuple):
    """The steps of one sampler with one target acceptance.

    Attributes:
        acceptance: accepted share.
        proposal_width: width adapted to the target acceptance, in a_ho.
        energy: mean of the local energies, not clipped, in hbar*omega.
        values: observable -> values after each step, shape (n_samples, n_walkers).
    """

    acceptance: float
    proposal_width: float
    energy: float
    values: dict[str, np.ndarray]


def trained(flags: argparse.Namespace) -> tuple[VariationalMonteCarlo, Settings]:
    """Returns a trainer with a trained ansatz: from `run_dir`, or trained here by the quickstart's recipe."""
    if flags.run_dir:
        system, ansatz, settings = load(flags.run_dir)
    else:
        names = ("n_particles", "interaction_strength", "iterations", "seed")
        settings = settings_from("quickstart", {name: getattr(flags, name) for name in names})
        system, ansatz = build_system(settings), build_ansatz(settings)
        say(f"training for {flags.iterations} iterations ...")
        build_trainer(settings, system, ansatz).fit(flags.iterations)
    sampling = settings.sampling.model_copy(update={"n_walkers": flags.n_walkers})
    training = settings.training.model_copy(update={"optimizer": "spring"})
    settings = settings.model_copy(update={"sampling": sampling, "training": training})
    return build_trainer(settings, system, ansatz), settings


def compiled_samplers(vmc: VariationalMonteCarlo, flags: argparse.Namespace) -> dict[str, Callable]:
    """Returns sampler -> compiled function, (state, n_steps) -> (state, acceptance).

    Without global moves: training makes one per call, but here every step is a separate call, so that every step would
    have one.
    """

    def compiled(sampler: Sampler):
        return compiled_phase(lambda state, steps: sampler.sample(vmc.ansatz.log_abs_psi, state, steps), True)

    names = dict.fromkeys(arm.partition(":")[0] for arm in flags.arms)
    return {name: compiled(make_sampler(name, n_walkers=flags.n_walkers, global_moves=False)) for name in names}


def run_chains(
    arm: str, samplers: dict[str, Callable], vmc: VariationalMonteCarlo, flags: argparse.Namespace
) -> Chains:
    """Burns the walkers in, freezes the adapted width, and records observables after every step."""
    name, _, target = arm.partition(":")
    settings = {"n_walkers": flags.n_walkers, "n_burn_in": 1000, "target_acceptance": float(target)}
    sampler = make_sampler(name, **settings, global_moves=False)
    state = sampler.initial_state(vmc.system.n_particles, tf.constant([flags.seed, 1]), vmc.compute_dtype)
    state = sampler.burn_in(lambda state: samplers[name](state, sampler.n_steps), state)
    acceptances, energies, positions = [], [], []
    for _ in range(flags.n_samples):
        state, acceptance = samplers[name](state, 1)
        acceptances.append(float(acceptance))
        energies.append(vmc.phases.local_energy(state.positions).total.numpy())
        positions.append(state.positions.numpy())
    flat = tf.constant(np.ravel(energies))
    clipped = clip_local_energy(flat, tf.ones_like(flat), vmc.clip.deviations).numpy()
    x = np.array(positions, np.float64)
    values = {"local_energy": clipped.reshape(x.shape[:2]), "trap": np.sum(x**2, axis=2) / 2, "centre": x.mean(axis=2)}
    return Chains(
        acceptance=float(np.mean(acceptances)),
        proposal_width=float(state.proposal_width),
        energy=float(np.mean(energies)),
        values=values,
    )


def autocorrelation_time(values: np.ndarray, n_steps: int) -> float:
    """Returns the number of rows, `n_steps` apart, per independent row; the mean over the n_steps first rows."""
    times = []
    for first in range(n_steps):
        record = ChainSums(values.shape[1])
        for row in values[first::n_steps]:
            record.add(row[np.newaxis])
        times.append(record.estimate().autocorrelation_time)
    return float(np.mean(times))


def measure_seconds(
    samplers: dict[str, Callable], chains: dict[str, Chains], vmc: VariationalMonteCarlo, flags: argparse.Namespace
) -> Seconds:
    """Times every compiled function once per round; each round starts with another one.

    Returns:
        "sampler n_steps", "local_energy" and "gradient" (log-derivatives, natural gradient) -> seconds of each round.
    """
    walkers = vmc.walkers
    ones = tf.ones_like(walkers.positions[:, 0])
    energies = vmc.phases.local_energy(walkers.positions).total

    @tf.function(autograph=False)
    def gradient():
        scores = vmc.phases.derivatives(walkers.positions, energies, ones)
        return vmc.natural_gradient.direction(scores, energies, ones, tf.ones_like(ones[0]))

    jobs = {
        "local_energy": lambda: vmc.phases.local_energy(walkers.positions).total.numpy(),
        "gradient": lambda: gradient().numpy(),
    }
    for name, sample in samplers.items():
        width = next(found.proposal_width for arm, found in chains.items() if arm.startswith(f"{name}:"))
        state = WalkerState(walkers.positions, walkers.seed, tf.constant(width, walkers.positions.dtype))
        for n_steps in flags.n_steps:
            jobs[f"{name} {n_steps}"] = lambda sample=sample, state=state, n=n_steps: sample(state, n)[1].numpy()
    seconds: Seconds = {name: [] for name in jobs}
    names = list(jobs)
    for round_ in range(-1, flags.n_repeats):  # round -1 warms up
        first = max(round_, 0) % len(names)
        for name in names[first:] + names[:first]:
            started = time.perf_counter()
            jobs[name]()
            if round_ >= 0:
                seconds[name].append(time.perf_counter() - started)
    return seconds


def summarise(chains: dict[str, Chains], seconds: Seconds, flags: argparse.Namespace) -> list[dict[str, Any]]:
    """Returns a record per sampler and number of steps: correlation, cost, and effective samples per second."""
    medians = {name: float(np.median(times)) for name, times in seconds.items()}
    records = []
    for arm, found in chains.items():
        for n_steps in flags.n_steps:
            cost = {"sampling": medians[f"{arm.partition(':')[0]} {n_steps}"]}
            cost["measurement"] = cost["sampling"] + medians["local_energy"]
            cost["iteration"] = cost["measurement"] + medians["gradient"]
            tau = {name: autocorrelation_time(found.values[name], n_steps) for name in OBSERVABLES}
            rates = {name: {part: flags.n_walkers / (tau[name] * cost[part]) for part in COSTS} for name in OBSERVABLES}
            record = {"arm": arm, "n_steps": n_steps, "acceptance": found.acceptance, "width": found.proposal_width}
            records.append(record | {"seconds": cost, "tau": tau, "effective_samples_per_second": rates})
    return records


def per_step(seconds: Seconds, name: str) -> float:
    """Returns the seconds of one step: the slope of the medians, without the constant cost of a call."""
    points = [(int(key.split()[1]), np.median(times)) for key, times in seconds.items() if key.startswith(name + " ")]
    return float(np.polyfit(*np.transpose(points), 1)[0])


def show(records: list[dict[str, Any]]) -> None:
    """Prints a row per sampler and number of steps: effective samples of e_L per second, and ratios to the baseline."""
    base = next((record for record in records if (record["arm"], record["n_steps"]) == BASELINE), records[0])
    rows = []
    for record in records:
        rates, base_rates = record["effective_samples_per_second"], base["effective_samples_per_second"]
        cells = [f"{1e3 * record['seconds']['sampling']:.1f}"]
        cells += [f"{record['tau'][name]:.2f}" for name in OBSERVABLES]
        for part in SHOWN_COSTS:
            cells.append(f"{rates['local_energy'][part]:,.0f}")
            cells += [f"{rates[name][part] / base_rates[name][part]:.2f}" for name in ("local_energy", "trap")]
        rows.append([record["arm"], str(record["n_steps"]), *cells])
    header = ["arm", "n_steps", "ms", *(f"tau {name}" for name in ("e_L", *OBSERVABLES[1:]))]
    for part in SHOWN_COSTS:
        header += [f"e_L/s, {part}", "ratio", "trap ratio"]
    title = f"autocorrelation times in calls; effective samples per second, and over those of {base['arm']}, "
    show_table(title + f"{base['n_steps']} steps", header, rows)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Returns the flags."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run_dir", help="folder of a finished run; without one, the quickstart's recipe is run")
    parser.add_argument("--n_particles", type=int, default=4)
    parser.add_argument("--interaction_strength", type=float, default=10.0)
    parser.add_argument("--iterations", type=int, default=150, help="number of iterations of that training")
    parser.add_argument("--n_walkers", type=int, default=512)
    parser.add_argument("--n_steps", nargs="+", type=int, default=[1, 2, 3, 5, 10, 20])
    arms = ["metropolis:0.5", "metropolis:0.35", "mala:0.6", "mala:0.7", "mala:0.8"]
    parser.add_argument("--arms", nargs="+", default=arms, metavar="SAMPLER:ACCEPTANCE")
    parser.add_argument("--n_samples", type=int, default=400, help="steps of the chains")
    parser.add_argument("--n_repeats", type=int, default=9, help="timings of each function, interleaved")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", help="JSON file")
    return parser.parse_args(arguments)


def main() -> None:
    """Trains, samples, times, reports."""
    flags, before = parse(), machine()
    vmc, settings = trained(flags)
    samplers = compiled_samplers(vmc, flags)
    chains = {}
    for arm in flags.arms:
        found = chains[arm] = run_chains(arm, samplers, vmc, flags)
        say(f"{arm}: acceptance {found.acceptance:.3f}, width {found.proposal_width:.3f}, energy {found.energy:.4f}")
    seconds = measure_seconds(samplers, chains, vmc, flags)
    records = summarise(chains, seconds, flags)
    show(records)
    steps = {name: per_step(seconds, name) for name in samplers}
    say("; ".join(f"a step of {name} takes {1e3 * step:.2f} ms" for name, step in steps.items()))
    results = {"machine": before, "settings": vars(flags), "run": settings.model_dump(), "seconds_per_step": steps}
    write_json(flags.output, results | {"records": records, "seconds": seconds})


if __name__ == "__main__":
    main()
