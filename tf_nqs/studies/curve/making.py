"""Makes a curve: measures what was not measured before, compares neighbours, writes table and picture."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from tf_nqs.analysis.notation import format_with_error
from tf_nqs.execution.workers import Workers
from tf_nqs.runtime.live import duration
from tf_nqs.storage.curve_folder import CurveFolder
from tf_nqs.studies.curve.curves import Curve, Difference, curves_of, differences, neighbours
from tf_nqs.studies.curve.folder import (
    read_overlap,
    rows_of,
    write_differences,
    write_overlap,
    write_table,
)
from tf_nqs.studies.curve.measure import measure_overlap, measure_point
from tf_nqs.studies.curve.overlap import susceptibility
from tf_nqs.studies.curve.plot import plot_curves
from tf_nqs.studies.curve.points import CurvePoint, PointSource, StoredPoint, read_point, write_point
from tf_nqs.types import Estimate

logger = logging.getLogger(__name__)


class MadeCurves(NamedTuple):
    """What was measured, and what follows from it.

    Attributes:
        curves: one for each number of particles, and for each repetition of a system.
        susceptibilities: of each curve, the fidelity susceptibility between neighbours.
        differences: of the energies of the same system.
    """

    curves: list[Curve]
    susceptibilities: list[list[Estimate]]
    differences: list[Difference]


def make_curves(
    sources: Sequence[PointSource], folder: CurveFolder, title: str, workers: Workers | None = None
) -> MadeCurves:
    """Measures the points that were not measured before, and writes curve.csv and curve.png.

    Every point is kept in a file as soon as it is measured, so that the same call goes on after an interruption.

    Args:
        sources: where the points come from; their names differ.
        folder: of the files; it exists.
        title: headline of the picture.
        workers: that measure the points; this process is their chief, the others call `measure_with_chief`.

    Raises:
        OSError: a file cannot be written.
        RunFolderError: a file of an earlier call cannot be read.
    """
    workers = workers or Workers()
    workers.wait()  # the others look first at what there is
    folder.points.mkdir(exist_ok=True)
    n_measured = sum(folder.point(source.identity).exists() for source in sources)
    if n_measured:
        logger.info(f"{n_measured} of {len(sources)} points were measured before")
    points, n_left, spent = [], sum(not _is_known(source, folder) for source in sources), []
    for number, source in enumerate(sources, start=1):
        started, is_new = time.monotonic(), not _is_known(source, folder)
        points.append(_point(source, folder, workers))
        if is_new:
            spent.append(time.monotonic() - started)
            left = duration(float(np.mean(spent)) * (n_left - len(spent)))
            logger.info(f"{number}/{len(sources)} {source.name}: {_in_words(points[-1])}; about {left} left")
            write_table(folder.table, [row for curve in curves_of(points) for row in rows_of(curve, [])])
    curves, found = curves_of(points), differences(points)
    by_name = {source.name: source for source in sources}
    susceptibilities = [_susceptibilities(curve, by_name, folder) for curve in curves]
    rows = [row for pair in zip(curves, susceptibilities, strict=True) for row in rows_of(*pair)]
    write_table(folder.table, rows)
    plot_curves(folder.plot, title, curves, susceptibilities)
    if found:
        write_differences(folder.differences, found)
    else:
        folder.differences.unlink(missing_ok=True)
    return MadeCurves(curves, susceptibilities, found)


def measure_with_chief(sources: Sequence[PointSource], folder: CurveFolder, workers: Workers) -> None:
    """Measures with the chief the points that were not measured before; it writes what comes out.

    Args:
        sources: those of the chief.
        folder: of the chief's files.
        workers: this process and the others.
    """
    by_file = {folder.point(source.identity): source for source in sources}  # copies of a run are measured once
    missing = [source for file, source in by_file.items() if not file.exists()]
    workers.wait()
    for source in missing:
        _measured(source, workers)


def _measured(source: PointSource, workers: Workers) -> tuple[CurvePoint, np.ndarray]:
    target, seconds = source.target_error, source.max_seconds
    with workers.scope():
        return measure_point(source.trainer(), source.name, source.system, target, seconds, _report(target))


def _is_known(source: PointSource, folder: CurveFolder) -> bool:
    """Whether a point was measured earlier, and compared with the reference that is wanted now."""
    stored = read_point(folder.point(source.identity))
    return stored is not None and stored.reference_identity == dict(source.reference_identity)


def _in_words(point: CurvePoint) -> str:
    energy = format_with_error(*point.energy)
    if point.reference.energy is None:
        return f"energy {energy}"
    return f"energy {energy}, off by {format_with_error(*point.deviation)}"


def _point(source: PointSource, folder: CurveFolder, workers: Workers) -> CurvePoint:
    """Returns the point of a source, measured now or earlier, and keeps it."""
    file = folder.point(source.identity)
    stored = read_point(file)
    if stored is not None and stored.reference_identity == dict(source.reference_identity):
        return stored.point._replace(name=source.name)
    if stored is None:
        target, seconds = source.target_error, source.max_seconds
        logger.info(f"measuring {source.name} until the error is {target:g} ħω, at most {seconds:g} seconds ...")
        point, positions = _measured(source, workers)
        stored = StoredPoint(point, positions, {})
        write_point(file, stored)  # its reference may take longer than its energy
    reference = source.reference(stored.positions)
    stored = stored._replace(
        point=stored.point._replace(name=source.name, reference=reference),
        reference_identity=dict(source.reference_identity),
    )
    write_point(file, stored)
    return stored.point


def _report(target_error: float) -> Any:
    def report(estimate: Any) -> None:
        energy = format_with_error(estimate.mean, estimate.error)
        logger.info(
            f"{estimate.n_samples:,} samples  energy {energy}  error {estimate.error:.1e} of {target_error:.1e}"
        )

    return report


def _susceptibilities(curve: Curve, by_name: dict[str, PointSource], folder: CurveFolder) -> list[Estimate]:
    """Returns the fidelity susceptibility between each point and the next."""
    found: list[Estimate] = []
    opened: dict[str, Any] = {}
    for (first, second), difference in zip(
        pairs := neighbours(curve), np.diff(curve.values)[: len(pairs)], strict=True
    ):
        pair = [by_name[point.name] for point in (first, second)]
        file = folder.overlap(*(source.identity for source in pair))
        overlap = read_overlap(file)
        if overlap is None:
            # A point has two neighbours: its wave function is kept for the second one.
            opened = {one.name: opened.get(one.name) or one.wave_function() for one in pair}
            samples = [_kept_samples(folder, source) for source in pair]
            overlap = measure_overlap(opened[pair[0].name], samples[0], opened[pair[1].name], samples[1])
            write_overlap(file, overlap)
        found.append(susceptibility(overlap, float(difference)))
    return found


def _kept_samples(folder: CurveFolder, source: PointSource) -> np.ndarray:
    stored = read_point(folder.point(source.identity))
    assert stored is not None  # it was written above
    return stored.positions
