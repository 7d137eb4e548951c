"""Iterations to the exact energy from the weights of a weaker interaction, from random ones and from pretrained ones.

Usage: python -m benchmarks.transfer --output=FILE [--seeds 0 1 2 3 4]

An existing file is continued: its seeds are not repeated.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

from benchmarks.judge import Judge
from benchmarks.report import append_record, machine, read_records, say, show_table
from tf_nqs.runtime.startup import import_tensorflow

ARMS = ("random", "pretrained", "transfer")
MEASUREMENT_SECONDS = 60.0
"""Maximum seconds of one measurement with frozen weights."""

RUNNING_MEAN = 20
"""Number of iterations of the last mean in the record."""


class Trainings:
    """All runs share one trainer: the strength of the interaction is a variable of its compiled phases.

    Args:
        flags: flags of the command line.
    """

    def __init__(self, flags: argparse.Namespace):
        import tensorflow as tf

        from tf_nqs.config import settings_from
        from tf_nqs.exact import reference_energy
        from tf_nqs.experiment.build import build_ansatz, build_trainer
        from tf_nqs.physics import TrappedFermions

        leaves = {"n_particles": flags.n_particles, "interaction_strength": flags.interaction_strength}
        leaves |= {"optimizer": flags.optimizer, "iterations": flags.max_iterations, "n_walkers": flags.n_walkers}
        leaves |= {"pretrain_iterations": flags.pretrain_iterations}
        leaves |= {"learning_rate": flags.learning_rate} if flags.learning_rate else {}
        self._flags, self._settings = flags, settings_from(None, leaves)
        self._strength = tf.Variable(flags.interaction_strength, trainable=False)
        width = self._settings.system.interaction_range

        def pair_potential(distances):
            height = self._strength / (math.sqrt(2 * math.pi) * width)
            return height * tf.exp(-0.5 * (distances / width) ** 2)

        system = TrappedFermions(flags.n_particles, pair_potential=pair_potential)
        self._vmc = build_trainer(self._settings, system, build_ansatz(self._settings))
        self._vmc.warm_up()
        # Trainer and optimiser may both list the same variable.
        variables = {id(variable): variable for variable in (*self._vmc.variables, *self._vmc.optimizer.variables)}
        self._start = [(variable, variable.numpy()) for variable in variables.values()]
        self.reference = reference_energy(flags.n_particles, flags.interaction_strength, width)

    def compare(self, seed: int) -> dict[str, Any]:
        """Trains from random weights, from the same weights after pretraining, and by transfer, with equal settings.

        Args:
            seed: seed of initial weights and walkers.

        Returns:
            Start -> verdict of its judge; and the energy of the source.
        """
        arms = {}
        for arm, is_pretrained in (("random", False), ("pretrained", True)):
            self._begin(seed, self._flags.interaction_strength, is_pretrained)
            arms[arm] = self._until_reached()
        self._begin(seed, self._flags.source_strength)
        self._vmc.fit(self._flags.source_iterations)
        source = self._measure(self._flags.tolerance)
        self._begin(seed, self._flags.interaction_strength, is_transfer=True)
        arms["transfer"] = self._until_reached()
        return {"seed": seed, "source": dict(zip(("energy", "energy_error"), source, strict=True)), **arms}

    def _begin(self, seed, strength, is_pretrained=True, is_transfer=False):
        """Resets the trainer; a transfer keeps all weights and the walkers of the last training."""
        import keras
        import tensorflow as tf

        from tf_nqs.experiment.build import build_ansatz
        from tf_nqs.experiment.transfer import transfer_from
        from tf_nqs.training import pretrain

        vmc, settings = self._vmc, self._settings
        keras.utils.set_random_seed(seed)
        ansatz = build_ansatz(settings)
        if is_transfer:
            transfer_from(vmc.ansatz, ansatz)
        elif is_pretrained:
            pretrain(ansatz, settings.training.pretrain_iterations, settings.sampling.n_walkers, seed)
        last = vmc.walkers
        for variable, value in self._start:
            variable.assign(value)
        transfer_from(ansatz, vmc.ansatz)
        key = tf.constant([seed, 0])
        first = vmc.sampler.initial_state(settings.system.n_particles, key)
        vmc.place_walkers(last._replace(seed=first.seed) if is_transfer else first, burn_in=not is_transfer)
        self._strength.assign(strength)

    def _until_reached(self):
        from tf_nqs.callbacks import IterationCallback

        class Watch(IterationCallback):
            """Passes every iteration to the judge."""

            def on_iterations(self, rows):
                if judge.record(rows["energy"].tolist()):
                    self.stop("judged")

        flags = self._flags
        reference = self.reference.energy, self.reference.uncertainty
        judge = Judge(*reference, [flags.tolerance], RUNNING_MEAN, 0, flags.max_seconds, self._measure)
        self._vmc.fit(flags.max_iterations, callbacks=[Watch()])
        return judge.verdict()

    def _measure(self, target_error):
        """Returns the energy with the current weights; the measurement does not affect the training."""
        walkers = self._vmc.walkers
        measurement = self._vmc.evaluate_energy(target_error, MEASUREMENT_SECONDS, relations=False)
        self._vmc.walkers = walkers
        return measurement.energy, measurement.energy_error


def show(records: list[dict[str, Any]], flags: argparse.Namespace) -> None:
    """Prints a row per seed, and how often transfer was faster than each of the others."""
    tolerance, rows, n_fewer = f"{flags.tolerance:g}", [], dict.fromkeys(ARMS[:-1], 0)
    for record in sorted(records, key=lambda record: record["seed"]):
        reached = [record[arm]["reached"][tolerance] for arm in ARMS]
        cells = [f"{found['iteration']} ({found['energy']:.5f})" if found else "never" for found in reached]
        *others, by_transfer = [found["iteration"] if found else math.inf for found in reached]
        for arm, count in zip(n_fewer, others, strict=True):
            n_fewer[arm] += by_transfer < count
        rows.append([str(record["seed"]), f"{record['source']['energy']:.5f}", *cells])
    header = ["seed", f"energy of the source, V0 = {flags.source_strength:g}", *ARMS]
    title = f"iterations until within {tolerance} of exact (energy with these weights), V0 = "
    show_table(f"{title}{flags.interaction_strength:g}, {flags.optimizer}", header, rows)
    for arm, count in n_fewer.items():
        say(f"fewer iterations by transfer than from {arm} weights for {count} of {len(rows)} seeds")


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Returns the flags."""
    from tf_nqs import defaults

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", required=True, help="file of one JSON record per line; continued if it exists")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--n_particles", type=int, default=4)
    parser.add_argument("--source_strength", type=float, default=5.0)
    parser.add_argument("--interaction_strength", type=float, default=10.0)
    parser.add_argument("--optimizer", default="spring", choices=list(defaults.LEARNING_RATE))
    parser.add_argument("--learning_rate", type=float, help="learning rate; default: that of the optimiser")
    parser.add_argument("--source_iterations", type=int, default=400, help="number of iterations of the source")
    parser.add_argument("--pretrain_iterations", type=int, default=defaults.PRETRAIN_ITERATIONS)
    parser.add_argument("--max_iterations", type=int, default=2000, help="maximum number of iterations per run")
    parser.add_argument("--max_seconds", type=float, default=1e6, help="maximum seconds per run, without measurements")
    parser.add_argument("--tolerance", type=float, default=1e-3, help="tolerance in hbar*omega")
    parser.add_argument("--n_walkers", type=int, default=defaults.N_WALKERS)
    return parser.parse_args(arguments)


def main() -> None:
    """Runs, appends each seed's record to the file, reports."""
    flags = parse()
    import_tensorflow()
    path = Path(flags.output)
    records = read_records(path, "seed")
    todo = [seed for seed in flags.seeds if seed not in {record["seed"] for record in records}]
    trainings = Trainings(flags) if todo else None
    with path.open("a", encoding="utf-8") as file:
        append_record(file, {"machine": machine(), "settings": vars(flags)})
        for seed in todo:
            records.append(record := trainings.compare(seed))
            append_record(file, record)
            say(f"seed {seed}: " + ", ".join(f"{arm} {record[arm]['reached']}" for arm in ARMS))
    show(records, flags)


if __name__ == "__main__":
    main()
