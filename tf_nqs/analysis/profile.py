"""The time profile of a training: the record of a phase, its CSV, table and picture."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tf_nqs.analysis.canvas import decorate, mathematics, new_figure, save_figure
from tf_nqs.storage.files import replace_text

WHOLE = "iteration"
"""What the row on the whole iteration is called."""

WORDS = {
    "sampling": "Sampling",
    "forward": "Forward pass with determinant",
    "local_energy": "Local energy",
    "gradient": "Gradient",
    "update": "Update",
    WHOLE: "Whole iteration, compiled",
}
"""Phase -> how table and picture call it, in order."""

_COLOUR = "#1f4e8c"


class PhaseTime(NamedTuple):
    """What a phase of an iteration costs; a row of `profile.csv`.

    Attributes:
        phase: a key of `WORDS`; forward is ln|Psi| of all walkers, which local_energy computes for itself, so that it
            is called on its own by re-weighting only.
        seconds_per_call: median; where no profiled iteration calls the phase, that of some calls alone, or nan.
        n_calls: in all profiled iterations.
        seconds_per_iteration: of such calls, on average; 0 where there are none.
        share: of the sum over phases; nan for the whole iteration.
    """

    phase: str
    seconds_per_call: float
    n_calls: int
    seconds_per_iteration: float
    share: float


def write_profile(rows: Sequence[PhaseTime], path: str | Path, n_iterations: int) -> None:
    """Writes `profile.csv`: a header, then a row per phase; times in seconds, nan as an empty field.

    Args:
        rows: the profile.
        path: the file.
        n_iterations: iterations trained before the profile, the last column.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow([*PhaseTime._fields, "n_iterations"])
    writer.writerows([*("" if value != value else value for value in row), n_iterations] for row in rows)
    replace_text(Path(path), text.getvalue())


def read_profile(path: str | Path) -> list[PhaseTime]:
    """Returns the rows that `write_profile` wrote."""
    with open(path, newline="", encoding="utf-8") as file:
        return [_phase_time(row) for row in csv.DictReader(file)]


def _phase_time(row: dict[str, str]) -> PhaseTime:
    numbers: dict[str, Any] = {name: _number(row[name]) for name in PhaseTime._fields[1:]}
    return PhaseTime(phase=row["phase"], **numbers)


def _number(text: str) -> int | float:
    return int(text) if text.isdecimal() else float(text or math.nan)


def profile_table(rows: Sequence[PhaseTime]) -> str:
    """Returns the profile as an aligned table in plain ASCII, without a newline at its end."""
    n_iterations = next(row.n_calls for row in rows if row.phase == WHOLE)
    lines = [f"{'Phase':<30}{'ms per call':>12}{'calls':>8}{'ms per iteration':>18}{'share':>8}"]
    for row in rows:
        share = "" if math.isnan(row.share) else f"{100 * row.share:.1f} %"
        per_call = "" if math.isnan(row.seconds_per_call) else f"{1e3 * row.seconds_per_call:.2f}"
        times = f"{per_call:>12}{row.n_calls:>8}{1e3 * row.seconds_per_iteration:>18.2f}"
        lines.append(f"{WORDS[row.phase]:<30}{times}{share:>8}")
    return "\n".join([f"Time profile of {n_iterations} iterations", *lines])


def plot_profile(rows: Sequence[PhaseTime], path: str | Path, title: str) -> None:
    """Writes the seconds per iteration of each phase as bars.

    Args:
        rows: the profile.
        path: file to write; its suffix names the format.
        title: headline of the figure.
    """
    phases = [row for row in rows if row.phase != WHOLE]
    whole = next(row for row in rows if row.phase == WHOLE)
    figure = new_figure(8.0, 3.4)
    panel = figure.subplots()
    figure.suptitle(mathematics(title), fontsize=12)
    milliseconds = [1e3 * row.seconds_per_iteration for row in phases]
    bars = panel.barh([WORDS[row.phase] for row in phases], milliseconds, color=_COLOUR)
    panel.bar_label(bars, [f"{value:.2f}" for value in milliseconds], padding=4, fontsize=9)
    panel.axvline(
        1e3 * whole.seconds_per_iteration, color="black", ls="--", lw=1.1, label="whole iteration, compiled as one"
    )
    panel.invert_yaxis()
    panel.set_xlim(0, 1.15 * 1e3 * max(whole.seconds_per_iteration, max(row.seconds_per_iteration for row in phases)))
    panel.set_xlabel("Milliseconds per iteration")
    panel.legend(loc="lower right", fontsize=9, frameon=False)
    decorate(panel, "x")
    save_figure(figure, path)
