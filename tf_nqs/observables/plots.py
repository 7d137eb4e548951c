"""Pictures of observables: a file for each, exact curves beside the measured ones where they exist."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from scipy.interpolate import CubicSpline

from tf_nqs.analysis.canvas import A_HO, decorate, mathematics, new_figure, save_figure
from tf_nqs.analysis.plots import ACCENT, DARK, LEGEND_STYLE, LIGHT
from tf_nqs.exact.observables import ExactObservables
from tf_nqs.observables.file import exact_distributions, n_occupied
from tf_nqs.observables.measure import Observables
from tf_nqs.observables.natural import orbitals_like

_MAPS = {
    "one_body_density_matrix": (rf"$\rho(x, x')$ (1/{A_HO})", "RdBu_r"),
    "pair_density": (r"$n_2(x, x')$ ($1/a_\mathrm{ho}^2$)", "viridis"),
    "pair_distribution": (r"$n_2(x, x') / n(x)\,n(x')$", "viridis"),
}
"""Observable -> title of its map with the unit, and colours."""

_SCALARS = {
    "kinetic": "kinetic (ħω)",
    "trap": "trap (ħω)",
    "interaction": "interaction (ħω)",
    "rms_size": f"rms size ({A_HO})",
    "entropy": "entropy",
}
PLACE = f"$x$ ({A_HO})"
"""What axes of places are called."""

_N_ORBITALS = 6
_LEAST_SHOWN = 1e-3
"""Share of the largest density at which the axes of places end."""

_POINTS_PER_PLACE = 8
"""Points of a drawn curve for each place of the grid."""

FORMATS = ("png", "pdf", "svg")


def plot_observables(
    observed: Observables, exact: ExactObservables | None, folder: str | Path, title: str, file_format: str = "png"
) -> list[Path]:
    """Writes a picture of each observable.

    Args:
        observed: what was measured.
        exact: the exact ground state's, or None.
        folder: where the pictures go; it is made if it is missing.
        title: headline of every figure.
        file_format: of the pictures: png, pdf or svg. Pictures of the same names in the other formats are removed,
            because they show an earlier measurement.

    Returns:
        The files written.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    figures = {
        "density": _density(observed, exact, title),
        "distribution_of_distance": _distances(observed, exact, title),
        "occupations": _occupations(observed, exact, title),
        "natural_orbitals": _natural_orbitals(observed, exact, title),
        "scalars": _scalars(observed, exact, title),
    }
    figures |= {name: _map(name, observed, exact, title) for name in _MAPS}
    for name, figure in figures.items():
        save_figure(figure, folder / f"{name}.{file_format}", dpi=140)
        for other in FORMATS:
            if other != file_format:
                (folder / f"{name}.{other}").unlink(missing_ok=True)
    return [folder / f"{name}.{file_format}" for name in figures]


def smooth(x: np.ndarray, *curves: np.ndarray) -> tuple[np.ndarray, ...]:
    """Returns a finer grid, and curves on it that pass through all their points.

    The grid was chosen so that it resolves the state, see `choose_grid`. What a cubic spline puts between two of its
    points is therefore what the wave function has there, up to the fourth order in the spacing.

    Args:
        x: evenly spaced places, shape (n_places,).
        curves: functions of them, shape (n_places,) each; nan at the end only, where the finer curves end too.

    Returns:
        Finer places, and for each curve its values on them.
    """
    kept = np.logical_and.reduce([np.isfinite(curve) for curve in curves])
    x = x[kept]
    fine = np.linspace(x[0], x[-1], _POINTS_PER_PLACE * (len(x) - 1) + 1)
    return fine, *(CubicSpline(x, curve[kept])(fine) for curve in curves)


def _panel(title: str, size: tuple[float, float] = (7.0, 4.2)) -> tuple[Figure, Axes]:
    figure = new_figure(*size)
    figure.suptitle(mathematics(title), fontsize=12)
    panel = figure.subplots()
    decorate(panel)
    return figure, panel


def extent_of(x: np.ndarray, density: np.ndarray) -> float:
    """Returns how far from the centre there is anything of a density to see, in a_ho."""
    return float(np.abs(x[density > _LEAST_SHOWN * density.max()]).max())


def _density(observed: Observables, exact: ExactObservables | None, title: str) -> Figure:
    """The density, and below it what it is off the exact one, which no eye could see above."""
    value, error = observed.density
    n_panels = 2 if exact else 1
    figure = new_figure(7.0, 4.2 + 1.6 * (n_panels - 1))
    figure.suptitle(mathematics(title), fontsize=12)
    panels = figure.subplots(n_panels, 1, sharex=True, squeeze=False, height_ratios=(3, 1.4)[:n_panels])[:, 0]
    fine, curve, band = smooth(observed.x, value, error)
    panels[0].plot(fine, curve, color=DARK, lw=1.6, label="measured")
    panels[0].set(ylabel=f"Density $n(x)$ (1/{A_HO})", ylim=(0, 1.18 * value.max()))
    if exact:
        _, known = smooth(exact.x, exact.density)
        panels[0].plot(fine, known, color=ACCENT, ls="--", lw=1.3, label="exact")
        panels[1].fill_between(fine, -2 * band, 2 * band, color=LIGHT, lw=0, label="± 2 errors")
        panels[1].plot(fine, curve - known, color=DARK, lw=1.2)
        panels[1].set(ylabel=f"Measured \N{MINUS SIGN} exact (1/{A_HO})")
        panels[1].legend(**LEGEND_STYLE)
    else:
        panels[0].fill_between(fine, curve - 2 * band, curve + 2 * band, color=LIGHT, label="± 2 errors")
    extent = 1.1 * extent_of(observed.x, observed.density.value)
    panels[-1].set(xlabel=PLACE, xlim=(-extent, extent))
    panels[0].legend(loc="upper right", ncols=2, **LEGEND_STYLE)
    for panel in panels:
        decorate(panel)
    return figure


def _distances(observed: Observables, exact: ExactObservables | None, title: str) -> Figure:
    """The pair distribution as a function of the distance; a single particle has none, and an empty panel."""
    figure, panel = _panel(title)
    value, error = observed.distribution_of_distance
    fine, curve, band = smooth(observed.r, value, error)
    panel.fill_between(fine, curve - 2 * band, curve + 2 * band, color=LIGHT, lw=0, label="± 2 errors")
    panel.plot(fine, curve, color=DARK, lw=1.6, label="measured")
    if exact:
        fine, known = smooth(observed.r, exact_distributions(observed, exact)["distribution_of_distance"])
        panel.plot(fine, known, color=ACCENT, ls="--", lw=1.3, label="exact")
    panel.set(xlabel=f"Distance $r$ ({A_HO})", ylabel="Pair distribution $g(r)$", xlim=(0, fine[-1]))
    panel.set_ylim(bottom=0)
    panel.legend(**LEGEND_STYLE)
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
        panel.plot(*smooth(observed.x, observed.natural_orbitals[number]), lw=1.5, label=label)
    if exact:
        spacing = exact.x[1] - exact.x[0]
        known = orbitals_like(exact.one_body_density_matrix, observed.natural_orbitals) / np.sqrt(spacing)
        for number in range(kept):
            label = "exact" if number == 0 else "_"  # matplotlib leaves such labels out of the legend
            panel.plot(*smooth(exact.x, known[number]), color=DARK, ls=":", lw=1.1, label=label)
    extent = 1.2 * extent_of(observed.x, observed.density.value)
    panel.set(xlabel=PLACE, ylabel=r"Natural orbital ($a_\mathrm{ho}^{-1/2}$)", xlim=(-extent, extent))
    panel.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), **LEGEND_STYLE)
    return figure


def _map(name: str, observed: Observables, exact: ExactObservables | None, title: str) -> Figure:
    """A map over x and x', the exact one beside it."""
    words, colours = _MAPS[name]
    maps = {"measured": getattr(observed, name).value}
    if exact:
        maps["exact"] = exact_distributions(observed, exact).get(name, getattr(exact, name, None))
    if name == "one_body_density_matrix":
        maps = {label: values / (observed.x[1] - observed.x[0]) for label, values in maps.items()}
    figure = new_figure(5.2 * len(maps), 4.6)
    figure.suptitle(f"{mathematics(title)}: {words}", fontsize=12)
    largest = np.nanmax(np.abs(maps["measured"]))
    lowest = -largest if colours == "RdBu_r" else 0.0
    panels = figure.subplots(1, len(maps), squeeze=False)[0]
    for panel, (label, values) in zip(panels, maps.items(), strict=True):
        grid = (observed.x, observed.x, values)
        image = panel.pcolormesh(*grid, cmap=colours, vmin=lowest, vmax=largest, shading="nearest", rasterized=True)
        extent = 1.1 * extent_of(observed.x, observed.density.value)
        limits = {"xlim": (-extent, extent), "ylim": (-extent, extent)}
        panel.set(title=label, xlabel=PLACE, ylabel=f"$x'$ ({A_HO})", aspect="equal", **limits)
    figure.colorbar(image, ax=panels, shrink=0.85, label=words)
    return figure


def _scalars(observed: Observables, exact: ExactObservables | None, title: str) -> Figure:
    """Numbers without an axis of their own, a panel each."""
    figure = new_figure(12.5, 3.2)
    figure.suptitle(mathematics(title), fontsize=12)
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
