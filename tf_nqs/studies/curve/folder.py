"""What the files of a curve hold."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tf_nqs.config.errors import RunFolderError, brief, shown
from tf_nqs.storage.files import replace_text
from tf_nqs.studies.curve.curves import UNKNOWN, Curve, Difference, in_sigma
from tf_nqs.studies.curve.points import CurvePoint
from tf_nqs.types import Estimate

SYSTEM = ("n_particles", "interaction_strength", "interaction_range")
_WITH_ERRORS = ("kinetic", "trap", "interaction", "rms_size")
_OF_CURVE = ("measured_slope", "fitted_slope", "curvature", "fidelity_susceptibility")

COLUMNS = (
    *SYSTEM,
    *("energy", "energy_error", "reference_energy", "reference_uncertainty", "deviation_in_sigma", "variance"),
    *(name + end for name in _WITH_ERRORS + _OF_CURVE for end in ("", "_error")),
    *("parameter", "parameter_value", "reference_kind", "n_samples", "in_equilibrium", "is_mixed", "run"),
)
"""Of curve.csv."""

OF_DIFFERENCES = (*SYSTEM, "first_run", "second_run", "difference", "difference_error", "difference_in_sigma")
"""Columns of differences.csv."""


def write_overlap(path: Path, overlap: Estimate) -> None:
    """Writes an overlap; a file of this name is always whole."""
    numbers = [number if math.isfinite(number) else None for number in map(float, overlap)]
    replace_text(path, json.dumps({"overlap": numbers}) + "\n")


def read_overlap(path: Path) -> Estimate | None:
    """Returns an overlap that was measured earlier; None if there is no file.

    Raises:
        RunFolderError: the file cannot be read.
    """
    if not path.exists():
        return None
    try:
        value, error = json.loads(path.read_text(encoding="utf-8"))["overlap"]
        return Estimate(*(math.nan if number is None else float(number) for number in (value, error)))
    except (LookupError, OSError, TypeError, ValueError) as error_of_file:
        reason = f"cannot be read ({brief(error_of_file)}); must be deleted to measure this overlap again"
        raise RunFolderError(f"{shown(str(path))}: {reason}") from error_of_file


def rows_of(curve: Curve, susceptibilities: Sequence[Estimate]) -> list[dict[str, Any]]:
    """Returns column -> value of each point of a curve.

    Args:
        curve: with its fit.
        susceptibilities: between each point and the next; as many as there are neighbours.
    """
    of_curve = [curve.measured_slopes(), curve.fitted(1), curve.fitted(2)]
    rows = []
    for index, point in enumerate(curve.points):
        estimates = [Estimate(one.value[index], one.error[index]) for one in of_curve]
        estimates.append(susceptibilities[index] if index < len(susceptibilities) else UNKNOWN)
        named = {name: getattr(point, name) for name in _WITH_ERRORS} | dict(zip(_OF_CURVE, estimates, strict=True))
        row: dict[str, Any] = _system(point) | _energy(point)
        for name, estimate in named.items():
            row |= {name: estimate.value, f"{name}_error": estimate.error}
        value = "" if curve.parameter is None else float(curve.values[index])
        row |= {"parameter": curve.parameter or "", "parameter_value": value, "run": point.name}
        row |= {name: getattr(point, name) for name in ("n_samples", "in_equilibrium", "is_mixed")}
        rows.append(row)
    return rows


def _system(point: CurvePoint) -> dict[str, Any]:
    return {name: getattr(point.system, name) for name in SYSTEM}


def _energy(point: CurvePoint) -> dict[str, Any]:
    return {
        "energy": point.energy.value,
        "energy_error": point.energy.error,
        "variance": point.variance,
        "deviation_in_sigma": point.deviation_in_sigma,
        "reference_energy": point.reference.energy,
        "reference_uncertainty": point.reference.uncertainty,
        "reference_kind": point.reference.kind,
    }


def write_table(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes curve.csv, whole or not at all; a number that is unknown leaves its cell empty."""
    replace_text(path, _csv(COLUMNS, rows))


def write_differences(path: Path, found: Sequence[Difference]) -> None:
    """Writes differences.csv, whole or not at all."""
    rows = [
        _system(one.first)
        | {"first_run": one.first.name, "second_run": one.second.name}
        | {"difference": one.difference.value, "difference_error": one.difference.error}
        | {"difference_in_sigma": in_sigma(one.difference)}
        for one in found
    ]
    replace_text(path, _csv(OF_DIFFERENCES, rows))


def _csv(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_cell(row[name]) for name in columns] for row in rows)
    return text.getvalue()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | str):
        return str(value)
    return repr(float(value)) if math.isfinite(value) else ""
