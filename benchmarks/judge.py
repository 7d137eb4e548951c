"""When a training has reached the exact energy."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

ERRORS_OF_TOLERANCE = (10.0, 1.0, 0.25)
"""Standard errors, over the tolerance, to which frozen weights are measured in turn: the first ones save time far from
the exact energy, the last one decides."""

RULED_OUT = 3.0
"""Errors outside of the tolerance at which a coarse measurement needs no finer one."""


class Judge:
    """Watches a training: records it, says when it may end, and when it reached which tolerance.

    Its clock starts with it, and stands still while frozen weights are measured.

    Criterion "running_mean": the mean energy of the last `window` iterations stays within the tolerance of the
    reference until the end of the run. Criterion "frozen": the energy measured with the weights of that iteration is
    within it, and known to a quarter of it; measured after every call until it holds.

    A reference by diagonalisation is an upper bound: its uncertainty widens the tolerance downwards.

    Args:
        reference: exact energy, in hbar*omega.
        uncertainty: how far below it the true energy may lie.
        tolerances: distances to reach, in hbar*omega.
        window: iterations of the running mean.
        hold: the training ends once the running mean stayed within the tightest tolerance for so many iterations.
        max_seconds: the training ends after this time.
        measure: target_error -> (energy, error) with the weights as they are; None for the criterion "running_mean".
    """

    def __init__(
        self,
        reference: float,
        uncertainty: float,
        tolerances: list[float],
        window: int,
        hold: int,
        max_seconds: float,
        measure: Callable[[float], tuple[float, float]] | None = None,
    ):
        self._reference, self._uncertainty, self._tolerances = reference, uncertainty, sorted(tolerances, reverse=True)
        self._window, self._hold, self._max_seconds, self._measure = window, hold, max_seconds, measure
        self._energies: list[float] = []
        self._seconds: list[float] = []
        self._frozen: dict[float, dict[str, Any]] = {}
        self._paused = 0.0
        self._started = time.monotonic()

    def elapsed(self) -> float:
        """Returns the seconds of training so far."""
        return time.monotonic() - self._started - self._paused

    def record(self, energies: list[float]) -> bool:
        """Takes the energies of the iterations since the last call; returns whether the training may end."""
        self._energies += [float(energy) for energy in energies]
        # Iterations of one call cannot be told apart by the clock: all carry the time at which the call ended.
        self._seconds += [self.elapsed()] * len(energies)
        if self._measure:
            paused = time.monotonic()
            self._look_at_frozen()
            self._paused += time.monotonic() - paused
            is_done = len(self._frozen) == len(self._tolerances)
        else:
            is_done = self._first_of_last_stay(self._tolerances[-1]) + self._hold <= len(self._energies)
        return is_done or self.elapsed() > self._max_seconds or not np.isfinite(energies).all()

    def verdict(self) -> dict[str, Any]:
        """Returns tolerance -> iteration and seconds at which it was reached (None if never), and the history."""
        reached: dict[str, Any] = {}
        for tolerance in self._tolerances:
            found = self._frozen.get(tolerance)
            first = self._first_of_last_stay(tolerance)
            if not self._measure and first <= len(self._energies):
                found = {"iteration": first, "seconds": self._seconds[first - 1]}
            reached[f"{tolerance:g}"] = found
        last = float(np.mean(self._energies[-self._window :]))
        history = {"energy": self._energies, "seconds": self._seconds}
        return {"reached": reached, "last_running_mean": last, "seconds": self.elapsed(), "history": history}

    def _is_within(self, energy, tolerance):
        lowest, highest = self._reference - self._uncertainty - tolerance, self._reference + tolerance
        return (lowest <= energy) & (energy <= highest)

    def _first_of_last_stay(self, tolerance):
        """First iteration (from 1) since which the running mean is within; one past the last if it is not now."""
        n_iterations = len(self._energies)
        if n_iterations < self._window:
            return n_iterations + 1
        sums = np.cumsum([0.0, *self._energies])
        means = (sums[self._window :] - sums[: -self._window]) / self._window
        outside = np.flatnonzero(~self._is_within(means, tolerance))
        return self._window + (int(outside[-1]) + 1 if len(outside) else 0)

    def _look_at_frozen(self):
        for tolerance in self._tolerances:
            if tolerance in self._frozen:
                continue
            *_, smallest = wanted_errors = [float(part * tolerance) for part in ERRORS_OF_TOLERANCE]
            for wanted_error in wanted_errors:
                energy, error = self._measure(wanted_error)
                if error <= smallest or not self._is_within(energy, tolerance + RULED_OUT * error):
                    break
            if error <= smallest and self._is_within(energy, tolerance):
                found = {"iteration": len(self._energies), "seconds": self._seconds[-1]}
                self._frozen[tolerance] = found | {"energy": energy, "energy_error": error}
