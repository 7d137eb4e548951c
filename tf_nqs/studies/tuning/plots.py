"""The picture of a search: the objective of each trial, and its dependence on each searched setting."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator

from tf_nqs.analysis.canvas import A_HO, decorate, mathematics, new_figure, save_figure
from tf_nqs.config.search import Choices, Range, Search
from tf_nqs.exact import Reference
from tf_nqs.studies.tuning.summary import TrialRecord, best_record

_POINT, _BEST, _FAILED = "#1f4e8c", "#c8501e", "#888888"
_PANELS_PER_ROW = 3
_TIMES = "\N{MULTIPLICATION SIGN}"


def plot_search(search: Search, records: Sequence[TrialRecord], reference: Reference, path: Path, title: str) -> None:
    """Writes the picture; writes nothing without a completed trial.

    Args:
        search: the whole search.
        records: of all trials.
        reference: for comparison with their energies.
        path: file to write, ending in .png, .pdf or .svg.
        title: headline.
    """
    if best_record(records) is None:
        return
    save_figure(search_figure(search, records, reference, title), path)


def search_figure(search: Search, records: Sequence[TrialRecord], reference: Reference, title: str) -> Figure:
    """Returns the figure that `plot_search` writes.

    The upper panel shows the trials in their order, failed ones at its edge; each lower panel shows the objective
    against one searched setting. With a reference, the distance from it is shown on a logarithmic axis.

    Args:
        search: as for `plot_search`.
        records: as for `plot_search`, at least one completed.
        reference: as for `plot_search`.
        title: as for `plot_search`.
    """
    n_rows = 1 + math.ceil(len(search.space) / _PANELS_PER_ROW)
    figure = new_figure(9.0, 2.6 * n_rows + 0.4)
    figure.suptitle(mathematics(title), fontsize=12)
    grid = figure.add_gridspec(n_rows, _PANELS_PER_ROW)
    above = figure.add_subplot(grid[0, :])
    _draw_order(above, search, records, reference)
    for index, (setting, dimension) in enumerate(search.space.items()):
        row, column = divmod(index, _PANELS_PER_ROW)
        panel = figure.add_subplot(grid[1 + row, column], sharey=above)
        _draw_dependence(panel, records, reference, setting, dimension)
        if column == 0:
            panel.set_ylabel(_objective_label(search, reference))
        else:
            panel.tick_params(which="both", labelleft=False)
    for panel in figure.axes:
        decorate(panel)
    return figure


def _objective_label(search: Search, reference: Reference) -> str:
    weight = search.search.error_weight
    objective = "energy" if weight == 0 else f"energy + {'' if weight == 1 else f'{weight:g} {_TIMES} '}error"
    return f"{objective} (ħω)" if reference.energy is None else f"|{objective}\n\N{MINUS SIGN} reference| (ħω)"


def _heights(records: Sequence[TrialRecord], reference: Reference) -> np.ndarray:
    """Returns the height at which each trial is drawn, nan for those without an objective."""
    objectives = np.array([np.nan if one.objective is None else one.objective for one in records], dtype=np.float64)
    return objectives if reference.energy is None else np.abs(objectives - reference.energy)


def _best_trial(records: Sequence[TrialRecord]) -> str:
    best = best_record(records)
    assert best is not None  # nothing is drawn without a completed trial
    return best.trial


def _draw_order(panel: Axes, search: Search, records: Sequence[TrialRecord], reference: Reference) -> None:
    heights, order = _heights(records, reference), np.arange(len(records))
    errors = np.array([record.energy_error or np.nan for record in records], dtype=np.float64)
    best = [one.trial for one in records].index(_best_trial(records))
    finished = np.isfinite(heights)
    running = np.fmin.accumulate(heights)
    panel.plot(order, running, color=_POINT, lw=1.0, alpha=0.5, drawstyle="steps-post", label="lowest so far")
    bars: dict[str, Any] = {"fmt": "o", "capsize": 2, "elinewidth": 1.0}
    panel.errorbar(order[finished], heights[finished], errors[finished], color=_POINT, ms=5, label="trial", **bars)
    if reference.energy is None:
        # One diverged trial must not flatten all others.
        low, high = np.nanmin(heights), np.nanpercentile(heights, 75)
        room = max(high - low, 1e-6 * abs(low))
        panel.set_ylim(low - 0.2 * room, high + 0.6 * room)
    else:
        panel.set_yscale("log")
        # Whole decades, and a free one on top for the failed trials.
        low, high = np.log10(np.maximum([np.nanmin(heights), np.nanmax(heights)], 1e-9))
        panel.set_ylim(10.0 ** np.floor(low - 0.1), 10.0 ** (np.floor(high) + 1.2))
    panel.plot(order[best], heights[best], "o", color=_BEST, ms=8, label=f"best: trial {records[best].trial}", zorder=4)
    beyond = order[finished & (heights > panel.get_ylim()[1])]
    failed = order[[one.status == "failed" for one in records]]
    top = panel.get_xaxis_transform()  # heights as shares of the panel
    for places, marker, label in ((beyond, "^", "above the panel"), (failed, "x", "failed")):
        if places.size:
            panel.plot(places, np.full(places.size, 0.97), marker, color=_FAILED, transform=top, label=label)
    panel.set_xlim(-0.5, len(records) - 0.5)
    panel.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    panel.set_xlabel("trial")
    panel.set_ylabel(_objective_label(search, reference))
    panel.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=5, fontsize=9, frameon=False)


def _draw_dependence(
    panel: Axes, records: Sequence[TrialRecord], reference: Reference, setting: str, dimension: Range | Choices
) -> None:
    heights, best = _heights(records, reference), _best_trial(records)
    values = [record.values[setting] for record in records]
    if isinstance(dimension, Range):
        places = np.array(values, dtype=np.float64)
        low, high = dimension.low, dimension.high
        if dimension.scale == "log":
            panel.set_xscale("log")
            margin = (high / low) ** 0.05
            panel.set_xlim(low / margin, high * margin)
            if high < 30 * low:  # too short for powers of ten
                panel.set_xticks(ticks := np.geomspace(low, high, 4), [f"{tick:.3g}" for tick in ticks])
                panel.xaxis.set_minor_locator(NullLocator())
        else:
            panel.set_xlim(low - 0.05 * (high - low), high + 0.05 * (high - low))
    else:
        places = np.array([dimension.choices.index(value) for value in values], dtype=np.float64)
        panel.set_xticks(range(len(dimension.choices)), [str(choice) for choice in dimension.choices])
        panel.set_xlim(-0.5, len(dimension.choices) - 0.5)
    panel.plot(places, heights, "o", color=_POINT, ms=4, alpha=0.7)
    is_best = [record.trial == best for record in records]
    panel.plot(places[is_best], heights[is_best], "o", color=_BEST, ms=7, zorder=4)
    panel.set_xlabel(_label(setting))


def _label(setting: str) -> str:
    """Returns the name of a setting with its unit, if it has one."""
    return f"{setting} ({A_HO})" if setting == "proposal_width" else setting
