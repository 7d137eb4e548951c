"""Curves as tables for the terminal, and what the checks say, in sentences."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from tf_nqs.analysis.notation import format_with_error
from tf_nqs.analysis.tables import terminal_table
from tf_nqs.named_systems import NamedSystem
from tf_nqs.physics.contact import INFINITE_UP_TO, has_finite_parts
from tf_nqs.physics.slopes import has_finite_slope, parameter_names
from tf_nqs.studies.curve.curves import Curve, Difference, in_sigma, slope_deviations
from tf_nqs.studies.curve.making import MadeCurves
from tf_nqs.studies.curve.points import CurvePoint
from tf_nqs.studies.curve.words import symbol_of, words_of
from tf_nqs.types import Estimate

SIGMA = "\N{GREEK SMALL LETTER SIGMA}"

_EXACT = 5e-7
"""An uncertainty below it does not show in six decimals."""

_INFINITE = f"variance is infinite for l up to {INFINITE_UP_TO:g}"

_AGREES = 2.0
"""Deviation in errors up to which two numbers agree."""


def curve_tables(made: MadeCurves) -> list[str]:
    """Returns the tables: energies, their parts, slopes where a parameter varies, differences where there are any."""
    curves = made.curves
    points = [point for curve in curves for point in curve.points]
    columns = _columns(points)
    names = ("A", *(symbol_of(points[0].system, name) for name in columns))

    def table(header: tuple[str, ...], sections: Iterable[Iterable[tuple[CurvePoint, tuple[str, ...]]]]) -> str:
        rows = [[(*_system_cells(point, columns), *cells) for point, cells in section] for section in sections]
        return terminal_table(rows, (*names, *header), n_left=0)

    tables = [
        table(header, [[(point, cells(point)) for point in curve.points] for curve in curves])
        for header, cells in ((_ENERGY, _energy), (_PARTS, _parts))
    ]
    if curves[0].parameter is not None:
        symbol = words_of(curves[0])
        header = (f"<dH/d{symbol}>", "Slope of the fit", f"Deviation ({SIGMA})", "Curvature", "Susceptibility")
        tables.append(table(header, [_slopes(*pair) for pair in zip(curves, made.susceptibilities, strict=True)]))
    if made.differences:
        tables.append(table(_DIFFERENCES, [[(one.first, _difference(one)) for one in made.differences]]))
    return tables


_ENERGY = ("Energy (ħω)", "Exact", "Deviation", f"Deviation ({SIGMA})", "Variance")
_PARTS = ("Kinetic (ħω)", "Trap", "Interaction", "Rms size (a_ho)")
_DIFFERENCES = ("First", "Second", "Second less first (ħω)", f"({SIGMA})")


def _columns(points: Sequence[CurvePoint]) -> list[str]:
    """Returns the parameters that a row names: those of the interaction, and others that are not at their defaults."""
    usual = NamedSystem(1)._asdict()
    return [
        name
        for name in parameter_names(points[0].system)
        if name.startswith("interaction_") or any(getattr(point.system, name) != usual[name] for point in points)
    ]


def _system_cells(point: CurvePoint, columns: Sequence[str]) -> tuple[str, ...]:
    return (str(point.system.n_particles), *(f"{getattr(point.system, name):g}" for name in columns))


def _energy(point: CurvePoint) -> tuple[str, ...]:
    reference = point.reference
    is_exact = reference.uncertainty is None or reference.uncertainty < _EXACT
    exact = format_with_error(reference.energy, None if is_exact else reference.uncertainty)
    deviation = format_with_error(*point.deviation)
    return format_with_error(*point.energy), exact, deviation, _sigma(point.deviation), f"{point.variance:.2g}"


def _parts(point: CurvePoint) -> tuple[str, ...]:
    return tuple(format_with_error(*one) for one in (point.kinetic, point.trap, point.interaction, point.rms_size))


def _slopes(curve: Curve, between: Sequence[Estimate]) -> list[tuple[CurvePoint, tuple[str, ...]]]:
    rows: list[tuple[CurvePoint, tuple[str, ...]]] = []
    arrays = [curve.measured_slopes(), curve.fitted(1), curve.fitted(2)]
    for index, (point, deviation) in enumerate(zip(curve.points, slope_deviations(curve), strict=True)):
        measured, slope, curvature = (format_with_error(one.value[index], one.error[index]) for one in arrays)
        chi = format_with_error(*between[index]) if index < len(between) else ""
        rows.append((point, (measured, slope, _number(deviation), curvature, chi)))
    return rows


def _difference(one: Difference) -> tuple[str, ...]:
    return one.first.name, one.second.name, format_with_error(*one.difference), _sigma(one.difference)


def _sigma(estimate: Estimate) -> str:
    return _number(in_sigma(estimate))


def _number(value: float) -> str:
    return f"{value:+.1f}" if np.isfinite(value) else "-"


def findings(made: MadeCurves) -> list[str]:
    """Returns a sentence for each check of each curve."""
    found = []
    for curve in made.curves:
        start = f"A = {curve.points[0].system.n_particles}: " if len(made.curves) > 1 else ""
        found += [start + one for one in (_deviation(curve), _agreement(curve), _concavity(curve)) if one]
    return found


def without_reference(made: MadeCurves, advice: str) -> list[str]:
    """Returns a line that says at how many points there is no reference; none if each point has one.

    Args:
        made: the curves.
        advice: how to get the references.
    """
    points = [point for curve in made.curves for point in curve.points]
    n_without = sum(point.reference.energy is None for point in points)
    return [f"no exact reference at {n_without} of {len(points)} points: {advice}"] if n_without else []


def _deviation(curve: Curve) -> str:
    deviations = [point.deviation for point in curve.points if np.isfinite(point.deviation.value)]
    if not deviations:
        return ""
    rms = float(np.sqrt(np.mean([one.value**2 for one in deviations])))
    largest = max(deviations, key=lambda one: abs(one.value))
    return f"energies off by {rms:.1e} ħω rms, at most {format_with_error(*largest)}, at {len(deviations)} points"


def _agreement(curve: Curve) -> str:
    deviations = slope_deviations(curve)
    known = deviations[np.isfinite(deviations)]
    if not known.size:
        return ""
    n_close = int(np.sum(np.abs(known) <= _AGREES))
    symbol = words_of(curve)
    return f"slope of the fit and <dH/d{symbol}> agree within {_AGREES:g} errors at {n_close} of {known.size} points"


def _concavity(curve: Curve) -> str:
    """The exact energy is concave where H is linear in the parameter."""
    value, error = curve.fitted(2)
    known = np.isfinite(value) & np.isfinite(error)
    if not (curve.is_concave and known.any()):
        return ""
    n_concave = int(np.sum(value[known] <= _AGREES * error[known]))
    return f"curvature <= 0 within {_AGREES:g} errors, as of exact energies, at {n_concave} of {known.sum()} points"


def warnings(made: MadeCurves) -> list[str]:
    """Returns what should not be overlooked, a line for each kind.

    Args:
        made: the curves.
    """
    points = [point for curve in made.curves for point in curve.points]
    checks = {
        "no sample has a finite energy": lambda point: not np.isfinite(point.energy.value),
        "walkers not in equilibrium, or chains not mixed: their errors are unknown": (
            lambda point: not (point.in_equilibrium and point.is_mixed)
        ),
        f"kinetic energy and interaction have no error: their {_INFINITE}": (
            lambda point: not has_finite_parts(point.system.contact_exponent)
        ),
        f"<dH/dl> has no error: its {_INFINITE}": lambda point: not has_finite_slope(point.system),
        "target_error was not reached": lambda point: point.energy.error > point.target_error,
    }
    found = []
    for words, is_so in checks.items():
        names = [point.name for point in points if is_so(point)]
        if names:
            found.append(f"{words}: {', '.join(names[:3])}{f' and {len(names) - 3} more' if names[3:] else ''}")
    return found
