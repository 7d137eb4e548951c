"""One process of the benchmark of several workers: it trains, alone or with others, and times messages.

It answers: start (settings, core), iterations (number), messages (sizes in bytes, number).
"""

from __future__ import annotations

import os
import time
from typing import Any

from benchmarks.protocol import answer


class Worker:
    """What a process holds between two requests.

    Args:
        settings: arguments of `tf_nqs.config.settings_from`; `config` is a preset, the others are settings.
        core: the processor core that the process may use; None for all.
    """

    def __init__(self, settings: dict[str, Any], core: int | None):
        if core is not None:
            os.sched_setaffinity(0, {core})
        from tf_nqs.runtime.startup import import_tensorflow

        import_tensorflow()
        from tf_nqs.config import settings_from
        from tf_nqs.execution.workers import joined
        from tf_nqs.experiment.build import build_ansatz, build_system, build_trainer

        leaves = dict(settings)
        self.settings = settings_from(leaves.pop("config", None), leaves)
        self.workers = joined(self.settings.distribution)
        with self.workers.scope():
            ansatz = build_ansatz(self.settings)
            self.vmc = build_trainer(self.settings, build_system(self.settings), ansatz)
            self.vmc.fit(self.settings.training.iterations_per_call)  # compiles

    def iterations(self, number: int) -> dict[str, float]:
        """Returns seconds of an iteration, on the clock and of the processor, as the mean of some."""
        self.workers.wait()
        started, began = time.perf_counter(), time.process_time()
        self.vmc.fit(number)
        self.vmc.recent_iterations()  # reading them waits for the call
        wall, processor = time.perf_counter() - started, time.process_time() - began
        return {"wall": wall / number, "processor": processor / number}

    def messages(self, sizes: list[int], number: int) -> list[float]:
        """Returns the seconds of one sum over all workers, of each size, as the mean of some in a graph."""
        import tensorflow as tf

        strategy, found = self.workers.strategy, []

        def halved_sum(value: Any) -> Any:
            own = tf.identity(value)  # on the device of the replica, as a sum must be
            return 0.5 * tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, own)

        @tf.function(autograph=False)
        def loop(value: Any, times: Any) -> Any:
            def body(index: Any, value: Any) -> Any:
                return index + 1, strategy.experimental_local_results(strategy.run(halved_sum, args=(value,)))[0]

            return tf.while_loop(lambda index, _: index < times, body, (0, value))[1]

        for size in sizes:
            value = tf.zeros(max(size // 4, 1))
            loop(value, tf.constant(2)).numpy()
            started = time.perf_counter()
            loop(value, tf.constant(number)).numpy()
            found.append((time.perf_counter() - started) / number)
        return found


def main() -> None:
    """Answers requests until standard input ends."""
    held: list[Worker] = []

    def respond(message: dict[str, Any]) -> Any:
        if message["ask"] == "start":
            held.append(Worker(message["settings"], message["core"]))
            return held[0].vmc.seconds_compile
        return getattr(held[0], message["ask"])(*message["arguments"])

    answer(respond)


if __name__ == "__main__":
    main()
