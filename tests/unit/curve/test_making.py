"""Curves of two particles whose wave functions are exactly known: what is kept, compared, printed and drawn."""

from __future__ import annotations

import csv
import math

import numpy as np
import pytest

from tf_nqs.commands.curve_run import say_curves
from tf_nqs.config import RunFolderError
from tf_nqs.exact import Reference, reference_energy
from tf_nqs.execution.workers import Workers
from tf_nqs.named_systems import NamedSystem
from tf_nqs.physics.closed_form_states import closed_form_state
from tf_nqs.storage.curve_folder import CurveFolder
from tf_nqs.studies.curve import making
from tf_nqs.studies.curve.curves import Difference, slope_deviations
from tf_nqs.studies.curve.folder import COLUMNS
from tf_nqs.studies.curve.making import MadeCurves
from tf_nqs.studies.curve.points import CurvePoint
from tf_nqs.studies.curve.report import curve_tables, findings, warnings
from tf_nqs.types import Estimate

KAPPAS = (0.2, 0.5, 0.8, 1.1, 1.4)
ERROR = 1e-4


def frequency(kappa):
    return np.sqrt(1 + 2 * kappa)


class Source:
    """A point of a curve, made of exact numbers and exact samples; counts how often it is measured."""

    target_error, max_seconds = 1e-3, 5.0

    def __init__(self, kappa, name=None, sign=1.0):
        self.system = NamedSystem(2, "harmonic", kappa)
        self.name, self.n_measured, self._sign = name or f"kappa = {kappa:g}", 0, sign
        self.identity = {"kappa": kappa, "name": self.name}
        self.reference_identity = {"wanted": "exact"}

    def trainer(self):
        return self

    def wave_function(self):
        psi = closed_form_state(self.system)

        def signed(positions):
            sign, log_abs_psi = psi(positions)
            return self._sign * sign, log_abs_psi + 3.0 * (self._sign < 0)  # neither sign nor norm may count

        return signed

    def reference(self, positions):
        return reference_energy(**self.system._asdict())

    def measured(self, target_error):
        self.n_measured += 1
        omega = frequency(kappa := self.system.interaction_strength)
        random = np.random.default_rng(int(100 * kappa))
        distance = np.linalg.norm(random.standard_normal((3, 8, 256)), axis=0) / np.sqrt(omega)
        centre = random.normal(scale=0.5, size=distance.shape)
        energy = 0.5 + 1.5 * omega + ERROR * random.standard_normal()
        known = {"kinetic": 0.25 + 0.75 * omega, "trap": 0.25 + 0.75 / omega, "interaction": 1.5 * kappa / omega}
        point = CurvePoint(
            name=self.name,
            system=self.system,
            energy=Estimate(energy, ERROR),
            variance=1e-3,
            **{name: Estimate(value, 1e-3) for name, value in known.items()},
            rms_size=Estimate(np.sqrt(0.25 + 0.75 / omega), 1e-3),
            slopes={"interaction_strength": Estimate(1.5 / omega, 1e-3)},
            n_samples=1000,
            target_error=target_error,
            in_equilibrium=True,
            is_mixed=True,
        )
        return point, np.stack([centre - distance / 2, centre + distance / 2], axis=-1)


@pytest.fixture(scope="module", autouse=True)
def exact_measurements():
    def measure_point(source, name, system, target_error, max_seconds, report):
        assert (name, system, max_seconds) == (source.name, source.system, source.max_seconds)
        return source.measured(target_error)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(making, "measure_point", measure_point)
        yield


@pytest.fixture(autouse=True)
def no_more_pictures(made, monkeypatch):
    """One is enough; each takes half a second."""
    monkeypatch.setattr(making, "plot_curves", lambda *arguments: None)


def sources_of(kappas):
    return [Source(kappa, sign=-1.0 if kappa == 0.8 else 1.0) for kappa in kappas]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Five points, one of them of the opposite sign."""
    folder = CurveFolder(tmp_path_factory.mktemp("curve"))
    return making.make_curves(sources_of(KAPPAS), folder, "title"), folder


def rows(folder):
    with folder.table.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_slope_of_the_curve_and_measured_slope_agree(made):
    (curve,) = made[0].curves
    assert curve.parameter == "interaction_strength" and curve.is_concave
    assert np.all(np.abs(slope_deviations(curve)) < 4)
    slope = curve.fitted(1)
    assert np.all(np.abs(slope.value - 1.5 / frequency(np.array(KAPPAS))) < 4 * slope.error)
    assert np.all(curve.fitted(2).value < 0)


def test_the_fidelity_susceptibility_is_that_of_the_closed_form(made):
    """The overlap of two oscillators of three dimensions."""
    (between,) = made[0].susceptibilities
    assert len(between) == len(KAPPAS) - 1
    for first, second, chi in zip(KAPPAS, KAPPAS[1:], between, strict=False):
        both = frequency(np.array([first, second]))
        exact = -3 * np.log(np.sqrt(both.prod()) / both.mean()) / (second - first) ** 2
        assert abs(chi.value - exact) < 4 * chi.error
        assert chi.error < 0.1 * exact


def test_the_table_has_the_columns_that_are_promised(made):
    found = rows(made[1])
    assert tuple(found[0]) == COLUMNS
    begin = "n_particles interaction_strength interaction_range energy energy_error reference_energy"
    assert " ".join(COLUMNS).startswith(f"{begin} reference_uncertainty deviation_in_sigma variance ")
    assert [float(row["interaction_strength"]) for row in found] == list(KAPPAS)
    assert {row["interaction_range"] for row in found} == {""}  # this interaction has none
    assert found[-1]["fidelity_susceptibility"] == "" != found[0]["fidelity_susceptibility"]
    assert found[0]["run"] == "kappa = 0.2" and found[0]["in_equilibrium"] == "true"
    exact = 0.5 + 1.5 * frequency(0.2)
    assert float(found[0]["reference_energy"]) == pytest.approx(exact)
    deviation = (float(found[0]["energy"]) - exact) / ERROR
    assert float(found[0]["deviation_in_sigma"]) == pytest.approx(deviation)
    assert made[1].plot.read_bytes().startswith(b"\x89PNG")
    assert not made[1].differences.exists()


def test_a_second_call_measures_nothing_again(made, messages):
    earlier, folder = made
    before = {path.name: path.read_bytes() for path in folder.points.iterdir()}
    again = sources_of(KAPPAS)
    found = making.make_curves(again, folder, "title")
    assert sum(source.n_measured for source in again) == 0
    assert {path.name: path.read_bytes() for path in folder.points.iterdir()} == before
    assert found.curves[0].points == earlier.curves[0].points
    assert messages == ["5 of 5 points were measured before"]


def test_another_reference_measures_nothing_again(made):
    sources = sources_of(KAPPAS)
    for source in sources:
        source.reference_identity = {"wanted": "another"}
        source.reference = lambda positions: reference_energy(2, interaction="none")
    found = making.make_curves(sources, made[1], "title")
    assert sum(source.n_measured for source in sources) == 0
    assert {point.reference.energy for point in found.curves[0].points} == {2.0}
    making.make_curves(sources_of(KAPPAS), made[1], "title")  # as it was


def test_a_reference_that_is_interrupted_loses_no_measurement(tmp_path):
    """It may take longer than the energy, and starts from the samples that were kept."""
    folder, source = CurveFolder(tmp_path), Source(0.2)
    source.reference_identity = {"wanted": "diffusion"}
    shapes = []

    def interrupted(positions):
        shapes.append(positions.shape)
        raise KeyboardInterrupt

    source.reference = interrupted
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            making.make_curves([source], folder, "title")
    assert source.n_measured == 1 and shapes == [(8, 256, 2)] * 2
    source.reference = lambda positions: Reference(2.0, "diffusion", 1e-3)
    (curve,) = making.make_curves([source], folder, "title").curves
    assert source.n_measured == 1 and curve.points[0].reference.energy == 2.0
    (row,) = rows(folder)
    assert (row["reference_kind"], float(row["reference_uncertainty"])) == ("diffusion", 1e-3)


def test_the_order_of_the_runs_does_not_matter(made):
    before = made[1].table.read_bytes()
    making.make_curves(sources_of(KAPPAS[::-1]), made[1], "title")
    assert made[1].table.read_bytes() == before


def test_what_is_printed_says_what_the_checks_find(made):
    energies, parts, slopes = curve_tables(made[0])
    assert "Exact" in energies and "Rms size" in parts and "<dH/dkappa>" in slopes
    deviations, agreement, concavity = findings(made[0])
    assert deviations.startswith("energies off by ") and deviations.endswith(", at 5 points")
    assert agreement == "slope of the fit and <dH/dkappa> agree within 2 errors at 5 of 5 points"
    assert concavity == "curvature <= 0 within 2 errors, as of exact energies, at 5 of 5 points"
    assert warnings(made[0]) == []


def test_doubts_are_printed(made):
    (curve,) = made[0].curves
    worse = [
        curve.points[0]._replace(in_equilibrium=False),
        curve.points[1]._replace(energy=Estimate(2.0, 1e-2)),
        curve.points[2]._replace(energy=Estimate(math.nan, math.nan)),
    ]
    found = warnings(MadeCurves([curve._replace(points=tuple(worse))], [[]], []))
    assert found == [
        "no sample has a finite energy: kappa = 0.8",
        "walkers not in equilibrium, or chains not mixed: their errors are unknown: kappa = 0.2",
        "target_error was not reached: kappa = 0.5",
    ]


def test_points_without_a_reference_are_counted_in_one_line(made, messages):
    (curve,), advice = made[0].curves, "--reference=diffusion can compute it"
    points = (curve.points[0]._replace(reference=Reference(None, "none", None)), *curve.points[1:])
    without = MadeCurves([curve._replace(points=points)], [[]], [])
    say_curves(without, made[1], advice)
    assert messages.count(f"no exact reference at 1 of 5 points: {advice}") == 1
    messages.clear()
    say_curves(without, made[1])
    say_curves(made[0], made[1], advice)
    assert not any("no exact reference" in line for line in messages)


def test_an_interrupted_curve_goes_on(tmp_path, monkeypatch):
    folder, sources = CurveFolder(tmp_path), sources_of((0.2, 0.5))

    def interrupt():
        raise KeyboardInterrupt

    monkeypatch.setattr(sources[1], "trainer", interrupt)
    with pytest.raises(KeyboardInterrupt):
        making.make_curves(sources, folder, "title")
    assert len(rows(folder)) == 1  # what was measured can be read at once
    again = sources_of((0.2, 0.5))
    making.make_curves(again, folder, "title")
    assert [source.n_measured for source in again] == [0, 1]
    assert len(rows(folder)) == 2


def test_a_damaged_point_is_named(tmp_path):
    folder = CurveFolder(tmp_path)
    making.make_curves(sources_of((0.2,)), folder, "title")
    (file,) = folder.points.glob("*.npz")
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(RunFolderError, match=r"cannot be read .*; must be deleted to measure this point again$"):
        making.make_curves(sources_of((0.2,)), folder, "title")


def test_runs_of_the_same_system_are_compared(tmp_path):
    """Neither slope nor fit, but a difference with both errors."""
    folder = CurveFolder(tmp_path)
    found = making.make_curves([Source(0.2, "first"), Source(0.2, "second")], folder, "title")
    (difference,) = found.differences
    assert (difference.first.name, difference.second.name) == ("first", "second")
    assert difference.difference == (0.0, pytest.approx(math.sqrt(2) * ERROR))
    header, line = folder.differences.read_text(encoding="utf-8").splitlines()
    assert header.startswith("n_particles,interaction_strength,interaction_range,first_run,second_run,difference")
    assert line.startswith("2,0.2,,first,second,")
    assert len(curve_tables(found)) == 3  # no table of slopes
    assert found.curves[0].parameter is None
    making.make_curves([Source(0.2, "first")], folder, "title")
    assert not folder.differences.exists()


def test_two_lists_of_the_same_systems_are_two_curves(tmp_path):
    sources = [Source(kappa, f"{name}{kappa}") for name in "ab" for kappa in KAPPAS]
    found = making.make_curves(sources, CurveFolder(tmp_path), "title")
    names = [[point.name[0] for point in curve.points] for curve in found.curves]
    assert names == [["a"] * 5, ["b"] * 5]
    assert len(found.differences) == 5 and isinstance(found.differences[0], Difference)
    assert tuple(map(len, found.susceptibilities)) == (4, 4)


def test_copies_of_a_run_are_measured_once_by_all_workers(tmp_path):
    """Or one worker would wait for the others in a sum that they never come to."""
    folder, copies = CurveFolder(tmp_path), [Source(0.2, "first"), Source(0.2, "second")]
    for one in copies:
        one.identity = {"kappa": 0.2}
    making.measure_with_chief(copies, folder, Workers())
    assert sum(one.n_measured for one in copies) == 1
    making.make_curves(copies, folder, "title")
    assert sum(one.n_measured for one in copies) == 2
