"""The parts of a start-up, one after the other in a separate process: wall and processor seconds of each."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.protocol import answer
from tf_nqs.config import settings_from
from tf_nqs.runtime.startup import collection_paused, import_tensorflow


class Stopwatch:
    """Wall and processor seconds (all threads) of named parts."""

    def __init__(self):
        self.parts: dict[str, dict[str, float]] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Times the `with` block."""
        wall, processor = time.perf_counter(), time.process_time()
        yield
        self.parts[name] = {"wall": time.perf_counter() - wall, "processor": time.process_time() - processor}


def measure(job: dict) -> dict[str, dict[str, float]]:
    """Returns part -> {"wall", "processor"}, in seconds.

    Args:
        job: "config", argument of `tf_nqs.config.settings_from`.
    """
    watch, settings = Stopwatch(), settings_from(job["config"])
    with watch.part("import TensorFlow"), collection_paused(freeze=True):
        import_tensorflow()
    with watch.part("import tf_nqs"), collection_paused(freeze=True):
        import tensorflow as tf

        from tf_nqs.experiment import build as builders

    with watch.part("reference"):
        builders.find_reference(settings)
    with watch.part("model"):
        ansatz = builders.build_ansatz(settings)
        vmc = builders.build_trainer(settings, builders.build_system(settings), ansatz)
    walkers = vmc.walkers
    positions, ones = walkers.positions, tf.ones_like(walkers.positions[:, 0])
    calls = {"local energy": (vmc.phases.local_energy, (positions,)), "sampling": (vmc.phases.sample, (walkers,))}
    calls["update"] = (vmc.phases.derivatives, (positions, ones, ones))
    for name, (phase, arguments) in calls.items():
        with watch.part(f"{name}: tracing"):
            tf.function(phase, autograph=False).get_concrete_function(*arguments)
        with watch.part(f"{name}: compilation"):
            phase(*arguments)
    with watch.part("training step: tracing"):
        vmc.warm_up()  # the phases are compiled: only the step is left
    with watch.part("burn-in, first iteration"):
        vmc.fit(1)
    return watch.parts


if __name__ == "__main__":
    answer(measure)
