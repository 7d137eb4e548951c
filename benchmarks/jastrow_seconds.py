"""Seconds per iteration of JastrowAnsatz against FermionAnsatz, taking turns in one process.

Usage: python -m benchmarks.jastrow_seconds --n_particles 4 8 12 [--n_rounds=7] [--n_features=16 --n_pair_features=16]

Every round trains each wave function for ten iterations. Ratios are medians of the ratios within the rounds, of
seconds on the clock and of seconds of the processor (all threads).
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.report import append_record, machine, show_table
from tf_nqs.runtime.startup import import_tensorflow

KINDS = ("slater", "jastrow")


def make_trainer(kind: str, n_particles: int, flags: argparse.Namespace) -> Any:
    """Returns a compiled trainer with SPRING, after its first iterations.

    Args:
        kind: slater or jastrow.
        n_particles: A.
        flags: of the command line.
    """
    import tf_nqs
    from tf_nqs.training import make_optimizer

    sizes = {name: getattr(flags, name) for name in ("n_features", "n_pair_features", "n_pair_layers", "n_layers")}
    sizes = {name: size for name, size in sizes.items() if size is not None}
    ansatz = (
        tf_nqs.FermionAnsatz(n_particles, dtype=flags.dtype)
        if kind == "slater"
        else tf_nqs.JastrowAnsatz(n_particles, dtype=flags.dtype, **sizes)
    )
    sampler = tf_nqs.MetropolisHastings(n_walkers=flags.n_walkers)
    system = tf_nqs.TrappedFermions(n_particles, interaction_strength=10.0)
    vmc = tf_nqs.VariationalMonteCarlo(ansatz, system, sampler)
    vmc.compile(**make_optimizer("spring"))
    vmc.fit(10)
    return vmc


def measure(n_particles: int, flags: argparse.Namespace) -> dict[str, Any]:
    """Returns medians of both wave functions, and of their ratios."""
    trainers = [make_trainer(kind, n_particles, flags) for kind in KINDS]
    rounds = []
    for _ in range(flags.n_rounds):
        row = []
        for vmc in trainers:
            wall, processor = time.monotonic(), time.process_time()
            vmc.fit(10)
            row.append(((time.monotonic() - wall) / 10, (time.process_time() - processor) / 10))
        rounds.append(row)
    seconds = np.array(rounds)  # (n_rounds, kind, clock or processor)
    medians, ratios = np.median(seconds, axis=0), np.median(seconds[:, 1] / seconds[:, 0], axis=0)
    return {
        "n_particles": n_particles,
        "slater_seconds": float(medians[0, 0]),
        "jastrow_seconds": float(medians[1, 0]),
        "ratio": float(ratios[0]),
        "slater_processor": float(medians[0, 1]),
        "jastrow_processor": float(medians[1, 1]),
        "processor_ratio": float(ratios[1]),
    }


def main() -> None:
    """Measures every number of particles and prints a row of each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n_particles", type=int, nargs="+", default=[4, 8, 12])
    parser.add_argument("--n_rounds", type=int, default=7)
    parser.add_argument("--n_walkers", type=int, default=512)
    parser.add_argument("--dtype", default="float32")
    for name in ("n_features", "n_layers", "n_pair_features", "n_pair_layers"):
        parser.add_argument(f"--{name}", type=int, help="of jastrow")
    parser.add_argument("--output", type=Path, help="file that a line of JSON per row is appended to")
    flags = parser.parse_args()
    import_tensorflow()
    rows = [measure(n_particles, flags) for n_particles in flags.n_particles]
    if flags.output:
        with flags.output.open("a", encoding="utf-8") as file:
            for row in rows:
                given = {name: value for name, value in vars(flags).items() if name != "output"}
                append_record(file, {"settings": given, "machine": machine()} | row)
    show_table("Seconds per iteration", list(rows[0]), [[f"{value:.4g}" for value in row.values()] for row in rows])


if __name__ == "__main__":
    main()
