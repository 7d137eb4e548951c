"""The callback that ends the training of a family once its systems have converged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tf_nqs import defaults
from tf_nqs.analysis.conditions import PARAMETERS, scaled_deviations, system_name
from tf_nqs.analysis.convergence import Criterion, Window, make_window
from tf_nqs.callbacks.early_stopping import EnergyEarlyStopping

_COLUMNS = (*PARAMETERS, "energy", "variance")
"""Of the systems in each iteration."""

MOST_NAMED = 3
"""Systems that an explanation names."""


class FamilyEarlyStopping(EnergyEarlyStopping):
    """Stops the training of a family once the scaled deviations of its systems have stopped falling.

    The mean energy of a family says little: it moves with the systems, which drift. The criterion is given, in place of
    the energy of each iteration, the mean over the systems k of d_k = sqrt(variance_k)/max(|E_k|, 1), and in place of
    the variance the mean of d_k^2. For every eigenstate d_k = 0, wherever system k is. The scale lets strongly bound
    systems not count for all others, and needs no memory: it is the same after a transfer or a resumption.

    In `windows.csv` `energy` and `energy_error` are still those of the mean energy.

    Args:
        window: iterations in a window.
        criterion: what converged means; None for `ThesisCriterion()`.
        folder: existing folder for `windows.csv`; None writes nothing.
        interaction: of the family, for the names of its parameters.

    Raises:
        ValueError: window is shorter than the criterion needs.
    """

    def __init__(
        self,
        window: int = defaults.WINDOW,
        criterion: Criterion | None = None,
        folder: str | Path | None = None,
        interaction: str = defaults.INTERACTION,
    ):
        super().__init__(window, criterion, folder)
        self.interaction = interaction
        self._pending_systems = np.empty((0, 0, len(_COLUMNS)))

    def start_anew(self) -> None:
        super().start_anew()
        self._last_two = np.empty((0, 0, 1 + len(PARAMETERS)))

    def begin(self, state: dict[str, Any] | None) -> None:
        super().begin(state)
        self._pending_systems = state["pending_systems"] if state else np.empty((0, 0, len(_COLUMNS)))
        if state:
            self._last_two = state["last_two"]

    def get_state(self) -> dict[str, Any]:
        return super().get_state() | {"pending_systems": self._pending_systems, "last_two": self._last_two}

    def on_iterations(self, rows: dict[str, np.ndarray]) -> None:
        found = self.model.recent_conditions()
        new = np.stack([found[name] for name in _COLUMNS], axis=2)
        self._pending_systems = _joined(self._pending_systems, new)
        super().on_iterations(rows)

    def on_window(self, window: Window) -> None:
        systems, self._pending_systems = np.split(self._pending_systems, [self.window])
        deviations = scaled_deviations(systems[..., -2], systems[..., -1])
        if not self.has_stopped:
            places = systems[..., : len(PARAMETERS)].mean(axis=0)
            means = np.concatenate([places, deviations.mean(axis=0)[:, None]], axis=1)
            self._last_two = _joined(self._last_two, means[None])[-2:]
        iterations = np.arange(window.first_iteration, window.last_iteration + 1)
        self.judge(window, make_window(iterations, deviations.mean(axis=1), (deviations**2).mean(axis=1)))

    def explanation(self) -> str:
        """Returns why training was stopped, or not, and which systems have kept it from being stopped."""
        text = super().explanation()
        if len(self._last_two) < 2:
            return text
        before, now = self._last_two
        largest = self._named(now[:, :-1], now[:, -1])
        text += f"; the mean scaled deviation is {self.windows[-1].energy:.1e}, largest at {largest}"
        fallen = self._named(now[:, :-1], before[:, -1] - now[:, -1])
        return text if self.has_stopped or not fallen else f"{text}; in the last window it fell most at {fallen}"

    def summary(self) -> str:
        return f"mean scaled deviation {self.windows[-1].energy:.1e}, "

    def _named(self, places: np.ndarray, values: np.ndarray) -> str:
        """Names the systems with the largest values, those above 0, and their values; not a number comes first."""
        order = np.argsort(np.where(np.isnan(values), np.inf, values))[::-1][:MOST_NAMED]
        shown = [one for one in order if not values[one] <= 0]
        return "; ".join(f"{system_name(self.interaction, *places[one])} ({values[one]:.1e})" for one in shown)


def _joined(before: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Arrays one after the other; an empty one before knows of no systems yet."""
    return np.concatenate([before, new]) if len(before) else new
