"""The pictures, drawn as the thesis draws them; matplotlib figure objects alone, no pyplot."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, ScalarFormatter

from tf_nqs.analysis.canvas import GREY, decorate, mathematics, new_figure, save_figure
from tf_nqs.analysis.plots import LEGEND_STYLE, running_mean
from tf_nqs.analysis.profile import WHOLE, WORDS
from tf_nqs.studies.figures.definitions import Curve, FigureDefinition
from tf_nqs.studies.figures.outcomes import Outcome

COLOURS = {"blue": "#1f6fb4", "orange": "#ee7d1b", "green": "#2c9a41", "purple": "#7d4fb0"}

MEAN_OVER = 50
"""Iterations of a curve divided by those in its running mean."""

ONE_CALL = " (one call, in no iteration)"
"""Label of the bar of a forward pass that no iteration makes on its own."""

SAMPLINGS_AVERAGED = 5
"""Number of successive waits in the mean that the schedule shows as a black line, as in the thesis."""


def draw_figure(figure: FigureDefinition, outcomes: Mapping[str, Outcome], scale: str, path: Path) -> None:
    """Writes a figure as PNG, see `make_picture`."""
    save_figure(make_picture(figure, outcomes, scale), path, dpi=130)


def make_picture(figure: FigureDefinition, outcomes: Mapping[str, Outcome], scale: str) -> Figure:
    """Returns the picture of a figure.

    Args:
        figure: its definition.
        outcomes: name of a run -> its outcome, for at least one of the figure's runs.
        scale: laptop or thesis.
    """
    curves = [curve for curve in figure.curves if curve.run in outcomes]
    picture = new_figure(8.0, 4.4)
    panel = picture.subplots()
    number = figure.name.removeprefix("fig")
    picture.suptitle(mathematics(f"Figure {number}: {figure.title}"), fontsize=12)
    if figure.kind == "energy":
        _draw_energies(panel, curves, outcomes, figure.spikes)
    elif figure.kind == "profile":
        _draw_profiles(panel, curves, outcomes)
    else:
        _draw_schedule(panel, outcomes[curves[0].run], figure.zoom.get(scale))
    decorate(panel, "x" if figure.kind == "profile" else "both")
    return picture


def _draw_energies(panel: Axes, curves: list[Curve], outcomes: Mapping[str, Outcome], spikes: bool) -> None:
    """Draws energy against iterations, the curves in the thesis' colours, the exact value dashed."""
    limits, labels = [], {}
    for curve in reversed(curves):  # the first one on top
        outcome, colour = outcomes[curve.run], COLOURS[curve.colour]
        iterations, energies = outcome.metrics["iteration"], outcome.metrics["energy"]
        smooth = running_mean(energies, max(energies.size // MEAN_OVER, 1))
        panel.plot(iterations, energies, color=colour, lw=0.5, alpha=0.35, rasterized=True)
        (labels[curve.label],) = panel.plot(iterations, smooth, color=colour, lw=1.6)
        panel.plot(iterations[-1:], smooth[-1:], "o", color=colour, ms=5)
        limits += _extremes(energies, spikes)
    reference = outcomes[curves[0].run].result["reference_energy"]
    if reference is not None:
        limits.append(reference)
        labels[f"exact, {reference:.6g}"] = panel.axhline(reference, color="black", ls="--", lw=1.1, zorder=4)
    order = [*(curve.label for curve in curves), *(label for label in labels if label.startswith("exact"))]
    panel.legend([labels[label] for label in order], order, loc="upper right", **LEGEND_STYLE)
    padding = 0.05 * (max(limits) - min(limits))
    panel.set_ylim(min(limits) - padding, max(limits) + padding)
    panel.set_xlabel("Iteration")
    panel.set_ylabel("Energy (ħω)")
    panel.yaxis.set_major_formatter(ScalarFormatter(useOffset=False))
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))


def _extremes(energies: np.ndarray, spikes: bool) -> list[float]:
    """Returns the lowest and the highest energy that the axis must include; none if no energy is finite.

    Args:
        energies: of all iterations; the first fifth, the descent, does not count.
        spikes: whether every other energy must be visible; if not, a thousandth is left out at each end, so that
            single spikes do not flatten the curves.
    """
    later = energies[energies.size // 5 :]
    later = later[np.isfinite(later)]
    return [float(limit) for limit in np.percentile(later, [0, 100] if spikes else [0.1, 99.9])] if later.size else []


def _draw_profiles(panel: Axes, curves: list[Curve], outcomes: Mapping[str, Outcome]) -> None:
    """Draws the time of each phase as bars, the runs side by side.

    The forward pass has a bar in the thesis, but without re-weighting no iteration makes it on its own: there the bar
    is the time of one call alone, and says so.
    """
    phases = list(WORDS)
    height = 0.8 / len(curves)
    largest = 0.0
    for index, curve in enumerate(curves):
        profile = outcomes[curve.run].profile
        rows = [profile[phase] for phase in phases]
        is_alone = [row.phase == "forward" and row.n_calls == 0 for row in rows]
        milliseconds = [
            1e3 * (row.seconds_per_call if alone else row.seconds_per_iteration)
            for row, alone in zip(rows, is_alone, strict=True)
        ]
        words = [f"{value:.2f}" + ONE_CALL * alone for value, alone in zip(milliseconds, is_alone, strict=True)]
        places = np.arange(len(phases)) + (index - (len(curves) - 1) / 2) * height
        bars = panel.barh(places, milliseconds, height, color=COLOURS[curve.colour], label=curve.label)
        panel.bar_label(bars, words, padding=4, fontsize=8)
        largest = max(largest, *milliseconds)
    panel.set_yticks(range(len(phases)), [WORDS[phase] for phase in phases])
    panel.invert_yaxis()
    panel.set_xlim(0, 1.15 * largest)
    panel.axhline(phases.index(WHOLE) - 0.5, color=GREY, lw=1)
    panel.set_xlabel("Milliseconds per iteration")
    panel.legend(loc="upper right", **LEGEND_STYLE)


def _draw_schedule(panel: Axes, outcome: Outcome, zoom: list[int] | None) -> None:
    """Draws the iterations between samplings, those that the schedule allows, and their running mean."""
    iterations, waited, wait = (outcome.metrics[name] for name in ("iteration", "n_waited", "wait"))
    first, last = zoom or (iterations[0], iterations[-1])
    if not np.any((iterations >= first) & (iterations <= last)):  # the run ended before
        first, last = iterations[-min(len(iterations), last - first)], iterations[-1]
    shown = (iterations >= first) & (iterations <= last)
    width = 1.2 if zoom else 0.4
    panel.plot(iterations[shown], wait[shown], color=COLOURS["orange"], lw=width, label="schedule, Eq. 20")
    panel.plot(iterations[shown], waited[shown], color=COLOURS["blue"], lw=width, label="iterations waited")
    at, means = mean_waits(outcome)
    inside = (at >= first) & (at <= last)
    label = f"mean of {SAMPLINGS_AVERAGED} waits"
    panel.plot(at[inside], means[inside], color="black", lw=1.2, label=label)
    panel.set_xlim(first, last)
    panel.set_ylim(0, 1.05 * wait[shown].max())
    panel.set_xlabel("Iteration")
    panel.set_ylabel("Iterations between samplings")
    # Beside the panel no curve can pass behind the legend.
    panel.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, **LEGEND_STYLE)


def mean_waits(outcome: Outcome) -> tuple[np.ndarray, np.ndarray]:
    """Returns the iterations in which new samples were drawn, and the running mean of the waits there.

    Args:
        outcome: of a run that reuses samples.
    """
    sampled = (outcome.metrics["sampled"] == 1) & (outcome.metrics["n_waited"] > 0)
    waits = outcome.metrics["n_waited"][sampled]
    return outcome.metrics["iteration"][sampled], running_mean(waits, SAMPLINGS_AVERAGED)
