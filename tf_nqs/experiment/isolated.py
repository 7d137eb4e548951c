"""A whole run in a process of its own, so that all its memory is given back, and what kills it kills nothing else.

TensorFlow keeps what XLA has compiled until its process ends: a hundred to three hundred MiB for every run, whatever
Python has thrown away by then.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

from tf_nqs.config import Settings, SettingsError
from tf_nqs.runtime.signals import Terminated
from tf_nqs.runtime.startup import collection_paused, import_tensorflow


class Outcome(NamedTuple):
    """How a run apart has ended.

    Attributes:
        energy: in hbar*omega, None if it is not finite.
        energy_error: its honest standard error, None if it is not finite or not known.
        problem: why there was no run, in one line; None if there was one.
        failure: why training has failed, in one line; the energy is then that of its last good state. None if it has
            not.
    """

    energy: float | None = None
    energy_error: float | None = None
    problem: str | None = None
    failure: str | None = None


def run_apart(
    settings: Settings,
    continued: Path | None = None,
    kept: Path | None = None,
    resume: bool = False,
    max_seconds: float | None = None,
) -> Outcome:
    """Does what `experiment.run` does, in a new process.

    Args:
        settings: all settings of the run.
        continued: state of the training that is continued, see `callbacks.TrainerState`.
        kept: where the state is kept for a training that continues this one.
        resume: whether to go on with the run that the folder holds, from its last checkpoint.
        max_seconds: of training in this process, whatever the run has trained before; no setting of the run.

    Returns:
        Outcome.

    Raises:
        KeyboardInterrupt: this process was interrupted; that of the run has been ended.
        Terminated: this process was told to end; that of the run has ended first, with a checkpoint if it was training.
    """
    context = multiprocessing.get_context("spawn")  # a fork of a process with TensorFlow in it may hang
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(sender, settings, continued, kept, resume, max_seconds), daemon=True)
    process.start()
    sender.close()  # the run's process alone holds it now, so that its end is seen
    try:
        outcome = receiver.recv()
        process.join()
    except EOFError:
        process.join()
        status = process.exitcode
        assert status is not None  # it has been joined
        how = f"was killed by signal {-status}; out of memory?" if status < 0 else f"ended with status {status}"
        outcome = Outcome(problem=f"its process {how}")
    except Terminated:
        process.terminate()
        process.join()  # it ends after the present iterations
        raise
    finally:
        process.kill()
        process.join()
        receiver.close()
    return outcome


def _run(
    sender: Connection,
    settings: Settings,
    continued: Path | None,
    kept: Path | None,
    resume: bool,
    max_seconds: float | None,
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches both processes; the other one ends this one
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        with collection_paused(freeze=True):
            import_tensorflow()
            from tf_nqs.callbacks import TimeLimit, TrainerState
            from tf_nqs.experiment import run as experiment
        limits = [] if max_seconds is None else [TimeLimit(max_seconds)]
        result = experiment.run(settings, callbacks=[TrainerState(continued, kept), *limits], resume=resume)
    except SettingsError as error:
        sender.send(Outcome(problem=str(error)))
    except Exception as error:
        sender.send(Outcome(problem=" ".join(f"{type(error).__name__}: {error}".split())))
        raise
    else:
        failure = (result.stop_explanation or "training failed") if result.stop_reason == "failed" else None
        sender.send(Outcome(result.energy, result.energy_error, failure=failure))


def _end_with_parent() -> None:
    """Ends this process when the one that started it has ended, however that happened."""
    parent = multiprocessing.parent_process()
    assert parent  # this runs in a child alone
    parent.join()
    os._exit(1)
