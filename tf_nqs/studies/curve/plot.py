"""The picture of curves: energy, deviation, slope and fidelity susceptibility against the parameter."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tf_nqs.analysis.canvas import decorate, mathematics, new_figure, save_figure
from tf_nqs.analysis.plots import LEGEND_STYLE
from tf_nqs.studies.curve.curves import Curve
from tf_nqs.studies.curve.words import words_of
from tf_nqs.types import Estimate

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = ("#1f4e8c", "#c8501e", "#2e7d4f", "#7b4a9e", "#8a6d1d", "#4a4a4a")
"""Of the curves, in turn."""

_POINTS_OF_FIT = 400
_POINT: dict[str, Any] = {"fmt": "o", "ms": 3.5, "lw": 1.0, "capsize": 2}


def plot_curves(
    path: Path, title: str, curves: Sequence[Curve], susceptibilities: Sequence[Sequence[Estimate]]
) -> None:
    """Writes the picture, whole or not at all.

    Args:
        path: file to write.
        title: headline.
        curves: at least one, all of the same parameter.
        susceptibilities: of each curve, between its neighbours.
    """
    has_parameter = curves[0].parameter is not None
    figure = new_figure(10.0, 7.6 if has_parameter else 4.2)
    figure.suptitle(mathematics(title), fontsize=12)
    panels = figure.subplots(2, 2, sharex=True).ravel() if has_parameter else figure.subplots(1, 2)
    labels = _labels(curves)
    for index, (curve, between) in enumerate(zip(curves, susceptibilities, strict=True)):
        colour = COLOURS[index % len(COLOURS)]
        _draw_energies(panels[0], curve, colour, labels[index], is_first=index == 0)
        _draw_deviations(panels[1], curve, colour)
        if has_parameter:
            _draw_slopes(panels[2], curve, colour)
            _draw_susceptibilities(panels[3], curve, between, colour)
    slope = f"Slope d$E$/d{mathematics(words_of(curves[0]))}"
    names = ("Energy (ħω)", "Energy less exact (10⁻³ ħω)", slope, "Fidelity susceptibility")
    for panel, name in zip(panels, names, strict=False):
        panel.set_ylabel(mathematics(name))
        decorate(panel)
    for panel in panels[-2:]:
        panel.set_xlabel(mathematics(words_of(curves[0])))
    if panels[0].get_legend_handles_labels()[1]:
        panels[0].legend(**LEGEND_STYLE)
    save_figure(figure, path)


def _labels(curves: Sequence[Curve]) -> list[str]:
    """Returns what the legend calls each curve; the repetitions of a number of particles are counted."""
    if len(curves) == 1:
        return ["measured"]
    numbers = [curve.points[0].system.n_particles for curve in curves]
    labels = []
    for index, number in enumerate(numbers):
        count = numbers[: index + 1].count(number)
        labels.append(f"$A = {number}$" + (f", curve {count}" if numbers.count(number) > 1 else ""))
    return labels


def _draw_energies(panel: Axes, curve: Curve, colour: str, label: str, is_first: bool) -> None:
    energies = np.array([point.energy for point in curve.points], np.float64).T
    panel.errorbar(curve.values, energies[0], yerr=_shown(energies[1]), color=colour, label=label, **_POINT)
    known = [(x, point.reference.energy) for x, point in zip(curve.values, curve.points, strict=True)]
    exact = np.array([(x, energy) for x, energy in known if energy is not None], np.float64)
    if exact.size:
        name = "exact" if is_first else None
        panel.plot(*exact.T, color="black", marker="+", ms=5, lw=0.8, ls="--" if curve.parameter else "", label=name)


def _draw_deviations(panel: Axes, curve: Curve, colour: str) -> None:
    deviations = 1e3 * np.array([point.deviation for point in curve.points], np.float64).T
    panel.axhline(0.0, color="black", lw=0.8)
    panel.errorbar(curve.values, deviations[0], yerr=_shown(deviations[1]), color=colour, **_POINT)


def _draw_slopes(panel: Axes, curve: Curve, colour: str) -> None:
    measured = curve.measured_slopes()
    panel.errorbar(curve.values, measured.value, yerr=_shown(measured.error), color=colour, **_POINT)
    if curve.fit is not None:
        x = np.linspace(curve.values.min(), curve.values.max(), _POINTS_OF_FIT)
        slope, error = curve.fit.derivative(x, 1)
        panel.plot(x, slope, color=colour, lw=1.0)
        panel.fill_between(x, slope - error, slope + error, color=colour, alpha=0.2, lw=0)


def _draw_susceptibilities(panel: Axes, curve: Curve, between: Sequence[Estimate], colour: str) -> None:
    if between:
        middles = 0.5 * (curve.values[1:] + curve.values[:-1])
        values, errors = np.array(between, np.float64).T
        panel.errorbar(
            middles, np.where(np.isfinite(values), values, np.nan), yerr=_shown(errors), color=colour, **_POINT
        )


def _shown(errors: np.ndarray) -> np.ndarray:
    """Returns errors with 0 in the place of unknown ones, which matplotlib cannot draw."""
    return np.where(np.isfinite(errors), errors, 0.0)
