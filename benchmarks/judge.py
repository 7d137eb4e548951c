"""Decides when a training has reached the exact energy."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

ERRORS_OF_TOLERANCE = (10.0, 1.0, 0.25)
"""Standard errors of successive measurements with frozen weights, relative to the tolerance. The first ones save time
far from the exact energy, the last one decides."""

RULED_OUT = 3.0
"""Distance from the tolerance, in errors, at which a coarse measurement needs no finer one."""


class Judge:
    """Records a training, decides when it may end, and finds when it reached each tolerance.

    The clock starts with the judge and stops during measurements with frozen weights.

    Criterion "running_mean": the mean energy of the last `window` iterations stays within the tolerance of the
    reference until the end of the run. Criterion "frozen": the energy measured with the weights of that iteration is
    within the tolerance, with an error of a quarter of it. It is measured after every call until the criterion is met.

    A reference by diagonalisation is an upper bound: its uncertainty widens the tolerance downwards.

    Args:
        reference: exact energy, in hbar*omega.
        uncertainty: maximum distance of the true energy below the reference.
        tolerances: distances to reach, in hbar*omega.
        window: iterations of the running mean.
        hold: number of iterations within the tightest tolerance that end the training.
        max_seconds: the training ends after this time.
        measure: target_error -> (energy, error) with the current weights; None for the criterion "running_mean".
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
        """Takes the energies of the iterations since the last call; returns whether the training may end.

        Before the first iteration there are none: the criterion "frozen" may be met at once.
        """
        self._energies += [float(energy) for energy in energies]
        # The clock cannot resolve the iterations of one call: all have the time of its end.
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
        last = float(np.mean(self._energies[-self._window :])) if self._energies else None
        history = {"energy": self._energies, "seconds": self._seconds}
        return {"reached": reached, "last_running_mean": last, "seconds": self.elapsed(), "history": history}

    def _is_within(self, energy, tolerance):
        lowest, highest = self._reference - self._uncertainty - tolerance, self._reference + tolerance
        return (lowest <= energy) & (energy <= highest)

    def _first_of_last_stay(self, tolerance):
        """Returns the first iteration (from 1) since which the running mean is within; one past the last if not."""
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
                found = {"iteration": len(self._energies), "seconds": self._seconds[-1] if self._seconds else 0.0}
                self._frozen[tolerance] = found | {"energy": energy, "energy_error": error}
