"""Where the time of an iteration goes: the trainer's own iterations, phase by phase, with a stopwatch on each."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from statistics import median
from typing import Any

import keras
import tensorflow as tf

from tf_nqs.analysis.profile import WHOLE, PhaseTime, plot_profile, profile_table, write_profile
from tf_nqs.storage.run_folder import RunFolder
from tf_nqs.training import VariationalMonteCarlo
from tf_nqs.whole_numbers import whole_number

logger = logging.getLogger(__name__)

PHASES = {
    "sampling": "sample",
    "forward": "log_abs_psi",
    "local_energy": "local_energy",
    "gradient": "derivatives",
    "update": "update",
}
"""Phase -> its name in `Phases`. The update of a natural gradient includes its linear system."""

N_ITERATIONS = 100
"""Iterations profiled where every one of them draws its samples."""

_LONGEST_WAITS, _MOST_ITERATIONS = 3, 1500
"""With reused samples: number of their longest waits that are profiled, and the maximum number of iterations."""

_WARM_UPS = 2
_CALLS_ALONE = 10


def profile_run(
    vmc: VariationalMonteCarlo,
    folder: RunFolder,
    title: str,
    n_iterations: int | None = None,
) -> None:
    """Writes `profile.csv` and `profile.png` of a trained model, and says the table.

    Args:
        vmc: the trainer; it is as before when this returns.
        folder: the run folder.
        title: headline of the picture.
        n_iterations: how many to profile, see `profile_iterations`.
    """
    logger.info("profiling ...")
    rows, trained = profile_iterations(vmc, n_iterations), int(vmc.iteration.numpy())
    write_profile(rows, folder.profile, trained)
    plot_profile(rows, folder.profile_plot, f"{title}, after {trained} iterations")
    logger.info(profile_table(rows))


def profile_iterations(vmc: VariationalMonteCarlo, n_iterations: int | None = None) -> list[PhaseTime]:
    """Returns what the phases of an iteration cost, and the whole iteration as it is compiled for training.

    The same iterations run twice: compiled as one, as `fit` runs them, and with phases called one by one from Python,
    each waited for. The phases are compiled functions in both. What is neither phase (clipping, estimates, the record)
    counts in the whole iteration only. A phase that no iteration calls takes none of its time; where it can be, it is
    called a few times alone, for its `seconds_per_call`. Trainer and optimiser are as before when it returns.

    Args:
        vmc: a compiled trainer; re-weighting continues from its samples.
        n_iterations: how many to profile; None for `N_ITERATIONS`, or with reused samples, enough of them to see some
            samplings.

    Raises:
        ValueError: n_iterations is below 1.
    """
    if n_iterations is None:
        n_iterations = enough_iterations(vmc)
    n_iterations = whole_number("n_iterations", n_iterations, 1)
    with vmc.rehearsal() as restore:
        vmc.fit(_WARM_UPS)
        restore()
        whole = _seconds_of_iterations(vmc, n_iterations)
        restore()
        with _stopwatches(vmc) as seconds:
            vmc.fit(_WARM_UPS)
            for times in seconds.values():
                times.clear()
            restore()
            vmc.fit(n_iterations)
        per_call = {phase: median(times) if times else _seconds_alone(vmc, phase) for phase, times in seconds.items()}
    per_iteration = {
        phase: per_call[phase] * len(times) / n_iterations if times else 0.0 for phase, times in seconds.items()
    }
    total = sum(per_iteration.values())
    rows = [
        PhaseTime(
            phase=phase,
            seconds_per_call=per_call[phase],
            n_calls=len(times),
            seconds_per_iteration=per_iteration[phase],
            share=per_iteration[phase] / total,
        )
        for phase, times in seconds.items()
    ]
    rows.append(
        PhaseTime(
            phase=WHOLE,
            seconds_per_call=whole,
            n_calls=n_iterations,
            seconds_per_iteration=whole,
            share=float("nan"),
        )
    )
    return rows


def enough_iterations(vmc: VariationalMonteCarlo) -> int:
    """Returns how many iterations show what one costs on average: some samplings are among them, if samples are reused.

    Args:
        vmc: the trainer.
    """
    if vmc.reuse.never_reuses:
        return N_ITERATIONS
    return max(N_ITERATIONS, min(_LONGEST_WAITS * vmc.reuse.policy.longest_wait, _MOST_ITERATIONS))


@contextlib.contextmanager
def _stopwatches(vmc: VariationalMonteCarlo) -> Iterator[dict[str, list[float]]]:
    """Yields phase -> seconds of each call so far; within, `fit` calls the phases one by one from Python."""
    seconds: dict[str, list[float]] = {phase: [] for phase in PHASES}
    functions = {name: getattr(vmc.phases, name) for name in PHASES.values()}
    # The others are compiled functions already; this one is compiled as a part of the iteration.
    functions["update"] = tf.function(functions["update"], autograph=False)
    timed = {name: _timed(functions[name], seconds[phase]) for phase, name in PHASES.items()}
    with vmc.calling(replace(vmc.phases, **timed)):
        yield seconds


def _timed(function: Callable, seconds: list[float]) -> Callable:
    def timed(*arguments: Any) -> Any:
        results = []
        seconds.append(_seconds(lambda: results.append(function(*arguments))))
        return results[0]

    return timed


def _seconds(function: Callable[[], object]) -> float:
    """Returns how long a call takes, until all devices have finished."""
    tf.test.experimental.sync_devices()
    started = time.perf_counter()
    function()
    tf.test.experimental.sync_devices()
    return time.perf_counter() - started


def _seconds_of_iterations(vmc: VariationalMonteCarlo, n_iterations: int) -> float:
    """Returns the seconds of an iteration in `fit`, their mean.

    No median over calls: where samples serve for longer than a call takes, most calls draw none.
    """
    seconds = started = 0.0

    def begin(epoch: int, logs: dict[str, Any] | None = None) -> None:
        nonlocal started
        started = time.perf_counter()

    def end(epoch: int, logs: dict[str, Any] | None = None) -> None:
        nonlocal seconds
        vmc.recent_iterations()  # reading them waits for the call
        seconds += time.perf_counter() - started

    vmc.fit(n_iterations, callbacks=[keras.callbacks.LambdaCallback(on_epoch_begin=begin, on_epoch_end=end)])
    return seconds / n_iterations


def _seconds_alone(vmc: VariationalMonteCarlo, phase: str) -> float:
    """Returns the seconds of a phase that no iteration has called, its median; nan if only an iteration can call it."""
    walkers = vmc.walkers
    calls: dict[str, Callable[[], object]] = {
        "sampling": lambda: vmc.phases.sample(walkers),
        "forward": lambda: vmc.phases.log_abs_psi(walkers.positions),
    }
    if phase not in calls:
        return float("nan")
    calls[phase]()  # traced and compiled
    return median(_seconds(calls[phase]) for _ in range(_CALLS_ALONE))
