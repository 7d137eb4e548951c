"""The callback that writes the energies of a family's systems."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from tf_nqs.analysis.conditions import CONDITION_COLUMNS, smoothed_conditions
from tf_nqs.callbacks.events import ConditionEvents
from tf_nqs.callbacks.iterations import IterationCallback
from tf_nqs.storage.run_folder import RunFolder
from tf_nqs.whole_numbers import whole_number

PERIOD = 100
"""Iterations that make a row of each system."""

_BEGIN_FIRST = "Keras calls on_train_begin first"


class ConditionsLog(IterationCallback):
    """Writes `conditions.csv` of a family: for every 100 iterations a row per system, and a point in TensorBoard.

    A row has the system at its mean place in these iterations, its energy there, the error and the mean variance, see
    `tf_nqs.analysis.conditions.smoothed_conditions`. Single iterations would make a file of tens of megabytes.

    Args:
        folder: existing folder of the run.
        period: number of iterations that make a row of each system.

    Attributes:
        members: the last rows, without the iteration; those of fewer iterations where training has ended before the
            first were complete.

    Raises:
        ValueError: period is below 1.
    """

    on_chief_alone = True

    def __init__(self, folder: str | Path, period: int = PERIOD):
        super().__init__()
        self.folder = Path(folder)
        self.period = whole_number("period", period, 1)
        self._file: TextIO | None = None
        self._pending: dict[str, np.ndarray] = {}
        self._last: list[dict[str, Any]] = []

    def begin(self, state: dict[str, Any] | None) -> None:
        self._pending = dict(state["pending"]) if state else {}
        self._last = list(state["last"]) if state else []
        path = RunFolder(self.folder).conditions
        self._file = open(path, "w" if state is None else "a", newline="", encoding="utf-8")
        self._writer = csv.writer(self._file)
        if not self._file.tell():
            self._writer.writerow(CONDITION_COLUMNS)
        self._file.flush()
        self._events = ConditionEvents(self.folder)

    def get_state(self) -> dict[str, Any]:
        assert self._file, _BEGIN_FIRST
        os.fsync(self._file.fileno())
        return {"pending": self._pending, "last": self._last}

    @property
    def members(self) -> list[dict[str, Any]]:
        if self._last or not self._pending:
            return self._last
        return smoothed_conditions({name: rows for name, rows in self._pending.items() if name != "iteration"})

    def on_iterations(self, rows: dict[str, np.ndarray]) -> None:
        found = self.model.recent_conditions()
        new = {"iteration": rows["iteration"], **{name: found[name] for name in CONDITION_COLUMNS[1:]}}
        before = self._pending
        pending = {name: np.concatenate([before[name], one]) if before else one for name, one in new.items()}
        while len(pending["iteration"]) >= self.period:
            window = {name: values[: self.period] for name, values in pending.items()}
            pending = {name: values[self.period :] for name, values in pending.items()}
            self._write(window)
        self._pending = pending

    def _write(self, window: dict[str, np.ndarray]) -> None:
        assert self._file, _BEGIN_FIRST
        iteration = int(window.pop("iteration")[-1])
        self._last = smoothed_conditions(window)
        for row in self._last:
            cells = [iteration, *(row[name] for name in CONDITION_COLUMNS[1:])]
            self._writer.writerow(["" if cell is None else repr(cell) for cell in cells])
        self._file.flush()
        self._events.write(iteration, self._last)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        del logs
        self.close()

    def close(self) -> None:
        """Closes both files; to be called when training was interrupted, which Keras does not report."""
        if self._file:
            self._file.close()
            self._events.close()
