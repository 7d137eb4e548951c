"""The base of callbacks that look at windows of iterations."""

from __future__ import annotations

from typing import Any

import numpy as np

from tf_nqs.analysis.convergence import Window, make_window
from tf_nqs.callbacks.iterations import IterationCallback
from tf_nqs.whole_numbers import whole_number

_COLUMNS = ("iteration", "energy", "variance")


class WindowCallback(IterationCallback):
    """A callback that is given non-overlapping windows of iterations, counted from the start of `fit`.

    `VariationalMonteCarlo.fit` ends a call of `train_step` at the end of every window, so that `on_window` finds the
    model as the window's last iteration left it. Subclasses define `on_window`.

    Args:
        window: iterations in a window.

    Raises:
        ValueError: window is below 2.
    """

    def __init__(self, window: int):
        super().__init__()
        self.window = self.call_period = whole_number("window", window, 2)
        self._pending = np.empty((len(_COLUMNS), 0))

    def begin(self, state: dict[str, Any] | None) -> None:
        self._pending = state["pending"] if state else np.empty((len(_COLUMNS), 0))

    def get_state(self) -> dict[str, Any]:
        return {"pending": self._pending}

    def on_iterations(self, rows: dict[str, np.ndarray]) -> None:
        self._pending = np.hstack([self._pending, np.stack([rows[name] for name in _COLUMNS])])
        while self._pending.shape[1] >= self.window:
            complete, self._pending = np.split(self._pending, [self.window], axis=1)
            self.on_window(make_window(*complete))

    def on_window(self, window: Window) -> None:
        """Called once for each complete window.

        Args:
            window: its iterations.
        """
        raise NotImplementedError

    def incomplete_window(self) -> Window | None:
        """Returns the iterations since the last complete window; None if there are none."""
        return make_window(*self._pending) if self._pending.size else None
