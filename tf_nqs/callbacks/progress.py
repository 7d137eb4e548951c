"""The live progress line."""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from tf_nqs.analysis.notation import format_with_error
from tf_nqs.callbacks.iterations import IterationCallback
from tf_nqs.terminal import say

_SECONDS_BETWEEN_LINES = 10.0


class ProgressLine(IterationCallback):
    """Shows iteration, energy, speed and remaining time: one live line on a terminal, else a line now and then.

    Args:
        iterations: number of iterations that training will take.
        reference_energy: what the energy is compared with, in hbar*omega, if known.
        done: how many of the iterations an earlier training, which is resumed, has done.
    """

    def __init__(self, iterations: int, reference_energy: float | None = None, done: int = 0):
        super().__init__()
        self.iterations = iterations
        self.reference_energy = reference_energy
        self.done = done
        self._bar: Progress | None = None

    def begin(self, state: dict[str, Any] | None) -> None:
        self._started = self._last_line = time.monotonic()
        self._done = self.done
        self._bar = None
        if sys.stdout.isatty():
            columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), TimeRemainingColumn())
            self._bar = Progress(*columns, console=Console(file=sys.stdout), transient=True)
            self._task = self._bar.add_task("training", total=self.iterations, completed=self.done)
            self._bar.start()

    def on_iterations(self, rows: dict[str, np.ndarray]) -> None:
        self._done += len(rows["iteration"])
        if self._bar:
            self._bar.update(self._task, completed=self._done, description=self._text(rows))
            return
        now = time.monotonic()
        if now - self._last_line >= _SECONDS_BETWEEN_LINES or self._done >= self.iterations:
            say(self._text(rows))
            self._last_line = now

    def _text(self, rows: dict[str, np.ndarray]) -> str:
        energy, error = rows["energy"].mean(), rows["energy_error"].mean() / len(rows["energy"]) ** 0.5
        parts = [
            f"iteration {int(rows['iteration'][-1])}/{self.iterations}",
            f"energy {format_with_error(energy, error)}",
            f"variance {rows['variance'].mean():.2g}",
            f"acceptance {rows['acceptance'].mean():.2f}",
            f"{(self._done - self.done) / (time.monotonic() - self._started):.1f}/s",
        ]
        if self.reference_energy is not None:
            parts.insert(2, f"above reference by {energy - self.reference_energy:+.1e}")
        if np.any(rows["n_non_finite"]):
            share = rows["n_non_finite"].mean() / self.model.sampler.n_walkers
            parts.append(f"not finite {100 * share:.2g} %")
        return "  ".join(parts)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self.close()

    def close(self) -> None:
        """Leaves the live line; to be called when training was interrupted, which Keras does not report."""
        if self._bar:
            self._bar.stop()
