"""One training of one wave function: how many iterations it needs, how quiet it ends, and whether its energy jumps.

Usage: python -m benchmarks.jastrow_study --n_particles=4 --interaction_strength=10 [--ansatz=slater] [--length=0.5] ...

Prints one row, and appends it to --output as a line of JSON. Iterations are judged, not seconds: those are measured
too, but only mean something on a quiet machine.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.report import append_record, machine, say, show_table
from tf_nqs.runtime.startup import import_tensorflow

WINDOW, HOLD = 20, 100
"""Iterations that an energy is averaged over, and that such means must stay within a tolerance, if the run lasts."""

LAST = 50
"""Iterations that the end of a run is judged by, and after which a rise of the energy counts as a jump."""

TOLERANCES = (1e-2, 1e-3)
VARIANTS = ("ct", "mean", "relative")
"""ct is the product's JastrowAnsatz; mean has means instead of sums as messages; relative gives the network the
positions from the centre of mass, whose Gaussian is then exact (harmonic traps only)."""


def stays_within(energies: Sequence[float], reference: float, tolerance: float) -> int | None:
    """Returns the first iteration, counted from 1, from which means stay within a tolerance of the reference.

    Args:
        energies: of all iterations.
        reference: exact energy.
        tolerance: largest distance from it.

    Returns:
        The last iteration of the first of the means over 20 iterations that stay within it for 100 iterations, or to
        the end if that is 20 or more away; None if they never do.
    """
    if len(energies) < WINDOW:
        return None
    means = np.convolve(energies, np.ones(WINDOW) / WINDOW, "valid")
    is_within = np.abs(means - reference) < tolerance
    for start in range(len(is_within) - WINDOW + 1):
        if is_within[start : start + HOLD].all():
            return start + WINDOW
    return None


def make_ansatz(flags: argparse.Namespace) -> Any:
    """Returns the wave function that the flags describe."""
    import tf_nqs

    if flags.ansatz == "slater":
        return tf_nqs.FermionAnsatz(flags.n_particles, dtype=flags.dtype)
    names = ("n_features", "n_layers", "n_pair_features", "n_pair_layers", "length")
    sizes = {name: getattr(flags, name) for name in names if getattr(flags, name) is not None}
    return variant(flags.variant)(flags.n_particles, dtype=flags.dtype, **sizes)


def variant(name: str) -> type:
    """Returns the class of a variant; those that are not the product's have only nested tapes."""
    import tensorflow as tf

    import tf_nqs
    from tf_nqs.layers import PairMessages

    if name == "ct":
        return tf_nqs.JastrowAnsatz

    class Mean(PairMessages):
        def call(self, positions, sums):
            n_others = max(positions.shape[1] - 1, 1)
            return super().call(positions, sums / n_others)

    class Relative(PairMessages):
        def call(self, positions, sums):
            return super().call(positions - tf.reduce_mean(positions, axis=1, keepdims=True), sums)

    class Variant(tf_nqs.JastrowAnsatz):
        def build(self, input_shape):
            kind = Mean if name == "mean" else Relative
            self.messages = kind(name="messages", dtype=self.dtype_policy)
            super().build(input_shape)
            self.gaussian.inverse_width.trainable = name != "relative"

    return Variant


def train(flags: argparse.Namespace) -> dict[str, Any]:
    """Trains as the flags say; returns energies and variances of all iterations, and the seconds of one."""
    import keras

    import tf_nqs
    from tf_nqs.training import make_optimizer
    from tf_nqs.training.pretraining import pretrain

    keras.utils.set_random_seed(flags.seed)
    ansatz = make_ansatz(flags)
    if flags.ansatz == "slater":
        pretrain(ansatz, flags.pretrain_iterations, flags.n_walkers, flags.seed)
    system = tf_nqs.TrappedFermions(flags.n_particles, flags.interaction_strength, flags.interaction_range)
    sampler = tf_nqs.MetropolisHastings(n_walkers=flags.n_walkers, n_steps=flags.n_steps)
    is_product = flags.ansatz == "slater" or flags.variant == "ct"
    laplacian = "auto" if is_product else "nested"
    clip = {} if flags.clip_deviations is None else {"clip_deviations": flags.clip_deviations}
    vmc = tf_nqs.VariationalMonteCarlo(ansatz, system, sampler, laplacian=laplacian, seed=flags.seed, **clip)
    names = ("learning_rate", "decay_iterations", "momentum", "damping", "damping_decay_iterations", "max_step_norm")
    names += ("leverage_bound",)
    options = {name: getattr(flags, name) for name in names if getattr(flags, name) is not None}
    vmc.compile(**make_optimizer("spring", ansatz=flags.ansatz, **options))
    vmc.warm_up()
    energies, variances, seconds = [], [], []
    while len(energies) < flags.iterations:
        started = time.monotonic()
        vmc.fit(10)
        seconds.append((time.monotonic() - started) / 10)
        rows = vmc.recent_iterations()
        energies += rows["energy"].tolist()
        variances += rows["variance"].tolist()
    return {
        "energies": energies,
        "variances": variances,
        "seconds_per_iteration": float(np.median(seconds)),
        "n_parameters": sum(math.prod(weight.shape) for weight in ansatz.trainable_variables),
    }


def judged(training: dict[str, Any], reference: float) -> dict[str, Any]:
    """Returns what a training comes to.

    Args:
        training: what `train` returns.
        reference: exact energy.
    """
    energies, variances = np.array(training["energies"]), np.array(training["variances"])
    later = energies[LAST:] - reference
    return {
        "n_parameters": training["n_parameters"],
        **{f"to_{tolerance:g}": stays_within(energies, reference, tolerance) for tolerance in TOLERANCES},
        "off": float(np.mean(energies[-LAST:]) - reference),
        "variance": float(np.median(variances[-LAST:])),
        "largest_later": float(np.max(later)) if len(later) else math.nan,
        "n_jumps": int(np.sum(later > 0.1)),
        "seconds_per_iteration": training["seconds_per_iteration"],
    }


def parsed() -> argparse.Namespace:
    """Returns the flags; those without a default leave it to the package."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n_particles", type=int, default=4)
    parser.add_argument("--interaction_strength", type=float, default=10.0)
    parser.add_argument("--interaction_range", type=float, default=0.5)
    parser.add_argument("--reference", type=float, help="exact energy; computed if left out")
    parser.add_argument("--ansatz", choices=("jastrow", "slater"), default="jastrow")
    parser.add_argument("--variant", choices=VARIANTS, default="ct", help="of the Jastrow wave function")
    for name in ("n_features", "n_layers", "n_pair_features", "n_pair_layers"):
        parser.add_argument(f"--{name}", type=int)
    for name in ("length", "learning_rate", "momentum", "damping", "max_step_norm", "leverage_bound"):
        parser.add_argument(f"--{name}", type=float)
    for name in ("decay_iterations", "damping_decay_iterations"):
        parser.add_argument(f"--{name}", type=int)
    parser.add_argument("--clip_deviations", type=float)
    parser.add_argument("--iterations", type=int, default=200)
    parser.add_argument("--pretrain_iterations", type=int, default=60, help="of slater")
    parser.add_argument("--n_walkers", type=int, default=512)
    parser.add_argument("--n_steps", type=int, default=10)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, help="file that a line of JSON is appended to")
    return parser.parse_args()


def main() -> None:
    """Trains once and prints the row."""
    flags = parsed()
    import_tensorflow()
    reference = flags.reference
    if reference is None:
        from tf_nqs.exact import reference_energy

        reference = reference_energy(flags.n_particles, flags.interaction_strength, flags.interaction_range).energy
    training = train(flags)
    row = judged(training, reference)
    given = {name: value for name, value in vars(flags).items() if value is not None and name != "output"}
    if flags.output:
        with flags.output.open("a", encoding="utf-8") as file:
            append_record(file, {"settings": given, "reference": reference, "machine": machine()} | row | training)
    title = ", ".join(f"{name}={value}" for name, value in given.items())
    show_table(title, list(row), [["-" if value is None else f"{value:.6g}" for value in row.values()]])
    say(json.dumps({"settings": given} | row))


if __name__ == "__main__":
    main()
