"""The results and records in the run folder of a run that figures show."""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tf_nqs.analysis import read_metrics
from tf_nqs.analysis.profile import PhaseTime, read_profile
from tf_nqs.config import RunFolderError
from tf_nqs.config.errors import brief, shown
from tf_nqs.storage.run_folder import RunFolder
from tf_nqs.studies.plan import PlannedRun


@dataclass(frozen=True)
class Outcome:
    """A run that has a result, finished or stopped by a time limit.

    Attributes:
        run: which.
        result: what `result.json` holds.
    """

    run: PlannedRun
    result: Mapping[str, Any]

    @functools.cached_property
    def metrics(self) -> dict[str, np.ndarray]:
        """The columns of `metrics.csv`, see `read_metrics`; RunFolderError where it cannot be read."""
        with self._readable(RunFolder(self.run.folder).metrics) as path:
            return read_metrics(path)

    @functools.cached_property
    def profile(self) -> dict[str, PhaseTime]:
        """Phase -> its row of `profile.csv`; empty for a run that was not profiled."""
        with self._readable(RunFolder(self.run.folder).profile) as path:
            return {row.phase: row for row in read_profile(path)} if path.is_file() else {}

    @property
    def energy(self) -> float:
        """Measured after training, in hbar*omega."""
        return self.result["energy"]

    @property
    def energy_error(self) -> float:
        """The standard error of `energy`, autocorrelation-corrected, in hbar*omega; nan if it is unknown."""
        error = self.result["energy_error"]
        return math.nan if error is None else error

    @property
    def iterations(self) -> int:
        """Optimiser updates."""
        return self.result["n_iterations"]

    @property
    def has_converged(self) -> bool:
        """Whether early stopping ended training."""
        return self.result["stop_reason"] == "early_stopping"

    @property
    def is_cut_short(self) -> bool:
        """Whether a time limit ended training, which can be continued."""
        return self.result["stop_reason"] == "time_limit"

    def last(self, column: str, count: int) -> np.ndarray:
        """Returns a column of the last iterations.

        Args:
            column: of `metrics.csv`.
            count: iterations.
        """
        return self.metrics[column][-count:]

    @contextlib.contextmanager
    def _readable(self, path: Path) -> Iterator[Path]:
        """Yields the path of a file of the run folder; a RunFolderError says in one line why it cannot be read."""
        try:
            yield path
        except (OSError, ValueError) as error:
            line = f"run_dir = {shown(str(self.run.folder))}: its {path.name} cannot be read ({brief(error)})"
            raise RunFolderError(line) from error
