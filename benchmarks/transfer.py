"""Iterations to the exact energy from the weights of another system, from random ones and from pretrained ones.

Usage: python -m benchmarks.transfer --output=FILE [--seeds 0 1 2 3 4]
       python -m benchmarks.transfer --output=FILE --ansatz=jastrow --n_particles=6 --source_particles=4

An existing file is continued: its seeds are not repeated.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.judge import Judge
from benchmarks.report import append_record, machine, read_records, say, show_table
from benchmarks.system_flags import add_system_flags, checked_settings, given, refuse
from tf_nqs.config import Settings
from tf_nqs.runtime.startup import import_tensorflow

ARMS = {"slater": ("random", "pretrained", "transfer")}
"""Ansatz -> its starts; the others have no pretraining, see `arms_of`."""

MEASUREMENT_SECONDS = 60.0
"""Maximum seconds of one measurement with frozen weights."""

START_ERRORS = 10.0
"""Error of the energy before the first iteration after a transfer, in tolerances."""

WEAKER = 0.5
"""Strength of the source in strengths of the target, where both have the same number of particles."""

RUNNING_MEAN = 20
"""Number of iterations of the last mean in the record."""


def arms_of(ansatz: str | None) -> tuple[str, ...]:
    """Returns the starts that are compared."""
    return ARMS.get(ansatz or "slater", ("random", "transfer"))


def settings_of(flags: argparse.Namespace) -> tuple[Settings, Settings]:
    """Returns the settings of the source and of the target; ends the benchmark where they are refused."""
    leaves = {"optimizer": flags.optimizer, "iterations": flags.max_iterations, "n_walkers": flags.n_walkers}
    leaves |= {"pretrain_iterations": flags.pretrain_iterations}
    leaves |= given(flags) | given(flags, ["learning_rate"])
    source_particles = flags.source_particles or flags.n_particles
    if flags.source_strength is None:
        weaker = WEAKER * flags.interaction_strength
        flags.source_strength = weaker if source_particles == flags.n_particles else flags.interaction_strength
    source = {"n_particles": source_particles, "interaction_strength": flags.source_strength}
    target = {"n_particles": flags.n_particles, "interaction_strength": flags.interaction_strength}
    return checked_settings(leaves | source), checked_settings(leaves | target)


class Trainer:
    """A compiled trainer that starts again and again.

    Args:
        settings: of its system, wave function and training.
    """

    def __init__(self, settings: Settings):
        from tf_nqs.experiment.build import build_ansatz, build_system, build_trainer

        self.settings = settings
        self.vmc = build_trainer(settings, build_system(settings), build_ansatz(settings))
        self.vmc.warm_up()
        # Trainer and optimiser may both list the same variable.
        variables = {id(variable): variable for variable in (*self.vmc.variables, *self.vmc.optimizer.variables)}
        self._start = [(variable, variable.numpy()) for variable in variables.values()]

    def begin(self, seed: int, is_prepared: bool, source: Any = None) -> None:
        """Starts from random weights, or from those of another trainer.

        Args:
            seed: of weights and walkers.
            is_prepared: whether weights and walkers are prepared as those of a run are, by pretraining for example.
            source: trainer whose weights are taken, as far as they do not depend on the number of particles; and its
                walkers, for as many particles.
        """
        import keras
        import tensorflow as tf

        from tf_nqs.experiment.build import build_ansatz
        from tf_nqs.experiment.start import Start
        from tf_nqs.experiment.transfer import transfer_from

        vmc, settings, walkers, kind = self.vmc, self.settings, None, None
        keras.utils.set_random_seed(seed)
        weights = build_ansatz(settings).get_weights()
        for variable, value in self._start:
            variable.assign(value)
        vmc.ansatz.set_weights(weights)
        first = vmc.sampler.initial_state(settings.system.n_particles, tf.constant([seed, 0]))
        if source is not None:
            kind = transfer_from(source.ansatz, vmc.ansatz).kind
            walkers = source.walkers._replace(seed=first.seed) if kind == "interaction" else None
        vmc.place_walkers(walkers or first, burn_in=walkers is None)
        if is_prepared:
            run = settings.run.model_copy(update={"seed": seed})
            start = Start(transfer={"kind": kind} if kind else None)
            start.prepare(vmc, settings.model_copy(update={"run": run}))

    def measure(self, target_error: float) -> tuple[float, float]:
        """Returns the energy with the current weights and its error; the measurement does not affect the training."""
        walkers = self.vmc.walkers
        measurement = self.vmc.evaluate_energy(target_error, MEASUREMENT_SECONDS, relations=False)
        self.vmc.walkers = walkers
        return measurement.energy, measurement.energy_error

    def fit_until(self, is_done: Callable[[list[float]], bool], iterations: int) -> None:
        """Trains until a function of the energies since its last call, such as `Judge.record`, says so.

        Args:
            is_done: asked after every call of `iterations_per_call` iterations.
            iterations: the largest number of them.
        """
        from tf_nqs.callbacks import IterationCallback

        class Watch(IterationCallback):
            """Asks after every call."""

            def on_iterations(self, rows: dict[str, Any]) -> None:
                if is_done(rows["energy"].tolist()):
                    self.stop("judged")

        self.vmc.fit(iterations, callbacks=[Watch()])


class Trainings:
    """The trainings of source and target, each with one trainer for all seeds.

    Args:
        flags: flags of the command line.
    """

    def __init__(self, flags: argparse.Namespace):
        from tf_nqs.exact import Reference, reference_energy

        source, target = settings_of(flags)
        found = reference_energy(**target.system.model_dump())
        self.reference = found if flags.reference is None else Reference(flags.reference, "given", 0.0)
        if self.reference.energy is None:
            refuse(f"n_particles = {flags.n_particles}: this system has no reference; --reference must give one")
        self._flags, self._source, self._target = flags, Trainer(source), Trainer(target)

    def compare(self, seed: int) -> dict[str, Any]:
        """Trains the target from every start, with equal settings.

        Args:
            seed: seed of initial weights and walkers.

        Returns:
            Start -> verdict of its judge; the energy of the source, and that of the target before its first iteration.
        """
        flags, arms = self._flags, {}
        names = arms_of(flags.ansatz)
        for arm in names[:-1]:
            self._target.begin(seed, is_prepared=arm == "pretrained" or "pretrained" not in names)
            arms[arm] = self._until_reached()
        self._source.begin(seed, is_prepared=True)
        self._source.vmc.fit(flags.source_iterations)
        source = self._source.measure(flags.tolerance)
        self._target.begin(seed, is_prepared=True, source=self._source.vmc)
        start = self._target.measure(START_ERRORS * flags.tolerance)
        arms["transfer"] = self._until_reached()
        energies = {"source": source, "start": start}
        return {
            "seed": seed,
            **{name: dict(zip(("energy", "energy_error"), value, strict=True)) for name, value in energies.items()},
            **arms,
        }

    def _until_reached(self):
        flags, target = self._flags, self._target
        reference = self.reference.energy, self.reference.uncertainty
        judge = Judge(*reference, [flags.tolerance], RUNNING_MEAN, 0, flags.max_seconds, target.measure)
        target.fit_until(judge.record, flags.max_iterations)
        return judge.verdict()


def show(records: list[dict[str, Any]], flags: argparse.Namespace) -> None:
    """Prints a row per seed, and how often transfer was faster than each of the others."""
    arms = arms_of(flags.ansatz)
    tolerance, rows, n_fewer = f"{flags.tolerance:g}", [], dict.fromkeys(arms[:-1], 0)
    for record in sorted(records, key=lambda record: record["seed"]):
        reached = [record[arm]["reached"][tolerance] for arm in arms]
        cells = [f"{found['iteration']} ({found['energy']:.5f})" if found else "never" for found in reached]
        *others, by_transfer = [found["iteration"] if found else math.inf for found in reached]
        for arm, count in zip(n_fewer, others, strict=True):
            n_fewer[arm] += by_transfer < count
        energies = [f"{record[name]['energy']:.5f}" if name in record else "" for name in ("source", "start")]
        rows.append([str(record["seed"]), *energies, *cells])
    header = ["seed", "energy of the source", "of the target, before training", *arms]
    source = f"A = {flags.source_particles or flags.n_particles}, strength {flags.source_strength:g}"
    target = f"A = {flags.n_particles}, strength {flags.interaction_strength:g}"
    title = f"{source} -> {target}, {flags.ansatz or 'slater'}, {flags.optimizer}: iterations until within {tolerance}"
    show_table(f"{title} of exact (energy with these weights)", header, rows)
    for arm, count in n_fewer.items():
        say(f"fewer iterations by transfer than from {arm} weights for {count} of {len(rows)} seeds")


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Returns the flags."""
    from tf_nqs import defaults

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", required=True, help="file of one JSON record per line; continued if it exists")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--n_particles", type=int, default=4)
    parser.add_argument("--source_particles", type=int, help="default: n_particles")
    parser.add_argument(
        "--source_strength",
        type=float,
        help="default: half of interaction_strength; with another number of particles the same",
    )
    parser.add_argument("--interaction_strength", type=float, default=10.0)
    add_system_flags(parser)
    parser.add_argument("--reference", type=float, help="energy to reach; default: the exact one")
    parser.add_argument("--optimizer", default="spring", choices=defaults.OPTIMIZERS)
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
    settings_of(flags)
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
            say(f"seed {seed}: " + ", ".join(f"{arm} {record[arm]['reached']}" for arm in arms_of(flags.ansatz)))
    show(records, flags)


if __name__ == "__main__":
    main()
