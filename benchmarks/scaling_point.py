"""One size of the scaling benchmark, in a separate process: seconds per iteration and peak memory."""

from __future__ import annotations

import resource
import time

import numpy as np

from benchmarks.protocol import answer
from tf_nqs.runtime.startup import import_tensorflow


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # Linux counts in KiB


def measure(job: dict) -> dict[str, float]:
    """Returns seconds per iteration, on the clock and of the processor; seconds of compilation; and the peak memory.

    Memory is in MiB; that of the imports alone is `imports_mib`.

    Args:
        job: "settings", arguments of `tf_nqs.config.settings_from`; "n_repeats".
    """
    import_tensorflow()
    from tf_nqs.config import settings_from
    from tf_nqs.experiment.build import build_ansatz, build_system, build_trainer

    imports_mib = _peak_mib()
    settings = settings_from(None, job["settings"])
    vmc = build_trainer(settings, build_system(settings), build_ansatz(settings))
    n_iterations = settings.training.iterations_per_call
    vmc.fit(n_iterations)
    seconds, processor = [], []
    for _ in range(job["n_repeats"]):
        started, began = time.perf_counter(), time.process_time()
        vmc.fit(n_iterations)
        seconds.append((time.perf_counter() - started) / n_iterations)
        processor.append((time.process_time() - began) / n_iterations)
    return {
        "seconds": float(np.median(seconds)),
        "seconds_processor": float(np.median(processor)),
        "seconds_compile": vmc.seconds_compile,
        "peak_mib": _peak_mib(),
        "imports_mib": imports_mib,
    }


if __name__ == "__main__":
    answer(measure)
