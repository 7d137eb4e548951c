"""`train.py` with a fault: worker 1 leaves, or falls asleep, after an iteration.

FAULT, an environment variable, says which and when: "leave:40" or "sleep:40".
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any

from tf_nqs.commands import train
from tf_nqs.runtime import startup
from tf_nqs.runtime.cluster import cluster_from

_SECONDS_ASLEEP = 3600.0


def run(settings: Any, resume: bool = False) -> Any:
    """Does what `tf_nqs.experiment.run.run` does, with the fault."""
    import keras

    from tf_nqs.experiment.run import run as run_well

    what, _, iteration = os.environ["FAULT"].partition(":")
    has_fault = cluster_from(os.environ).task == 1

    class Fault(keras.callbacks.Callback):
        """Comes after the call that passes the iteration."""

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            """Leaves, or sleeps, without a word to the others."""
            if int(self.model.iteration.numpy()) < int(iteration) or not has_fault:
                return
            if what == "leave":
                sys.exit(0)
            time.sleep(_SECONDS_ASLEEP)

    return run_well(settings, callbacks=[Fault()], resume=resume)


def main() -> int:
    """Trains as the command line says; returns the exit status."""
    call_well = startup.call_with_tensorflow
    startup.call_with_tensorflow = lambda target, *given, **options: call_well(f"{__name__}:run", *given, **options)
    return train.main()


if __name__ == "__main__":
    sys.modules.setdefault("benchmarks.faulty_worker", sys.modules["__main__"])
    sys.exit(main())
