"""The live progress line."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import Any

import numpy as np
from rich.live import Live

from tf_nqs.analysis.notation import format_with_error
from tf_nqs.callbacks.iterations import IterationCallback
from tf_nqs.runtime.live import GAP, duration, live_line
from tf_nqs.runtime.terminal import say

_SECONDS_BETWEEN_LINES = 10.0

_THOUSANDTHS_BELOW = 0.1
"""Differences from the reference, in hbar*omega, that are shown in thousandths."""


class ProgressLine(IterationCallback):
    """Shows iteration, energy, remaining time and speed: one live line on a terminal, else a line now and then.

    The live line fits the width of the terminal: what matters least is left out first.

    Args:
        iterations: number of iterations that training will take.
        reference_energy: what the energy is compared with, in hbar*omega, if known.
        done: how many of the iterations an earlier training, which is resumed, has done.
    """

    on_chief_alone = True

    def __init__(self, iterations: int, reference_energy: float | None = None, done: int = 0):
        super().__init__()
        self.iterations = iterations
        self.reference_energy = reference_energy
        self.done = done
        self._line: Live | None = None

    def begin(self, state: dict[str, Any] | None) -> None:
        self._started = self._last_line = self._last_call = time.monotonic()
        self._done = self.done
        self._rows: dict[str, np.ndarray] | None = None
        self._line = None
        if sys.stdout.isatty():
            self._line = live_line(self._parts, lambda: self._done / self.iterations)
            self._line.start(refresh=True)

    def on_iterations(self, rows: dict[str, np.ndarray]) -> None:
        self._done += len(rows["iteration"])
        self._rows = rows
        self._last_call = now = time.monotonic()
        if self._line:
            return
        if now - self._last_line >= _SECONDS_BETWEEN_LINES or self._done >= self.iterations:
            say(GAP.join(self._parts()))
            self._last_line = now

    def _parts(self) -> list[str]:
        """Returns what the line says, most important first."""
        if (rows := self._rows) is None:
            return ["training", f"iteration {self.done}/{self.iterations}"]
        energy, error = rows["energy"].mean(), rows["energy_error"].mean() / len(rows["energy"]) ** 0.5
        parts = [f"iteration {int(rows['iteration'][-1])}/{self.iterations}"]
        parts.append(f"energy {format_with_error(energy, error)}")
        if self.reference_energy is not None:
            parts.append(f"reference {difference(energy - self.reference_energy)}")
        if (left := self._seconds_left()) is not None:
            parts.append(f"{duration(left)} left")
        if np.any(rows["n_non_finite"]):
            share = rows["n_non_finite"].mean() / self.model.n_walkers_in_all
            parts.append(f"not finite {100 * share:.2g} %")
        parts.append(f"{self._speed():.1f}/s")
        parts.append(f"variance {rows['variance'].mean():.2g}")
        parts.append(f"acceptance {rows['acceptance'].mean():.2f}")
        return parts

    def _speed(self) -> float:
        """Iterations per second, since the beginning of this training."""
        return (self._done - self.done) / max(self._last_call - self._started, 1e-9)

    def _seconds_left(self) -> float | None:
        """How long training will take at this speed; None where it is done."""
        if self._done >= self.iterations:
            return None
        since = time.monotonic() - self._last_call
        return max((self.iterations - self._done) / self._speed() - since, 0.0)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self.close()

    def close(self) -> None:
        """Leaves the live line; to be called when training was interrupted, which Keras does not report."""
        if self._line:
            with contextlib.suppress(OSError):  # the terminal was closed
                self._line.stop()


def difference(energy: float) -> str:
    """Returns a difference of energies with its sign, in thousandths where it is small: -0.6e-3."""
    if not abs(energy) < _THOUSANDTHS_BELOW:
        return f"{energy:+.2f}"
    thousandths = 1e3 * energy
    return f"{thousandths:+.{1 if abs(thousandths) >= 0.1 else 2}f}e-3"
