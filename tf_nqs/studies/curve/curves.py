"""Curves out of points: which parameter varies, the fit, its checks, and differences at the same system."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tf_nqs.named_systems import NamedSystem
from tf_nqs.physics.slopes import is_linear, parameter_names
from tf_nqs.studies.curve.fit import Fit, fit_curve
from tf_nqs.studies.curve.points import CurvePoint
from tf_nqs.types import Estimate

UNKNOWN = Estimate(math.nan, math.nan)


class Curve(NamedTuple):
    """Points of one number of particles, by rising parameter.

    Attributes:
        parameter: name of what varies; None if nothing does, or more than one parameter.
        points: what was measured.
        fit: the curve through the energies; None for fewer than four values of the parameter.
    """

    parameter: str | None
    points: tuple[CurvePoint, ...]
    fit: Fit | None = None

    @property
    def values(self) -> np.ndarray:
        """The parameter at each point; the number of the point where there is none."""
        if self.parameter is None:
            return np.arange(1.0, len(self.points) + 1)
        return np.array([getattr(point.system, self.parameter) for point in self.points], np.float64)

    @property
    def is_concave(self) -> bool:
        """Whether the exact energy is concave: H is linear in the parameter."""
        return self.parameter is not None and is_linear(self.points[0].system, self.parameter)

    def measured_slopes(self) -> Estimate:
        """<dH/d lambda> at each point, nan where there is none."""
        slopes = [point.slopes.get(str(self.parameter), UNKNOWN) for point in self.points]
        return Estimate(*np.array(slopes, np.float64).T)

    def fitted(self, order: int) -> Estimate:
        """The derivative of the fit at each point, nan without a fit."""
        if self.fit is None:
            return Estimate(*np.full((2, len(self.points)), math.nan))
        return self.fit.derivative(self.values, order)


class Difference(NamedTuple):
    """The energies of two wave functions of the same system, in hbar*omega.

    Attributes:
        first: a point.
        second: another one.
        difference: of the second from the first, with the errors of both.
    """

    first: CurvePoint
    second: CurvePoint
    difference: Estimate


def varied_parameter(systems: Sequence[NamedSystem]) -> str | None:
    """Returns the one parameter that varies, beside the number of particles; None if there is no such one.

    Args:
        systems: of one interaction and one trap.
    """
    varied = [name for name in parameter_names(systems[0]) if len({getattr(system, name) for system in systems}) > 1]
    return varied[0] if len(varied) == 1 else None


def curves_of(points: Sequence[CurvePoint]) -> list[Curve]:
    """Returns the curves that points belong to, with fits.

    One curve for each number of particles. Where a system comes up again, its second point belongs to a second curve,
    and so on: two families, or two lists of runs, are two curves.

    Args:
        points: measured, in the order in which they were asked for.
    """
    parameter = varied_parameter([point.system for point in points])
    if parameter is None:
        return [Curve(None, tuple(points))]
    groups: dict[tuple[int, int], list[CurvePoint]] = {}
    seen: dict[NamedSystem, int] = {}
    for point in points:
        seen[point.system] = seen.get(point.system, 0) + 1
        groups.setdefault((point.system.n_particles, seen[point.system]), []).append(point)
    curves = []
    for _, group in sorted(groups.items()):
        ordered = sorted(group, key=lambda point: getattr(point.system, parameter))
        curve = Curve(parameter, tuple(ordered))
        energies = np.array([point.energy for point in ordered], np.float64).T
        curves.append(curve._replace(fit=fit_curve(curve.values, *energies)))
    return curves


def neighbours(curve: Curve) -> list[tuple[CurvePoint, CurvePoint]]:
    """Returns the pairs of neighbouring points of a curve, in its order; none where no parameter varies."""
    return [] if curve.parameter is None else list(itertools.pairwise(curve.points))


def differences(points: Sequence[CurvePoint]) -> list[Difference]:
    """Returns the differences of all pairs of points with the same system."""
    return [
        Difference(first, second, _difference(second.energy, first.energy))
        for first, second in itertools.combinations(points, 2)
        if first.system == second.system
    ]


def in_sigma(difference: Estimate) -> float:
    """Returns a number in units of its error; nan if that is unknown or 0."""
    return float(difference.value / difference.error) if difference.error > 0 else math.nan


def slope_deviations(curve: Curve) -> np.ndarray:
    """Returns the slope of the fit minus the measured one, in units of both errors; nan where one is unknown."""
    fitted, measured = curve.fitted(1), curve.measured_slopes()
    error = np.hypot(fitted.error, measured.error)
    return np.divide(fitted.value - measured.value, error, out=np.full_like(error, math.nan), where=error > 0)


def _difference(first: Estimate, second: Estimate) -> Estimate:
    return Estimate(first.value - second.value, math.hypot(first.error, second.error))
