"""The picture of several members of a family: their densities, and their occupations beside them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from tf_nqs.analysis.canvas import A_HO, decorate, mathematics, new_figure, save_figure
from tf_nqs.analysis.plots import LEGEND_STYLE
from tf_nqs.observables.members import MemberSummary, common_title, labels_of
from tf_nqs.observables.plots import FORMATS, PLACE, extent_of, smooth

_COLOURS, _LIGHTEST = "viridis", 0.9
"""Sequential colour map, dark for the smallest value, and the end of it: its yellow can hardly be seen on white."""

_MOST_LABELS = 12
"""Of the legend; of more members some are left out of it."""

_EXACT: dict[str, Any] = {"color": "black", "ls": ":", "lw": 0.9}


def plot_members(path: Path, members: Sequence[MemberSummary]) -> None:
    """Writes the picture, whole or not at all, and removes those of the same name in other formats.

    Args:
        path: file to write, whose name ends with its format.
        members: at least one, in the order of what varies.
    """
    figure = members_figure(members)
    save_figure(figure, path)
    for other in FORMATS:
        if other != path.suffix[1:]:
            path.with_name(f"{path.stem}.{other}").unlink(missing_ok=True)


def members_figure(members: Sequence[MemberSummary]) -> Figure:
    """Returns the picture: one row of panels, or one for each number of particles if something else varies too."""
    rows = _rows(members)
    labels = [labels_of([member.title for member in row]) for row in rows]
    names = list(dict.fromkeys(label for row in labels for label in row))
    shades = matplotlib.colormaps[_COLOURS](np.linspace(0.0, _LIGHTEST, len(names)))
    colours = dict(zip(names, shades, strict=True))
    figure = new_figure(11.5, 1.0 + 3.4 * len(rows))
    figure.suptitle(mathematics(common_title([member.title for member in members])), fontsize=12)
    panels = figure.subplots(len(rows), 2, squeeze=False, sharex="col")
    for (left, right), row, own in zip(panels, rows, labels, strict=True):
        for member, label in zip(row, own, strict=True):
            _draw_density(left, member, colours[label])
            _draw_occupations(right, member, colours[label])
        left.set(ylabel=f"Density $n(x)$ (1/{A_HO})", ylim=(0, None))
        right.set(ylabel="Occupation", yscale="log")
        if len(rows) > 1:
            left.set_title(mathematics(f"A = {row[0].n_particles}"), loc="left", fontsize=11)
        for panel in (left, right):
            decorate(panel)
    extent = 1.1 * max(extent_of(member.x, member.density.value) for member in members)
    panels[-1, 0].set(xlabel=PLACE, xlim=(-extent, extent))
    panels[-1, 1].set_xlabel("Natural orbital")
    panels[-1, 1].xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    _add_legend(figure, colours, has_exact=any(member.exact_density is not None for member in members))
    return figure


def _rows(members: Sequence[MemberSummary]) -> list[list[MemberSummary]]:
    """Members with the same number of particles together; all of them if there is one for each number."""
    by_number: dict[int, list[MemberSummary]] = {}
    for member in members:
        by_number.setdefault(member.n_particles, []).append(member)
    return [list(members)] if len(by_number) == len(members) else list(by_number.values())


def _draw_density(panel: Axes, member: MemberSummary, colour: Any) -> None:
    fine, curve, band = smooth(member.x, *member.density)
    panel.fill_between(fine, curve - 2 * band, curve + 2 * band, color=colour, alpha=0.25, lw=0)
    panel.plot(fine, curve, color=colour, lw=1.5)
    if member.exact_density is not None:
        panel.plot(*smooth(member.x, member.exact_density), **_EXACT)


def _draw_occupations(panel: Axes, member: MemberSummary, colour: Any) -> None:
    value, error = member.occupations
    number = np.arange(1, len(value) + 1)
    panel.errorbar(number, value, 2 * error, color=colour, fmt="o-", ms=4, lw=0.9, capsize=2)
    if member.exact_occupations is not None:
        shown = np.where(member.exact_occupations > 0, member.exact_occupations, np.nan)
        panel.plot(number, shown, color="black", ls="none", marker="_", ms=12, mew=1.0)


def _add_legend(figure: Figure, colours: dict[str, Any], has_exact: bool) -> None:
    """Says what varies, and which lines are exact; of many members it names some, the first and the last among them."""
    names = list(colours)
    shown = np.unique(np.linspace(0, len(names) - 1, min(len(names), _MOST_LABELS)).round().astype(int))
    lines = [Line2D([], [], color=colours[names[index]], lw=2.0) for index in shown]
    labels = [mathematics(names[index]) for index in shown]
    if has_exact:
        lines.append(Line2D([], [], **_EXACT))
        labels.append("exact")
    figure.legend(lines, labels, loc="outside right upper", **LEGEND_STYLE)
