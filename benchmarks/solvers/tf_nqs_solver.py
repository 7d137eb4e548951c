"""A training by tf_nqs, from the building blocks of its experiment."""

from __future__ import annotations

import time

import numpy as np

from benchmarks.judge import Judge
from benchmarks.problem import Problem, draw_weights
from benchmarks.protocol import answer
from tf_nqs.runtime.startup import import_tensorflow

LAST = 50
"""Iterations at the end of a run that the variance is the median of."""


def solve(job: dict) -> dict:
    """Trains until the judge ends it.

    Args:
        job: "problem", "settings" (of `tf_nqs.config`), "criterion", "judge" (arguments of `Judge`), and
            "measurement_seconds", the longest time of one measurement with frozen weights: a state that needs longer
            fluctuates too much; "to_the_end", whether all iterations are trained, whatever the judge says.

    Returns:
        The judge's verdict; `seconds_compile` of the compilation, which it does not count; `seconds_processor` of the
        training; and the median `variance` of the local energy over the last iterations.
    """
    import_tensorflow()
    import keras

    from benchmarks.peers.tf_nqs_peer import set_weights
    from tf_nqs.callbacks import IterationCallback
    from tf_nqs.config import settings_from
    from tf_nqs.experiment.build import build_ansatz, build_system, build_trainer
    from tf_nqs.experiment.start import Start

    class Watch(IterationCallback):
        """Passes every iteration to the judge."""

        def on_iterations(self, rows):
            variances.extend(rows["variance"].tolist())
            if judge.record(rows["energy"].tolist()) and not job["to_the_end"]:
                self.stop("judged")

    settings = settings_from(None, job["settings"])
    keras.utils.set_random_seed(settings.run.seed)
    ansatz = build_ansatz(settings)
    is_slater, variances, measuring = settings.ansatz.ansatz == "slater", [], [0.0]
    if is_slater:
        set_weights(ansatz, draw_weights(Problem(**job["problem"])))
    vmc = build_trainer(settings, build_system(settings), ansatz)

    def measure(target_error):
        walkers, began = vmc.walkers, time.process_time()
        measurement = vmc.evaluate_energy(target_error, job["measurement_seconds"], relations=False)
        vmc.walkers = walkers
        measuring[0] += time.process_time() - began
        return measurement.energy, measurement.energy_error

    started = time.monotonic()
    _run_in(vmc)
    seconds_compile = time.monotonic() - started
    judge, began = Judge(**job["judge"], measure=measure if job["criterion"] == "frozen" else None), time.process_time()
    if not is_slater:  # which NetKet's start is shared with, without pretraining
        Start().prepare(vmc, settings)
    vmc.fit(settings.training.iterations, callbacks=[Watch()])
    ends = {"seconds_processor": time.process_time() - began - measuring[0], "variance": np.median(variances[-LAST:])}
    return judge.verdict() | ends | {"seconds_compile": seconds_compile}


def _run_in(vmc) -> None:
    """Compiles everything by a first call, then restores the state."""
    vmc.warm_up()
    variables = {id(variable): variable for variable in (*vmc.variables, *vmc.optimizer.variables)}.values()
    start = [variable.numpy() for variable in variables]
    vmc.fit(vmc.iterations_per_call)
    for variable, value in zip(variables, start, strict=True):
        variable.assign(value)


if __name__ == "__main__":
    answer(solve)
