"""A whole run in a process of its own, which gives back all its memory and can be killed without ending other runs.

TensorFlow keeps what XLA has compiled until its process ends: 100 to 300 MiB per run, whatever Python frees.
"""

from __future__ import annotations

import _thread
import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from tf_nqs.config import Settings, SettingsError
from tf_nqs.config.shape import compiled_shape
from tf_nqs.runtime.compilation_cache import kept_compilations
from tf_nqs.runtime.signals import Terminated, signals_passed_on, termination_raised
from tf_nqs.runtime.startup import collection_paused, import_tensorflow, set_environment
from tf_nqs.runtime.terminal import encode_anything
from tf_nqs.storage.result import RunResult

_LEFT_BY_CTRL_C = 128 + signal.SIGINT
"""Exit status of a process that a second Ctrl-C has ended."""


class RunCrashedError(SettingsError):
    """The process of a run has ended without a result; the text is one line that says how."""


def run_in_subprocess(
    settings: Settings,
    continued: Path | None = None,
    kept: Path | None = None,
    resume: bool = False,
    max_seconds: float | None = None,
    pass_signals: bool = False,
) -> RunResult:
    """Does what `experiment.run` does, in a new process.

    The process imports the main module of this one again, as Python's `multiprocessing` does: a script that calls this
    needs an `if __name__ == "__main__":`.

    Args:
        settings: all settings of the run.
        continued: state of the training that is continued, see `callbacks.TrainerState`.
        kept: where the state is kept for a training that continues this one.
        resume: whether to continue the run in the folder from its last checkpoint.
        max_seconds: longest training in this process, whatever the run has trained before; not a setting of the run.
        pass_signals: whether the run handles Ctrl-C and terminating signals as if it ran in this process. If not,
            Ctrl-C ends the run at once.

    Returns:
        What `result.json` holds.

    Raises:
        SettingsError: the run was refused.
        RunCrashedError: its process was killed, or it met an unexpected error, whose traceback is on standard error.
        KeyboardInterrupt: this process was interrupted; that of the run has ended.
        Terminated: this process was terminated; that of the run has ended first, with a checkpoint if it was training.
        SystemExit: with `pass_signals`, a second Ctrl-C has ended the run at once.
    """
    context = multiprocessing.get_context("spawn")  # a fork of a process with TensorFlow in it may hang
    ours, theirs = context.Pipe()
    process = context.Process(target=_run, args=(theirs, settings, continued, kept, resume, max_seconds), daemon=True)
    resource_tracker.ensure_running()  # its start would lift the block below
    with contextlib.ExitStack() as passing:
        if pass_signals:
            passing.enter_context(signals_passed_on(ours.send))
        with _interrupt_blocked():
            process.start()
        theirs.close()  # held by the other process alone, so that its end closes the connection
        try:
            ending = _received(ours)
            passing.close()  # a signal that comes now is for this process
            process.join()
        except Terminated:
            process.terminate()
            process.join()  # training ends after the current iterations
            raise
        finally:
            process.kill()
            process.join()
            ours.close()
    if isinstance(ending, RunResult):
        return ending
    if pass_signals and process.exitcode == _LEFT_BY_CTRL_C:
        raise SystemExit(_LEFT_BY_CTRL_C)
    if isinstance(ending, Terminated) and not pass_signals:  # only the run was terminated
        raise RunCrashedError(f"its process ended with status {ending.status}")
    raise ending or RunCrashedError(f"its process {_end_in_words(process.exitcode)}")


@contextlib.contextmanager
def _interrupt_blocked() -> Iterator[None]:
    """Delays Ctrl-C until the end of the `with` block, and keeps it from processes that are started inside.

    The terminal sends Ctrl-C to all processes, and this one passes it on: a run that got both would end at once.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _received(ours: Connection) -> RunResult | BaseException | None:
    """Waits for the end of a run; returns its result, the exception that ended it, or None if its process is gone."""
    try:
        return ours.recv()
    except (EOFError, ConnectionResetError):  # reset: a signal was passed on that it has not read
        return None


def _end_in_words(status: int | None) -> str:
    assert status is not None  # the process has been joined
    return f"was killed by signal {-status}; out of memory?" if status < 0 else f"ended with status {status}"


def _run(theirs: Connection, *arguments: Any) -> None:
    """Does the run in the new process, and sends its result or the exception that ended it."""
    encode_anything()
    ending: RunResult | BaseException
    try:
        with termination_raised():
            threading.Thread(target=_obey, args=(theirs,), daemon=True).start()
            ending = _train(*arguments)
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # there is nothing left to interrupt
    except SettingsError as error:
        ending = SettingsError(str(error))  # whatever its kind, which may be defined where TensorFlow is loaded
    except (KeyboardInterrupt, Terminated) as error:
        ending = error
    except Exception as error:
        theirs.send(RunCrashedError(" ".join(f"{type(error).__name__}: {error}".split())))
        raise
    theirs.send(ending)


def _train(
    settings: Settings, continued: Path | None, kept: Path | None, resume: bool, max_seconds: float | None
) -> RunResult:
    set_environment()
    with kept_compilations(compiled_shape(settings)):
        with collection_paused(freeze=True):
            import_tensorflow()  # graphs are optimised even for XLA: without that, the last bits of a training differ
            from tf_nqs.callbacks import TimeLimit, TrainerState
            from tf_nqs.experiment import run as experiment
        callbacks: list[Any] = [TrainerState(continued, kept)] if continued or kept else []
        callbacks += [] if max_seconds is None else [TimeLimit(max_seconds)]
        return experiment.run(settings, callbacks=callbacks, resume=resume)


def _obey(theirs: Connection) -> None:
    """Raises the signals that the other process passes on; ends this process when the other one has ended."""
    try:
        while True:
            _thread.interrupt_main(theirs.recv())
    except (EOFError, OSError):
        os._exit(1)
