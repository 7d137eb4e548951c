"""Seconds per iteration and peak memory of tf_nqs against the number of particles and of walkers.

Usage: python -m benchmarks.scaling [--ansatz=jastrow] [--output=FILE] [--plot=FILE]
"""

from __future__ import annotations

import argparse
from typing import Any, NamedTuple

import numpy as np

from benchmarks.protocol import PeerError, run_once
from benchmarks.report import machine, say, show_table, write_json
from benchmarks.system_flags import add_system_flags, checked_settings, given
from tf_nqs.analysis.canvas import new_figure, save_figure
from tf_nqs.defaults import CHUNK_MEBIBYTES

_GROWTH_IN_PARTICLES = 3
"""Assumed power of A of time and memory, for a size without a smaller neighbour in walkers."""


class Size(NamedTuple):
    """A point of the grid."""

    n_particles: int
    n_walkers: int


def estimate(measured: dict[Size, dict[str, float]], size: Size) -> tuple[float, float]:
    """Returns the expected seconds per iteration and peak MiB, from the nearest smaller size; zeros without one.

    Linear in the number of walkers, in addition to the memory of the imports.
    """
    smaller = [found for found in measured if all(a <= b for a, b in zip(found, size, strict=True))]
    if not smaller:
        return 0.0, 0.0
    nearest = max(smaller)
    growth = size.n_walkers / nearest.n_walkers * (size.n_particles / nearest.n_particles) ** _GROWTH_IN_PARTICLES
    found = measured[nearest]
    return found["seconds"] * growth, found["imports_mib"] + growth * (found["peak_mib"] - found["imports_mib"])


def measure(flags: argparse.Namespace) -> tuple[dict[Size, dict[str, float]], dict[Size, str]]:
    """Measures all sizes that are expected to fit, smallest first.

    Returns:
        Size -> measurements; size -> why it was skipped.
    """
    measured, skipped = {}, {}
    for n_particles in sorted(flags.n_particles):
        for n_walkers in sorted(flags.n_walkers):
            size = Size(n_particles, n_walkers)
            seconds, peak_mib = estimate(measured, size)
            failed = [other for other in skipped if other.n_particles == n_particles]
            if failed:
                skipped[size] = f"{failed[0].n_walkers} walkers were too many already"
            elif seconds > flags.max_seconds:
                skipped[size] = f"expected {seconds:.1f} s per iteration, above {flags.max_seconds:g}"
            elif peak_mib > flags.max_mib:
                skipped[size] = f"expected {peak_mib:.0f} MiB, above {flags.max_mib:g}"
            else:
                try:
                    measured[size] = _measure_one(size, flags)
                    found = measured[size]
                    clocks = f"{found['seconds']:.4f} s, {found['seconds_processor']:.4f} s of the processor"
                    say(f"{_label(size)}: {clocks}, {found['peak_mib']:.0f} MiB")
                except PeerError as error:
                    skipped[size] = str(error)
            if size in skipped:
                say(f"{_label(size)}: skipped, {skipped[size]}")
    return measured, skipped


def settings_of(size: Size, flags: argparse.Namespace) -> dict[str, Any]:
    """Returns setting -> value for a size; ends the benchmark where one of them is not allowed."""
    leaves = {**size._asdict(), "optimizer": flags.optimizer, "dtype": flags.dtype, "n_burn_in": 0}
    leaves |= {"iterations_per_call": flags.n_iterations, "chunk_mebibytes": flags.chunk_mebibytes}
    leaves |= {} if flags.interaction else {"interaction_strength": 10.0}
    leaves |= given(flags) | given(flags, ["interaction_strength"])
    checked_settings(leaves)
    return leaves


def _measure_one(size, flags):
    job = {"settings": settings_of(size, flags), "n_repeats": flags.n_repeats}
    return run_once("benchmarks.scaling_point", timeout=flags.max_point_seconds, **job)


def _label(size):
    return f"A = {size.n_particles}, {size.n_walkers} walkers"


def exponents(measured: dict[Size, dict[str, float]]) -> dict[str, dict[str, float]]:
    """Returns the powers p of seconds = c x^p: x the walkers at each A, and x = A at each number of walkers."""
    fitted: dict[str, dict[str, float]] = {"walkers": {}, "particles": {}}
    for name, fixed, varied in (("walkers", 0, 1), ("particles", 1, 0)):
        for value in sorted({size[fixed] for size in measured}):
            points = [(size[varied], found["seconds"]) for size, found in measured.items() if size[fixed] == value]
            if len(points) > 1:
                x, y = np.log(points).T
                fitted[name][str(value)] = float(np.polyfit(x, y, 1)[0])
    return fitted


def show(measured: dict[Size, dict[str, float]], fitted: dict[str, dict[str, float]]) -> None:
    """Prints milliseconds and GiB per size, and the exponents at the ends of rows and columns."""
    columns = sorted({size.n_walkers for size in measured})
    rows = []
    for n_particles in sorted({size.n_particles for size in measured}):
        cells = []
        for n_walkers in columns:
            found = measured.get(Size(n_particles, n_walkers))
            cells.append(f"{1e3 * found['seconds']:.1f} ({found['peak_mib'] / 1024:.2f})" if found else "-")
        rows.append([str(n_particles), *cells, _exponent(fitted["walkers"], n_particles)])
    rows.append(["exponent in A", *(_exponent(fitted["particles"], n) for n in columns), ""])
    title = "milliseconds per iteration (peak memory in GiB), by particles and walkers"
    show_table(title, ["A", *map(str, columns), "exponent in walkers"], rows)


def _exponent(fitted, value):
    return f"{fitted[str(value)]:.2f}" if str(value) in fitted else "-"


def plot(path: str, measured: dict[Size, dict[str, float]], title: str) -> None:
    """Draws seconds per iteration against the number of particles and against that of walkers."""
    figure = new_figure(9.0, 4.2)
    panels = figure.subplots(1, 2, sharey=True)
    names = ("particles", "walkers")
    for panel, varied in zip(panels, (0, 1), strict=True):
        fixed = 1 - varied
        for value in sorted({size[fixed] for size in measured}):
            line = sorted((size[varied], found["seconds"]) for size, found in measured.items() if size[fixed] == value)
            panel.loglog(*zip(*line, strict=True), "o-", label=f"{value} {names[fixed]}")
        ticks = sorted({size[varied] for size in measured})
        panel.set_xticks(ticks, labels=map(str, ticks))
        panel.minorticks_off()
        panel.set_xlabel(names[varied])
        panel.legend(fontsize="small")
    panels[0].set_ylabel("seconds per iteration")
    figure.suptitle(title)
    save_figure(figure, path, dpi=150)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Returns the flags."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n_particles", nargs="+", type=int, default=[2, 4, 6, 8, 12, 16, 24])
    parser.add_argument("--n_walkers", nargs="+", type=int, default=[512, 1024, 2048, 4096, 8192, 16384])
    parser.add_argument("--interaction_strength", type=float, help="default: 10, the strength of the Gaussian")
    add_system_flags(parser)
    parser.add_argument("--optimizer", default="adam", help="adam, or a natural gradient of tf_nqs")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument(
        "--chunk_mebibytes",
        type=int,
        default=CHUNK_MEBIBYTES,
        help="a huge value: no chunks",
    )
    parser.add_argument("--n_iterations", type=int, default=5, help="iterations of one repeat")
    parser.add_argument("--n_repeats", type=int, default=5)
    parser.add_argument("--max_seconds", type=float, default=10.0, help="sizes expected to need more are skipped")
    parser.add_argument("--max_mib", type=float, default=0.5 * 1024 * machine()["memory_gib"], help="likewise")
    parser.add_argument("--max_point_seconds", type=float, default=600.0, help="maximum total seconds of a size")
    parser.add_argument("--output", help="JSON file")
    parser.add_argument("--plot", help="PNG file of seconds per iteration against both numbers")
    return parser.parse_args(arguments)


def main() -> None:
    """Measures, fits, reports."""
    flags, before = parse(), machine()
    settings_of(Size(max(flags.n_particles), max(flags.n_walkers)), flags)
    measured, skipped = measure(flags)
    fitted = exponents(measured)
    show(measured, fitted)
    points = [{**size._asdict(), **found} for size, found in measured.items()]
    gaps = [{**size._asdict(), "reason": reason} for size, reason in skipped.items()]
    results = {"machine": before, "settings": vars(flags), "points": points, "skipped": gaps, "exponents": fitted}
    write_json(flags.output, results)
    if flags.plot:
        plot(flags.plot, measured, f"{flags.ansatz or 'slater'}, {flags.optimizer}, {flags.dtype}")


if __name__ == "__main__":
    main()
