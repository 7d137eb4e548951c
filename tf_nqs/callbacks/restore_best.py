"""The callback that gives the best weights back."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tf_nqs import defaults
from tf_nqs.analysis.convergence import Window
from tf_nqs.callbacks.windows import WindowCallback

_LEAST_ITERATIONS = 10
"""The error of an incomplete window shorter than this is a matter of luck."""


class RestoreBestWeights(WindowCallback):
    """Gives the ansatz, when training ends, the weights of the window with the lowest energy plus its error.

    The upper end of the error bar is compared, so that a short lucky dip does not win over a well-measured plateau. Of
    many windows that are equal but for noise the luckiest is taken: windows long enough to tell them apart help. The
    weights are those after the window's last iteration. Ten or more iterations after the last complete window count as
    a window too: training ends with their weights if they are the best. Only weights are given back: the optimiser
    and the walkers stay where they are (a measurement burns the walkers in again).

    Args:
        window: iterations in a window.

    Attributes:
        best_iteration: the iteration whose weights are the best of all windows; None before the first window.
    """

    def __init__(self, window: int = defaults.WINDOW):
        super().__init__(window)
        self._forget()

    def _forget(self) -> None:
        self.best_iteration: int | None = None
        self._best_bound = math.inf
        self._best_weights: list[np.ndarray] | None = None

    def begin(self, state: dict[str, Any] | None) -> None:
        super().begin(state)
        self._forget()
        if state:
            self.best_iteration, self._best_bound = state["best_iteration"], state["best_bound"]
            self._best_weights = state["best_weights"]

    def get_state(self) -> dict[str, Any]:
        best = {"best_iteration": self.best_iteration, "best_bound": self._best_bound}
        return super().get_state() | best | {"best_weights": self._best_weights}

    def on_window(self, window: Window) -> None:
        if window.energy + window.energy_error < self._best_bound:
            self._best_bound = window.energy + window.energy_error
            # Of a weight without axes Keras returns a scalar, which a checkpoint would make a number of Python.
            self._best_weights = [np.asarray(weight) for weight in self.model.ansatz.get_weights()]
            self.best_iteration = window.last_iteration

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        last = self.incomplete_window()
        if last is not None and last.energies.size >= _LEAST_ITERATIONS:
            self.on_window(last)
        if self._best_weights is not None:
            self.model.ansatz.set_weights(self._best_weights)
