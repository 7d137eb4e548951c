"""Pictures of observables: a file for each, exact curves beside the measured ones where they exist."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from tf_nqs.analysis.canvas import new_figure
from tf_nqs.analysis.plots import ACCENT, DARK, GREY, LEGEND_STYLE, LIGHT
from tf_nqs.exact.observables import ExactObservables
from tf_nqs.observables.file import n_occupied
from tf_nqs.observables.measure import Observables
from tf_nqs.observables.natural import orbitals_like

_MAPS = {
    "one_body_density_matrix": (r"$\rho(x, x')$ (1/a_ho)", "RdBu_r"),
    "pair_density": (r"$n_2(x, x')$ (1/a_ho²)", "viridis"),
    "pair_distribution": (r"$n_2(x, x') / n(x)\,n(x')$", "viridis"),
}
"""Observable -> title of its map with the unit, and colours."""

_SCALARS = {
    "kinetic": "kinetic (ħω)",
    "trap": "trap (ħω)",
    "interaction": "interaction (ħω)",
    "rms_size": "rms size (a_ho)",
    "entropy": "entropy",
}
_N_ORBITALS = 6
_LEAST_SHOWN = 1e-3
"""Share of the largest density at which the axes of places end."""


def plot_observables(
    observed: Observables, exact: ExactObservables | None, folder: str | Path, title: str
) -> list[Path]:
    """Writes a picture of each observable.

    Args:
        observed: what was measured.
        exact: the exact ground state's, or None.
        folder: where the pictures go; it is made if it is missing.
        title: headline of every figure.

    Returns:
        The files written.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    figures = {
        "density": _density(observed, exact, title),
        "occupations": _occupations(observed, exact, title),
        "natural_orbitals": _natural_orbitals(observed, exact, title),
        "scalars": _scalars(observed, exact, title),
    }
    figures |= {name: _map(name, observed, exact, title) for name in _MAPS}
    for name, figure in figures.items():
        figure.savefig(folder / f"{name}.png", dpi=140)
    return [folder / f"{name}.png" for name in figures]


def _panel(title: str, size: tuple[float, float] = (7.0, 4.2)) -> tuple[Figure, Axes]:
    figure = new_figure(*size)
    figure.suptitle(title, fontsize=12)
    panel = figure.subplots()
    _decorate(panel)
    return figure, panel


def _decorate(panel: Axes) -> None:
    """Sets grid and frame."""
    panel.grid(color=GREY, lw=0.5)
    panel.set_axisbelow(True)
    panel.spines[["top", "right"]].set_visible(False)


def _extent(observed: Observables) -> float:
    """Returns how far from the centre there is anything to see, in a_ho."""
    density = observed.density.value
    return float(np.abs(observed.x[density > _LEAST_SHOWN * density.max()]).max())


def _density(observed: Observables, exact: ExactObservables | None, title: str) -> Figure:
    """The density, and below it what it is off the exact one, which no eye could see above."""
    value, error = observed.density
    n_panels = 2 if exact else 1
    figure = new_figure(7.0, 4.2 + 1.6 * (n_panels - 1))
    figure.suptitle(title, fontsize=12)
    panels = figure.subplots(n_panels, 1, sharex=True, squeeze=False, height_ratios=(3, 1.4)[:n_panels])[:, 0]
    panels[0].plot(observed.x, value, color=DARK, lw=1.6, label="measured")
    panels[0].set(ylabel="Density n(x) (1/a_ho)", ylim=(0, 1.18 * value.max()))
    if exact:
        panels[0].plot(exact.x, exact.density, color=ACCENT, ls="--", lw=1.3, label="exact")
        panels[1].fill_between(observed.x, -2 * error, 2 * error, color=LIGHT, lw=0, label="± 2 errors")
        panels[1].plot(observed.x, value - exact.density, color=DARK, lw=1.2)
        panels[1].set(ylabel="Measured \N{MINUS SIGN} exact (1/a_ho)")
        panels[1].legend(**LEGEND_STYLE)
    else:
        panels[0].fill_between(observed.x, value - 2 * error, value + 2 * error, color=LIGHT, label="± 2 errors")
    extent = 1.1 * _extent(observed)
    panels[-1].set(xlabel="x (a_ho)", xlim=(-extent, extent))
    panels[0].legend(loc="upper right", ncols=2, **LEGEND_STYLE)
    for panel in panels:
        _decorate(panel)
    return figure


def _occupations(observed: Observables, exact: ExactObservables | None, title: str) -> Figure:
    figure, panel = _panel(title)
    value, error = observed.occupations
    kept = n_occupied(value)
    number = np.arange(1, kept + 1)
    panel.errorbar(
        number, value[:kept], 2 * error[:kept], color=DARK, fmt="o", ms=5, capsize=3, label="measured ± 2 errors"
    )
    if exact:
        shown = np.where(exact.occupations[:kept] > 0, exact.occupations[:kept], np.nan)
        panel.plot(number, shown, color=ACCENT, ls="none", marker="_", ms=18, mew=1.6, label="exact")
    panel.set(xlabel="Natural orbital", ylabel="Occupation", yscale="log")
    panel.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    panel.legend(**LEGEND_STYLE)
    return figure


def _natural_orbitals(observed: Observables, exact: ExactObservables | None, title: str) -> Figure:
    figure, panel = _panel(title)
    kept = min(_N_ORBITALS, n_occupied(observed.occupations.value))
    for number in range(kept):
        label = f"{number + 1}: occupation {observed.occupations.value[number]:.4f}"
        panel.plot(observed.x, observed.natural_orbitals[number], lw=1.5, label=label)
    if exact:
        spacing = exact.x[1] - exact.x[0]
        known = orbitals_like(exact.one_body_density_matrix, observed.natural_orbitals) / np.sqrt(spacing)
        lines = panel.plot(exact.x, known[:kept].T, color=DARK, ls=":", lw=1.1)
        lines[0].set_label("exact")
    extent = 1.2 * _extent(observed)
    panel.set(xlabel="x (a_ho)", ylabel="Natural orbital (1/√a_ho)", xlim=(-extent, extent))
    panel.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), **LEGEND_STYLE)
    return figure


def _map(name: str, observed: Observables, exact: ExactObservables | None, title: str) -> Figure:
    """A map over x and x', the exact one beside it."""
    words, colours = _MAPS[name]
    maps = {"measured": getattr(observed, name).value}
    if exact:
        maps["exact"] = _exact_map(name, exact, maps["measured"])
    if name == "one_body_density_matrix":
        maps = {label: values / (observed.x[1] - observed.x[0]) for label, values in maps.items()}
    figure = new_figure(5.2 * len(maps), 4.6)
    figure.suptitle(f"{title}: {words}", fontsize=12)
    largest = np.nanmax(np.abs(maps["measured"]))
    lowest = -largest if colours == "RdBu_r" else 0.0
    panels = figure.subplots(1, len(maps), squeeze=False)[0]
    for panel, (label, values) in zip(panels, maps.items(), strict=True):
        grid = (observed.x, observed.x, values)
        image = panel.pcolormesh(*grid, cmap=colours, vmin=lowest, vmax=largest, shading="nearest", rasterized=True)
        extent = 1.1 * _extent(observed)
        limits = {"xlim": (-extent, extent), "ylim": (-extent, extent)}
        panel.set(title=label, xlabel="x (a_ho)", ylabel="x' (a_ho)", aspect="equal", **limits)
    figure.colorbar(image, ax=panels, shrink=0.85, label=words)
    return figure


def _exact_map(name: str, exact: ExactObservables, measured: np.ndarray) -> np.ndarray:
    if name != "pair_distribution":
        return getattr(exact, name)
    product = np.multiply.outer(exact.density, exact.density)
    return np.where(np.isfinite(measured), exact.pair_density / np.maximum(product, 1e-300), np.nan)


def _scalars(observed: Observables, exact: ExactObservables | None, title: str) -> Figure:
    """Numbers without an axis of their own, a panel each."""
    figure = new_figure(12.5, 3.2)
    figure.suptitle(title, fontsize=12)
    for panel, (name, words) in zip(figure.subplots(1, len(_SCALARS)), _SCALARS.items(), strict=True):
        value, error = getattr(observed, name)
        panel.errorbar([0], [value], [2 * error], color=DARK, fmt="o", capsize=4, label="measured ± 2 errors")
        if exact:
            panel.axhline(getattr(exact, name), color=ACCENT, ls="--", lw=1.3, label="exact")
        panel.set(xticks=[], ylabel=words)
        panel.margins(y=0.4)
        panel.ticklabel_format(axis="y", useOffset=False)
        panel.spines[["top", "right"]].set_visible(False)
    figure.legend(*panel.get_legend_handles_labels(), loc="outside lower center", ncols=2, **LEGEND_STYLE)
    return figure
