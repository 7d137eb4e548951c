"""The callback that writes what happened at every iteration."""

from __future__ import annotations

import csv
import os
import time
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from tf_nqs.callbacks.events import Events
from tf_nqs.callbacks.iterations import IterationCallback
from tf_nqs.sampling.sample_reuse import SampleLog
from tf_nqs.storage.run_folder import RunFolder

REUSE_COLUMNS = SampleLog._fields[SampleLog._fields.index("n_waited") :]
"""Columns about the samples, see `SampleLog`."""

METRICS_COLUMNS = (
    "iteration",
    "energy",
    "energy_error",
    "variance",
    "kinetic",
    "trap",
    "interaction",
    "acceptance",
    "proposal_width",
    "seconds",
    "n_non_finite",
    *REUSE_COLUMNS,
)
"""Header of metrics.csv; new columns are appended."""

WHOLE_NUMBERS = ("iteration", "n_non_finite", "n_waited", "sampled", "sample_reason", "n_restarted")
"""Columns that are written without a decimal point."""

_BEGIN_FIRST = "Keras calls on_train_begin first"


class RunLog(IterationCallback):
    """Writes `metrics.csv`, a row per iteration, and TensorBoard events, a point per call.

    `seconds` is the wall-clock time of an iteration; iterations of one call share it evenly.

    Args:
        folder: existing folder; events go to its subfolder `tensorboard`.
        reference_energy: in hbar*omega, a line in TensorBoard; None for no line.
        settings: all settings as TOML, a text in TensorBoard; None for no text.
    """

    on_chief_alone = True

    def __init__(self, folder: str | Path, reference_energy: float | None = None, settings: str | None = None):
        super().__init__()
        self.folder = Path(folder)
        self.reference_energy = reference_energy
        self.settings = settings
        self._file: TextIO | None = None
        self._last = 0

    def begin(self, state: dict[str, Any] | None) -> None:
        variable = getattr(self.model, "iteration", None)
        iteration = 0 if variable is None else int(variable.numpy())
        self._events = Events(self.folder, self.reference_energy, self.settings, iteration)
        file = open(RunFolder(self.folder).metrics, "w" if state is None else "a", newline="", encoding="utf-8")
        self._file, self._writer = file, csv.writer(file)
        if not file.tell():
            self._writer.writerow(METRICS_COLUMNS)
        file.flush()
        self._before = time.monotonic()

    def get_state(self) -> dict[str, Any]:
        assert self._file, _BEGIN_FIRST
        os.fsync(self._file.fileno())  # a checkpoint must not outlive the rows before it, even if the power fails
        return {}

    def on_iterations(self, rows: dict[str, np.ndarray]) -> None:
        assert self._file, _BEGIN_FIRST
        now = time.monotonic()
        count = len(rows["iteration"])
        rows = {**rows, "seconds": np.full(count, (now - self._before) / count)}
        self._before = now
        self._last = int(rows["iteration"][-1])
        for values in zip(*(rows[name] for name in METRICS_COLUMNS), strict=True):
            self._writer.writerow([_shown(name, value) for name, value in zip(METRICS_COLUMNS, values, strict=True)])
        self._file.flush()
        self._events.write({name: rows[name][-1] for name in METRICS_COLUMNS}, self.model)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        if self._file and not self._file.closed:
            rows = self.model.recent_iterations()  # Ctrl-C may have kept the last call from being reported
            if len(rows["iteration"]) and rows["iteration"][-1] > self._last:
                self.on_iterations(rows)
        self.close()

    def close(self) -> None:
        """Closes both files; to be called when training was interrupted, which Keras does not report."""
        if self._file:
            self._file.close()
            self._events.close()


def _shown(name: str, value: float) -> int | str:
    """Whole numbers without a decimal point, everything else so that it reads back to the same float64."""
    return int(value) if name in WHOLE_NUMBERS else repr(float(value))
