"""A training by tf_nqs, from the building blocks of its experiment."""

from __future__ import annotations

import time

from benchmarks.judge import Judge
from benchmarks.problem import Problem, draw_weights
from benchmarks.protocol import answer
from tf_nqs.runtime.startup import import_tensorflow

MEASUREMENT_SECONDS = 15.0
"""Maximum seconds of one measurement with frozen weights: a state that needs longer fluctuates too much."""


def solve(job: dict) -> dict:
    """Trains until the judge ends it.

    Args:
        job: "problem", "settings" (of `tf_nqs.config`), "criterion", "judge" (arguments of `Judge`).

    Returns:
        The judge's verdict, and the seconds of compilation, which it does not count.
    """
    import_tensorflow()
    from benchmarks.peers.tf_nqs_peer import set_weights
    from tf_nqs.callbacks import IterationCallback
    from tf_nqs.config import settings_from
    from tf_nqs.experiment.build import build_ansatz, build_system, build_trainer

    class Watch(IterationCallback):
        """Passes every iteration to the judge."""

        def on_iterations(self, rows):
            if judge.record(rows["energy"].tolist()):
                self.stop("judged")

    settings = settings_from(None, job["settings"])
    ansatz = build_ansatz(settings)
    set_weights(ansatz, draw_weights(Problem(**job["problem"])))
    vmc = build_trainer(settings, build_system(settings), ansatz)

    def measure(target_error):
        walkers = vmc.walkers
        measurement = vmc.evaluate_energy(target_error, max_seconds=MEASUREMENT_SECONDS, relations=False)
        vmc.walkers = walkers
        return measurement.energy, measurement.energy_error

    started = time.monotonic()
    _run_in(vmc)
    seconds_compile = time.monotonic() - started
    judge = Judge(**job["judge"], measure=measure if job["criterion"] == "frozen" else None)
    vmc.fit(settings.training.iterations, callbacks=[Watch()])
    return judge.verdict() | {"seconds_compile": seconds_compile}


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
