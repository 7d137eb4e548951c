"""The callback that ends a training once the energy has converged."""

from __future__ import annotations

import csv
import logging
from pathlib import Path
from typing import Any

import numpy as np

from tf_nqs import defaults
from tf_nqs.analysis.convergence import Check, Counters, Criterion, ThesisCriterion, Window, count_verdict, make_window
from tf_nqs.analysis.notation import format_with_error
from tf_nqs.callbacks.windows import WindowCallback
from tf_nqs.execution.agreement import is_chief
from tf_nqs.storage.run_folder import RunFolder

logger = logging.getLogger(__name__)


class EnergyEarlyStopping(WindowCallback):
    """Stops training at the end of the window by which the energy has converged, and says why, or why not.

    With a folder, every window becomes a row of `windows.csv`: `iteration` (its last), `first_iteration`, `energy` and
    `energy_error` (hbar*omega); for every check of the criterion its value, its `_threshold` and whether it `_passed`
    (1 or 0; all three empty for the first window); then `passed`, the window's verdict, and the counters
    `n_successes` and `n_failures` after it.

    Args:
        window: iterations in a window.
        criterion: what converged means; None for `ThesisCriterion()`.
        folder: existing folder for `windows.csv`; None writes nothing.

    Raises:
        ValueError: window is shorter than the criterion needs.

    Reference: thesis, Sec. 3.1 and Appendix A.
    """

    def __init__(
        self,
        window: int = defaults.WINDOW,
        criterion: Criterion | None = None,
        folder: str | Path | None = None,
    ):
        self.criterion = criterion or ThesisCriterion()
        if window < self.criterion.least_window:
            raise ValueError(f"window = {window}: this criterion needs at least {self.criterion.least_window}")
        super().__init__(window)
        self.path = None if folder is None else RunFolder(folder).windows
        self.start_anew()

    def start_anew(self) -> None:
        """Forgets all windows so far; a window that is not complete yet continues."""
        self.windows: list[Window] = []
        self.last_checks: tuple[Check, ...] = ()
        self.n_blocked = dict.fromkeys(self.criterion.names, 0)
        self.counters = Counters()
        self.has_stopped = False

    def begin(self, state: dict[str, Any] | None) -> None:
        super().begin(state)
        self.start_anew()
        if state:
            judged, length = state["windows"], self.window
            self.windows = [make_window(*judged[:, i : i + length]) for i in range(0, judged.shape[1], length)]
            self.last_checks = self.criterion.checks(self.windows) if self.windows else ()
            self.n_blocked, self.has_stopped = state["n_blocked"], state["has_stopped"]
            self.counters = Counters(*state["counters"])
        if self.path and (state is None or not self.path.exists()):
            checks = [f"{name}{suffix}" for name in self.criterion.names for suffix in ("", "_threshold", "_passed")]
            columns = ["iteration", "first_iteration", "energy", "energy_error", *checks]
            self._write(self.path, "w", [*columns, "passed", "n_successes", "n_failures"])

    def get_state(self) -> dict[str, Any]:
        windows = [
            (np.arange(one.first_iteration, one.last_iteration + 1), one.energies, one.variances)
            for one in self.windows
        ]
        return super().get_state() | {
            "windows": np.hstack(windows) if windows else np.empty((3, 0)),
            "n_blocked": self.n_blocked,
            "counters": self.counters,
            "has_stopped": self.has_stopped,
        }

    def on_window(self, window: Window) -> None:
        self.judge(window, window)

    def judge(self, window: Window, judged: Window) -> None:
        """Looks at a window, writes down the verdict, and stops training if it is the last one needed.

        Args:
            window: its energies, which are written down.
            judged: the numbers of the same iterations that must converge: here the energies too.
        """
        if self.has_stopped:
            return
        self.windows.append(judged)
        self.last_checks = self.criterion.checks(self.windows)
        for name in self.blocking_criteria:
            self.n_blocked[name] += 1
        if self.last_checks:
            self.counters = count_verdict(self.counters, not self.blocking_criteria, self.criterion.n_failures)
        self._log(window)
        if self.counters.n_successes >= self.criterion.n_successes:
            self.has_stopped = True
            self.stop("early_stopping")

    @property
    def earliest_iteration(self) -> int:
        """The first iteration at which it can stop: one window has no verdict, then n_successes must pass."""
        return (1 + self.criterion.n_successes) * self.window

    @property
    def blocking_criteria(self) -> list[str]:
        """Names of the checks that the last window did not pass."""
        return [check.name for check in self.last_checks if not check.passed]

    def explanation(self) -> str:
        """Returns why training was stopped, or what has kept it from being stopped so far, in a sentence or two."""
        if not self.last_checks:
            return (
                f"early stopping judged nothing: {len(self.windows)} of two windows of {self.call_period} are complete"
            )
        if self.has_stopped:
            found = ", ".join(_words(check) for check in self.last_checks)
            return f"converged at iteration {self.windows[-1].last_iteration}: {found}"
        blocking = [check for check in self.last_checks if not check.passed]
        if not blocking:
            return (
                f"not converged: the last window passed, but only {self.counters.n_successes} "
                f"of {self.criterion.n_successes} have passed since counting began again"
            )
        counts = ", ".join(f"{count} by {name}" for name, count in self.n_blocked.items() if count)
        words = ", ".join(_words(check) for check in blocking)
        return f"not converged: {words} in the last window; of {len(self.windows) - 1} windows were blocked {counts}"

    def summary(self) -> str:
        """Returns more about the last window for the terminal, with a comma at its end; here nothing."""
        return ""

    def _log(self, window: Window) -> None:
        """Writes the verdict on a window to the file and to the terminal."""
        passed = int(not self.blocking_criteria) if self.last_checks else ""
        if self.path:
            cells: list[Any] = [
                cell for check in self.last_checks for cell in (check.value, check.threshold, int(check.passed))
            ]
            cells = cells or [""] * (3 * len(self.criterion.names))
            head = [window.last_iteration, window.first_iteration, window.energy, window.energy_error]
            self._write(self.path, "a", [*head, *cells, passed, *self.counters])
        if logger.isEnabledFor(logging.INFO):
            found = (
                ", ".join(_words(check) + " blocks" * (not check.passed) for check in self.last_checks)
                or "no verdict on the first window"
            )
            counted = (
                f"; passed {self.counters.n_successes} of {self.criterion.n_successes}, "
                f"failed {self.counters.n_failures} of at most {self.criterion.n_failures}"
            )
            logger.info(
                f"window of iterations {window.first_iteration} to {window.last_iteration}: "
                f"energy {format_with_error(window.energy, window.energy_error)}, {self.summary()}{found}"
                + (counted if self.criterion.n_successes > 1 else "")
            )

    @staticmethod
    def _write(path: Path, mode: str, cells: list) -> None:
        if not is_chief():
            return
        # Opened again for each row: windows are rare, and nothing is left open by an interrupted training.
        with open(path, mode, newline="", encoding="utf-8") as file:
            csv.writer(file).writerow(cells)


def _words(check: Check) -> str:
    """Returns 'slope 1.2e-07 <= 3.0e-07' or 'variance 9.6e-03 > 3.0e-03'."""
    return f"{check.name} {check.value:.1e} {'<=' if check.passed else '>'} {check.threshold:.1e}"
