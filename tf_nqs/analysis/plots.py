"""The plot of a run: energy against iterations."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tf_nqs.analysis.canvas import decorate, mathematics, new_figure, save_figure
from tf_nqs.analysis.notation import finite_or_none, format_with_error

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LIGHT, DARK, ACCENT = "#a9c7e8", "#1f4e8c", "#c8501e"
"""Single iterations, their running mean, the final measurement."""

LEGEND_STYLE = {"fontsize": 9, "frameon": False, "handlelength": 1.4, "columnspacing": 1.2}

MAX_WINDOW = 1000
"""Maximum window of the running mean, in iterations: the default window of early stopping."""


def plot_energy(
    metrics: Mapping[str, np.ndarray],
    reference: float | None,
    path: str | Path,
    title: str,
    *,
    measured: tuple[float, float | None] | None = None,
) -> Path:
    """Writes a plot of the energy of a run against its iterations, whole or not at all.

    Args:
        metrics: columns of shape (n_iterations,), at least `iteration` and `energy` (hbar*omega), see `read_metrics`.
            Rows without a finite energy leave a gap.
        reference: the exact energy or an upper bound, in hbar*omega, or None.
        path: file to write; its suffix is the format (.png, .pdf, .svg). Missing folders are created.
        title: title of the figure.
        measured: final energy and its error, in hbar*omega, the error None if unknown; or None.

    Returns:
        The path written.

    Raises:
        ValueError: if `iteration` and `energy` differ in length, or matplotlib does not know the suffix.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_figure(energy_figure(metrics, reference, title, measured=measured), path)
    return path


def energy_figure(
    metrics: Mapping[str, np.ndarray],
    reference: float | None,
    title: str,
    *,
    measured: tuple[float, float | None] | None = None,
) -> Figure:
    """Returns the figure that `plot_energy` writes: energies, and below them |energy - reference| if that is known.

    Args:
        metrics: as for `plot_energy`.
        reference: as for `plot_energy`.
        title: as for `plot_energy`.
        measured: as for `plot_energy`.

    Returns:
        A figure of one panel, or of two that share the axis of iterations.

    Raises:
        ValueError: if `iteration` and `energy` differ in length.
    """
    iterations = np.asarray(metrics["iteration"], dtype=np.float64)
    energies = np.asarray(metrics["energy"], dtype=np.float64)
    if iterations.shape != energies.shape or energies.ndim != 1:
        raise ValueError(f"energy of shape {energies.shape}: must be a column as long as iteration")
    energies = np.where(np.isfinite(energies), energies, np.nan)
    reference = finite_or_none(reference)
    measured = measured if measured is not None and finite_or_none(measured[0]) is not None else None
    window = int(np.clip(max(energies.size // 50, min(10, energies.size // 5)), 1, MAX_WINDOW))
    smooth = running_mean(energies, window)

    n_panels = 1 if reference is None else 2
    figure = new_figure(8.0, 4.4 if reference is None else 6.2)
    axes = figure.subplots(n_panels, 1, sharex=True, squeeze=False, height_ratios=(3, 2)[:n_panels])[:, 0]
    figure.suptitle(mathematics(title), fontsize=12)
    _draw_energies(axes[0], iterations, energies, smooth, window)
    _draw_levels(axes[0], iterations, reference, measured)
    axes[0].set_ylim(energy_limits(energies, smooth, reference, measured))
    # Above the panel, so that no curve is behind the legend.
    axes[0].legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4, **LEGEND_STYLE)
    if reference is not None:
        _draw_deviation(axes[1], iterations, energies - reference, smooth - reference, measured)
    for panel in axes:
        decorate(panel)
    _set_iteration_axis(axes[-1], iterations)
    return figure


def running_mean(values: np.ndarray, window: int) -> np.ndarray:
    """Returns the mean of the finite values in a centred window; the window is shorter at both ends.

    Args:
        values: shape (n_iterations,), nan allowed.
        window: width in iterations, at least 1.

    Returns:
        Shape (n_iterations,); nan where the window holds nothing finite.
    """
    if values.size == 0:
        return values
    finite = np.isfinite(values)
    sums = np.concatenate(([0.0], np.cumsum(np.where(finite, values, 0.0))))
    counts = np.concatenate(([0], np.cumsum(finite)))
    index = np.arange(values.size)
    first = np.maximum(index - (window - 1) // 2, 0)
    last = np.minimum(index + window // 2 + 1, values.size)
    with np.errstate(invalid="ignore"):
        return np.divide(sums[last] - sums[first], counts[last] - counts[first])


def energy_limits(
    energies: np.ndarray, smooth: np.ndarray, reference: float | None, measured: tuple[float, float | None] | None
) -> tuple[float, float]:
    """Returns limits of the energy axis that show the converged part, the reference and the measurement.

    They contain 98 % of the energies after the first fifth of the run, and of their running mean, so that neither the
    first descent nor a single spike flattens the rest of the curve.

    Args:
        energies: shape (n_iterations,), in hbar*omega, nan allowed.
        smooth: their running mean, shape (n_iterations,).
        reference: in hbar*omega, or None.
        measured: energy and error in hbar*omega, or None.

    Returns:
        Lower and upper limit, in hbar*omega, lower < upper.
    """
    start = energies.size // 5
    kept = energies[start:][np.isfinite(energies[start:])]
    if kept.size == 0:
        kept = energies[np.isfinite(energies)]
    points = list(np.percentile(kept, [1, 99])) if kept.size else []
    if np.isfinite(smooth[start:]).any():
        points += list(np.nanpercentile(smooth[start:], [1, 99]))
    if reference is not None:
        points.append(reference)
    if measured is not None:
        error = finite_or_none(measured[1]) or 0.0
        points += [measured[0] - error, measured[0] + error]
    if not points:
        return 0.0, 1.0
    low, high = min(points), max(points)
    padding = max(0.12 * (high - low), 1e-4 * max(1.0, abs(low), abs(high)))
    return low - padding, high + padding


def _draw_energies(panel: Axes, iterations: np.ndarray, energies: np.ndarray, smooth: np.ndarray, window: int) -> None:
    """Draws the energy of each iteration and the running mean."""
    marker = "o" if energies.size < 30 else None
    panel.plot(iterations, energies, color=LIGHT, lw=0.8, marker=marker, ms=4, label="per iteration", rasterized=True)
    if window > 1:
        panel.plot(iterations, smooth, color=DARK, lw=1.6, label=f"mean over {window} iterations")
    panel.set_ylabel("Energy (ħω)")
    panel.ticklabel_format(axis="y", useOffset=False)


def _draw_levels(
    panel: Axes, iterations: np.ndarray, reference: float | None, measured: tuple[float, float | None] | None
) -> None:
    """Draws the reference, and the measured energy as a point at the end of the run and a band."""
    if measured is not None:
        energy, error = measured[0], finite_or_none(measured[1])
        panel.axhspan(energy - (error or 0.0), energy + (error or 0.0), color=ACCENT, alpha=0.18, lw=0)
        last = iterations[-1] if iterations.size else 0.0
        label = f"measured {format_with_error(energy, error)}"
        panel.errorbar([last], [energy], yerr=error, color=ACCENT, fmt="o", ms=5, capsize=3, label=label, zorder=5)
    if reference is not None:
        panel.axhline(reference, color="black", ls="--", lw=1.1, label=f"reference {reference:.7g}", zorder=4)


def _draw_deviation(
    panel: Axes,
    iterations: np.ndarray,
    deviations: np.ndarray,
    smooth: np.ndarray,
    measured: tuple[float, float | None] | None,
) -> None:
    """Draws |energy - reference| of the whole run on a logarithmic axis."""
    marker = "o" if deviations.size < 30 else None
    magnitude, smooth_magnitude = _positive(np.abs(deviations)), _positive(np.abs(smooth))
    panel.plot(iterations, magnitude, color=LIGHT, lw=0.6, marker=marker, ms=4, rasterized=True)
    if deviations.size >= 5:
        panel.plot(iterations, smooth_magnitude, color=DARK, lw=1.4)
    panel.set_yscale("log")
    panel.set_ylabel("|Energy \N{MINUS SIGN} reference| (ħω)")
    points = [p for p in (magnitude, smooth_magnitude) if np.isfinite(p).any()]
    low = min((np.nanpercentile(p, 1) for p in points), default=1e-3)
    high = max((np.nanmax(p) for p in points), default=1.0)
    if measured is not None and (error := finite_or_none(measured[1])):
        panel.axhline(error, color=ACCENT, ls=":", lw=1.4, label="error of the measured energy")
        panel.legend(loc="upper right", **LEGEND_STYLE)
        low, high = min(low, error), max(high, error)
    # Whole decades, and a free one at the top for the legend.
    panel.set_ylim(10.0 ** np.floor(np.log10(low)), 10.0 ** (np.floor(np.log10(high)) + 1.5))


def _set_iteration_axis(panel: Axes, iterations: np.ndarray) -> None:
    """Labels the axis of iterations with whole numbers, even for a single iteration."""
    from matplotlib.ticker import MaxNLocator

    first, last = (iterations.min(), iterations.max()) if iterations.size else (0.0, 0.0)
    margin = max(0.02 * (last - first), 0.5)
    panel.set_xlim(first - margin, last + margin)
    panel.set_xlabel("Iteration")
    panel.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def _positive(values: np.ndarray) -> np.ndarray:
    """Returns the values with nan for zeros, which a logarithmic axis cannot show."""
    return np.where(values > 0.0, values, np.nan)
