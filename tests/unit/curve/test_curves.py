"""Which points make a curve, and what is left of one without a parameter."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tf_nqs.named_systems import NamedSystem
from tf_nqs.studies.curve.curves import (
    Curve,
    curves_of,
    differences,
    in_sigma,
    neighbours,
    slope_deviations,
    varied_parameter,
)
from tf_nqs.studies.curve.making import MadeCurves
from tf_nqs.studies.curve.plot import plot_curves
from tf_nqs.studies.curve.points import CurvePoint
from tf_nqs.studies.curve.report import curve_tables, findings, warnings
from tf_nqs.types import Estimate


def point(system, energy=1.0, error=0.1, name=""):
    number = Estimate(energy, error)
    slopes = {"interaction_strength": number}
    rest = (slopes, 100, 0.1, True, True)
    return CurvePoint(name or str(system), system, number, 0.0, number, number, number, number, *rest)


def gaussian(strength, width=0.5, n_particles=2):
    return NamedSystem(n_particles, "gaussian", strength, width)


@pytest.mark.parametrize(
    ("systems", "parameter"),
    [
        ([gaussian(1.0), gaussian(2.0)], "interaction_strength"),
        ([gaussian(1.0, 0.5), gaussian(1.0, 0.6)], "interaction_range"),
        ([gaussian(1.0), gaussian(2.0, n_particles=3)], "interaction_strength"),
        ([gaussian(1.0, 0.5), gaussian(2.0, 0.6)], None),
        ([gaussian(1.0), gaussian(1.0)], None),
        ([gaussian(1.0), gaussian(1.0, n_particles=3)], None),
        ([NamedSystem(2, "none", pair_stiffness=k) for k in (0.1, 0.2)], "pair_stiffness"),
        ([NamedSystem(2, "none", trap="quartic", trap_quartic=k) for k in (0.1, 0.2)], "trap_quartic"),
    ],
)
def test_one_parameter_varies_or_none(systems, parameter):
    assert varied_parameter(systems) == parameter


def test_each_number_of_particles_is_a_curve():
    systems = [gaussian(strength, n_particles=a) for strength in (3.0, 1.0, 2.0, 0.0) for a in (4, 2)]
    curves = curves_of([point(system) for system in systems])
    assert [curve.points[0].system.n_particles for curve in curves] == [2, 4]
    for curve in curves:
        assert list(curve.values) == [0.0, 1.0, 2.0, 3.0]
        assert curve.fit is not None and len(neighbours(curve)) == 3


def test_few_points_have_no_fit_but_a_measured_slope():
    (curve,) = curves_of([point(gaussian(strength)) for strength in (1.0, 2.0, 3.0)])
    assert curve.fit is None
    assert np.all(np.isnan(curve.fitted(1).value)) and np.all(np.isnan(slope_deviations(curve)))
    assert list(curve.measured_slopes().value) == [1.0, 1.0, 1.0]


def test_points_without_a_parameter_keep_their_order():
    systems = [gaussian(2.0, 0.5), gaussian(1.0, 0.7), gaussian(2.0, 0.5)]
    (curve,) = curves_of([point(system) for system in systems])
    assert curve.parameter is None and not curve.is_concave
    assert [one.system for one in curve.points] == systems
    assert list(curve.values) == [1.0, 2.0, 3.0]
    assert neighbours(curve) == []


def test_differences_are_those_of_the_same_system():
    points = [point(gaussian(1.0), 1.0, 0.3, "a"), point(gaussian(2.0), name="b"), point(gaussian(1.0), 2.0, 0.4, "c")]
    (found,) = differences(points)
    assert (found.first.name, found.second.name) == ("a", "c")
    assert found.difference == pytest.approx((1.0, 0.5))
    assert in_sigma(found.difference) == pytest.approx(2.0)
    assert math.isnan(in_sigma(Estimate(1.0, 0.0))) and math.isnan(in_sigma(Estimate(1.0, math.nan)))


@pytest.mark.parametrize(("n_points", "width"), [(1, 0.0), (3, 0.0), (3, 0.1)])
def test_any_curve_can_be_printed_and_drawn(n_points, width, tmp_path):
    """Unknown errors and energies, no reference, one point, no parameter."""
    systems = [gaussian(float(k), 0.5 + width * k) for k in range(n_points)]
    points = [point(system, 1.0 if k != 1 else math.nan, math.nan) for k, system in enumerate(systems)]
    curves = curves_of(points)
    between = [[Estimate(math.inf, math.nan)] * len(neighbours(curve)) for curve in curves]
    made = MadeCurves(curves, between, [])
    plot_curves(tmp_path / "curve.png", "title", curves, between)
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
    assert all(curve_tables(made)) and findings(made) == []


def test_the_curve_of_a_range_is_not_concave_by_principle():
    curve = Curve("interaction_range", (point(gaussian(1.0)),))
    assert not curve.is_concave
    assert Curve("interaction_strength", (point(gaussian(1.0)),)).is_concave


def test_errors_that_cannot_be_known_are_explained():
    """Those of l(l-1)/r^2 and its derivative up to l = 1.5, which is free fermions' for l = 1."""
    points = tuple(point(NamedSystem(2, "calogero", one), name=f"l = {one:g}") for one in (1.0, 1.3, 2.5))
    assert warnings(MadeCurves([Curve("interaction_strength", points)], [[]], [])) == [
        "kinetic energy and interaction have no error: their variance is infinite for l up to 1.5: l = 1.3",
        "<dH/dl> has no error: its variance is infinite for l up to 1.5: l = 1, l = 1.3",
    ]
