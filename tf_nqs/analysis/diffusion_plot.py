"""The plot of a diffusion: energy against time step, and the density."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.polynomial import polynomial

from tf_nqs.analysis.canvas import decorate, mathematics, new_figure, save_figure
from tf_nqs.analysis.notation import format_with_error
from tf_nqs.analysis.plots import ACCENT, DARK, LEGEND_STYLE, LIGHT

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Point = tuple[float, float, float]
"""A time step in 1/omega, the energy there and its error in hbar*omega."""


def plot_diffusion(
    path: Path,
    title: str,
    points: Sequence[Point],
    fit: Sequence[float],
    error: float,
    reference: float | None,
    density: Mapping[str, Any],
) -> None:
    """Writes a plot of energies against time steps, with their extrapolation to zero, and of the density.

    Args:
        path: file to write; its suffix is the format.
        title: title of the figure.
        points: the time steps.
        fit: coefficients by rising powers of the time step; the first is the energy.
        error: of the first coefficient.
        reference: energy in hbar*omega that is known from elsewhere, or None.
        density: x, forward, forward_error and mixed of `diffusion.json`; None in them for what is not known.
    """
    figure = new_figure(11.0, 4.4)
    figure.suptitle(mathematics(title), fontsize=12)
    left, right = figure.subplots(1, 2)
    _draw_energies(left, points, fit, error, reference)
    _draw_density(right, density)
    for panel in (left, right):
        panel.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, **LEGEND_STYLE)
        decorate(panel)
    save_figure(figure, path)


def _draw_density(panel: Axes, density: Mapping[str, Any]) -> None:
    x, forward, error, mixed = (
        np.array(density[name], np.float64) for name in ("x", "forward", "forward_error", "mixed")
    )
    panel.plot(x, mixed, color=LIGHT, lw=1.4, label="mixed with the guide")
    panel.errorbar(x, forward, yerr=error, color=DARK, lw=1.4, elinewidth=0.8, label="exact, by forward walking")
    panel.set_xlabel("x (a_ho)")
    panel.set_ylabel("Density (1/a_ho)")
    panel.set_ylim(bottom=0.0)


def _draw_energies(
    panel: Axes, points: Sequence[Point], fit: Sequence[float], error: float, reference: float | None
) -> None:
    steps, energies, errors = np.transpose(points)
    curve = np.linspace(0, 1.05 * steps.max(), 100)
    panel.plot(curve, polynomial.polyval(curve, fit), color=LIGHT, lw=1.6)
    panel.errorbar(steps, energies, yerr=errors, color=DARK, fmt="o", ms=5, capsize=3, label="at a time step")
    label = f"extrapolated {format_with_error(fit[0], error)}"
    panel.errorbar([0.0], fit[:1], yerr=error, color=ACCENT, fmt="o", ms=6, capsize=3, label=label, zorder=5)
    if reference is not None:
        panel.axhline(reference, color="black", ls="--", lw=1.1, label=f"reference {reference:.7g}")
    panel.set_xlabel("Time step (1/ω)")
    panel.set_ylabel("Energy (ħω)")
    panel.ticklabel_format(axis="y", useOffset=False)
