"""`python -m tf_nqs.curve` on run folders: its files, continuing, and bad input."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest

from tf_nqs import curve
from tf_nqs.callbacks import save_weights
from tf_nqs.commands import curve_source
from tf_nqs.commands.command import main
from tf_nqs.commands.curve_flags import MARK
from tf_nqs.commands.curve_run import source_of_run
from tf_nqs.config import settings_from, to_toml
from tf_nqs.config.errors import shown
from tf_nqs.exact import Reference
from tf_nqs.experiment import build as builders
from tf_nqs.measurement import energy as measurement
from tf_nqs.runtime import startup
from tf_nqs.storage.folder_of_several import lock_folder
from tf_nqs.storage.run_folder import RunFolder
from tf_nqs.studies.curve import making
from tf_nqs.studies.curve.points import CurvePoint
from tf_nqs.training import VariationalMonteCarlo
from tf_nqs.types import Estimate

ROOT = Path(__file__).parents[2]

SHORT = ["--target_error=1", "--evaluation_max_seconds=5"]

NO_SAMPLES = np.zeros((1, 1, 2))

TINY = {"n_features": 8, "n_walkers": 64, "n_burn_in": 20, "jit_compile": False}


def write_run(folder, **overrides):
    """Writes a run folder as a run leaves it, but for the training."""
    system = {"n_particles": 2, "interaction": "harmonic", "interaction_strength": 0.3}
    settings = settings_from(None, system | TINY | overrides)
    keras.utils.set_random_seed(1)
    folder.mkdir()
    (folder / "config.toml").write_text(to_toml(settings))
    save_weights(builders.build_ansatz(settings), folder / "ansatz.weights.h5")
    return folder


@pytest.fixture
def runs(tmp_path):
    return [write_run(tmp_path / f"k{kappa}", interaction_strength=kappa) for kappa in (0.3, 0.6)]


@pytest.fixture(autouse=True)
def few_samples(monkeypatch):
    monkeypatch.setattr(measurement, "_FULL_CALLS", 20)


def run(runs, output, *flags):
    return main(curve.COMMAND, ["", f"--run_dirs={','.join(map(str, runs))}", f"--output={output}", *SHORT, *flags])


def rows(output):
    with (output / "curve.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def point_of(vmc, name, system, target_error, max_seconds, report):
    """Stands for a measurement: made of numbers, with samples of anything."""
    assert isinstance(vmc, VariationalMonteCarlo) and max_seconds == 5.0 and callable(report)
    one = Estimate(1.0 + system.interaction_strength, 0.1)
    slopes = {"interaction_strength": one}
    point = CurvePoint(name, system, one, 0.5, one, one, one, one, slopes, 100, target_error, True, True)
    return point, np.random.default_rng(0).standard_normal((4, 64, system.n_particles))


def test_the_files_and_a_second_call(runs, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(making, "measure_point", point_of)
    output = tmp_path / "curves" / "new"
    assert run(runs[::-1], output) == 0
    found = rows(output)
    assert [float(row["interaction_strength"]) for row in found] == [0.3, 0.6]
    for row in found:
        kappa = float(row["interaction_strength"])
        assert float(row["reference_energy"]) == pytest.approx(0.5 + 1.5 * (1 + 2 * kappa) ** 0.5)
        assert float(row["energy"]) == float(row["measured_slope"]) == 1.0 + kappa
        assert row["fitted_slope"] == ""
    assert float(found[0]["fidelity_susceptibility"]) == pytest.approx(0.0, abs=1e-6)  # the same weights
    names = {path.name for path in output.iterdir()}
    assert names == {".claimed", ".curve", "curve.csv", "curve.png", "curve_points"}
    printed = capsys.readouterr().out
    assert f"measuring {runs[0]} until the error is 1 ħω, at most 5 seconds" in printed and "2/2" in printed
    assert "<dH/dkappa>" in printed and "written:" in printed
    before = (output / "curve.csv").read_bytes()
    assert run(runs, output) == 0
    assert (output / "curve.csv").read_bytes() == before
    printed = capsys.readouterr().out
    assert "2 of 2 points were measured before" in printed and "measuring" not in printed
    assert run(runs, output, "--reference=none") == 0
    assert {row["reference_energy"] for row in rows(output)} == {""}
    assert "measuring" not in capsys.readouterr().out


def test_a_run_without_a_finite_energy_fails_after_all_is_written(runs, tmp_path, capsys, monkeypatch):
    def measure_point(vmc, name, *arguments):
        point, samples = point_of(vmc, name, *arguments)
        return (point._replace(energy=Estimate(np.nan, np.nan)) if name == str(runs[0]) else point), samples

    monkeypatch.setattr(making, "measure_point", measure_point)
    assert run(runs, tmp_path / "new") == 3
    assert capsys.readouterr().err == f"error: no sample of {runs[0]} has a finite energy\n"
    assert [row["energy"] for row in rows(tmp_path / "new")] == ["", "1.6"]


@pytest.mark.slow
def test_what_is_measured(runs, tmp_path):
    assert run(runs, tmp_path / "new") == 0
    first, second = rows(tmp_path / "new")
    for row in (first, second):
        assert float(row["energy"]) > float(row["reference_energy"]) + 4 * float(row["energy_error"])  # not trained
        share = float(row["interaction"]) / float(row["interaction_strength"])
        assert float(row["measured_slope"]) == pytest.approx(share, rel=1e-6)  # kappa sum r^2/2 is linear in kappa
    assert float(first["kinetic"]) == pytest.approx(float(second["kinetic"]), rel=1e-3)  # the same weights and seed


@pytest.mark.slow
def test_what_a_measurement_depends_on_is_measured_again(runs, tmp_path, capsys):
    output = tmp_path / "new"
    assert run(runs, output, "--quiet") == 0
    keras.utils.set_random_seed(2)
    save_weights(builders.build_ansatz(settings_from(runs[0] / "config.toml")), runs[0] / "ansatz.weights.h5")
    for flags, n_known in (((), 1), (("--seed=5",), 0), (("--target_error=0.5",), 0)):
        assert run(runs, output, *flags) == 0
        printed = capsys.readouterr().out
        assert printed.count("measuring ") == 2 - n_known
        assert (f"{n_known} of 2 points" in printed) == bool(n_known)


@pytest.mark.slow
def test_a_killed_command_leaves_whole_files_and_goes_on(tmp_path):
    runs = [write_run(tmp_path / f"k{k}", interaction_strength=0.1 * k) for k in range(1, 5)]
    output = tmp_path / "new"
    command = [sys.executable, "-m", "tf_nqs.curve", f"--run_dirs={','.join(map(str, runs))}", f"--output={output}"]
    process = subprocess.Popen([*command, *SHORT], cwd=ROOT, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while not (output / "curve.csv").exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    n_known = len(rows(output))
    assert 1 <= n_known < 4
    done = subprocess.run([*command, *SHORT], cwd=ROOT, capture_output=True, text=True, check=True, timeout=600)
    assert " of 4 points were measured before" in done.stdout
    assert done.stdout.count("measuring ") <= 4 - n_known
    assert len(rows(output)) == 4


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["runs", "family"])
def test_a_diffusion_for_points_that_two_devices_measure(kind, tmp_path):
    """In a process of its own, which alone can divide its CPU; with fewer steps of the diffusion, to be short."""
    code = (
        "import sys; from tf_nqs import defaults; defaults.DIFFUSION_TIME_STEPS = (0.16, 0.08, 0.04, 0.02); "
        "from tf_nqs import curve; sys.exit(curve.main(['', *sys.argv[1:]]))"
    )
    small = {"ansatz": "jastrow", "n_features": 4, "jit_compile": True}
    if kind == "runs":
        output = tmp_path / "new"
        places = [f"--run_dirs={write_run(tmp_path / 'k', **small)}", f"--output={output}"]
    else:
        family = {"n_conditions": 4, "walkers_per_condition": 16}
        output = write_run(tmp_path / "family", interaction_strength=[0.2, 0.8], **small | family)
        places = [f"--run_dir={output}", "--interaction_strength=0.3"]
    flags = ["--strategy=mirrored", "--n_devices=2", "--reference=diffusion", "--target_error=0.05"]
    command = [sys.executable, "-c", code, *places, *flags, "--evaluation_max_seconds=300"]
    subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, check=True, timeout=900)
    (found,) = rows(output)
    assert found["reference_kind"] == "diffusion"
    exact = 0.5 + 1.5 * (1 + 2 * 0.3) ** 0.5
    assert abs(float(found["reference_energy"]) - exact) < 4 * float(found["reference_uncertainty"]) < 0.3


@pytest.fixture
def no_tensorflow(monkeypatch):
    """Whatever is refused is refused before the work begins."""

    def refuse(*arguments, **options):
        raise AssertionError("too late")

    monkeypatch.setattr(startup, "call_with_tensorflow", refuse)


def refused(arguments, capsys):
    """Returns the line of a command that is refused."""
    assert main(curve.COMMAND, ["", *arguments]) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.startswith("error: ") and printed.err.count("\n") == 1
    return printed.err.removeprefix("error: ").rstrip("\n")


@pytest.mark.usefixtures("no_tensorflow")
def test_bad_lists_of_runs(runs, tmp_path, capsys):
    output = f"--output={tmp_path / 'new'}"
    allowed = "must be folders of finished runs, each named once, with commas between them"
    family = ", or run_dir, the folder of the run of a family"
    assert refused([output], capsys) == f"run_dirs: must be given; {allowed.removeprefix('must be ')}{family}"
    first = str(runs[0])
    for text in ("", ",", "a,", "a,,b"):
        assert refused([f"--run_dirs={text}", output], capsys) == f"run_dirs = '{text}': {allowed}"
    for again in (first, f"{first}/../{runs[0].name}"):
        line = refused([f"--run_dirs={first},{again}", output], capsys)
        assert line == f"run_dirs: {first} is named more than once; {allowed}"
    nowhere = str(tmp_path / "nowhere")
    line = refused([f"--run_dirs={first},{nowhere}", output], capsys)
    assert line == f"run_dirs = '{nowhere}': no such folder; must be the folder of a run"
    (runs[1] / "ansatz.weights.h5").unlink()
    line = refused([f"--run_dirs={first},{runs[1]}", output], capsys)
    assert line == f"run_dirs = '{runs[1]}': has no ansatz.weights.h5; must be the folder of a run"
    assert not (tmp_path / "new").exists()


@pytest.mark.usefixtures("no_tensorflow")
def test_a_family_is_no_single_run(runs, tmp_path, capsys):
    """Its walkers belong to many systems: their mean energy is no point of a curve."""
    systems = {"interaction_strength": [0.1, 0.9], "n_conditions": 8, "walkers_per_condition": 8}
    family = write_run(tmp_path / "family", **systems)
    line = refused([f"--run_dirs={runs[0]},{family}", f"--output={tmp_path / 'new'}"], capsys)
    assert (
        line == f"run_dirs = {shown(str(family))}: holds a family of systems; must be the folder of a run of one system"
    )
    assert not (tmp_path / "new").exists()


@pytest.mark.usefixtures("no_tensorflow")
@pytest.mark.parametrize(
    ("name", "value", "was"), [("interaction", "gaussian", "harmonic"), ("trap", "quartic", "harmonic")]
)
def test_runs_of_different_kinds(name, value, was, runs, tmp_path, capsys):
    other = write_run(tmp_path / "other", **{name: value})
    line = refused([f"--run_dirs={runs[0]},{other}", f"--output={tmp_path / 'new'}"], capsys)
    assert line == f"run_dirs: {name} is {was} in {runs[0]} and {value} in {other}; must be the same in all runs"
    assert not (tmp_path / "new").exists()


@pytest.mark.usefixtures("no_tensorflow")
def test_bad_outputs(runs, tmp_path, capsys):
    given = f"--run_dirs={runs[0]}"
    allowed = "must be a new or an empty folder, or that of an earlier curve"
    assert refused([given], capsys).startswith("output: must be given; a new or an empty folder")
    before = sorted(path.name for path in runs[1].iterdir())
    assert refused([given, f"--output={runs[1]}"], capsys) == (
        f"output = '{runs[1]}': holds files that do not belong to a curve; {allowed}"
    )
    assert sorted(path.name for path in runs[1].iterdir()) == before
    file = tmp_path / "file"
    file.write_text("mine")
    assert refused([given, f"--output={file}"], capsys) == f"output = '{file}': is a file; {allowed}"
    assert file.read_text() == "mine"
    assert refused([given, f"--output={'x' * 300}"], capsys).endswith(allowed)
    assert refused([given, "--output=new", "--reference=diffused"], capsys) == (
        "reference = 'diffused': must be auto, exact, diffusion or none"
    )


@pytest.mark.usefixtures("no_tensorflow")
def test_a_diffusion_needs_a_trap(tmp_path, capsys):
    free = write_run(tmp_path / "free", trap="none")
    line = refused([f"--run_dirs={free}", f"--output={tmp_path / 'new'}", "--reference=diffusion"], capsys)
    assert line == (
        f"reference = diffusion contradicts trap = none of run_dirs = '{free}': must be auto, exact or none"
    )
    assert not (tmp_path / "new").exists()


@pytest.mark.usefixtures("no_tensorflow")
def test_a_diffusion_is_the_work_of_one_machine(runs, tmp_path, capsys):
    flags = [f"--run_dirs={runs[0]}", f"--output={tmp_path / 'new'}", "--reference=diffusion"]
    line = refused([*flags, "--strategy=multi_worker"], capsys)
    assert line == (
        "reference = diffusion contradicts strategy = multi_worker, whose workers would wait for the chief: must "
        "be auto, exact or none, or strategy be none or mirrored"
    )
    assert not (tmp_path / "new").exists()


def test_weights_that_cannot_be_read_leave_no_folder(runs, tmp_path, capsys):
    (runs[1] / "ansatz.weights.h5").write_bytes(b"nothing")
    line = refused([f"--run_dirs={runs[0]},{runs[1]}", f"--output={tmp_path / 'new'}"], capsys)
    assert line.startswith(f"run_dirs = '{runs[1]}': its ansatz.weights.h5 cannot be read")
    assert not (tmp_path / "new").exists()


def test_an_output_below_a_file_is_refused_before_anything_is_measured(runs, tmp_path, capsys):
    (tmp_path / "file").write_text("mine")
    line = refused([f"--run_dirs={runs[0]}", f"--output={tmp_path / 'file' / 'new'}"], capsys)
    assert line.startswith("output = ") and "new': cannot be written (Not a directory)" in line


def test_a_folder_in_use_is_refused(runs, tmp_path, capsys):
    output = tmp_path / "new"
    with lock_folder(output, MARK):
        line = refused([f"--run_dirs={runs[0]}", f"--output={output}"], capsys)
    assert line == f"output = '{output}': locked by another process; wait for it to finish"
    assert not (output / "curve.csv").exists()


def test_the_reference_of_a_result_is_used(runs):
    entries = {"reference_energy": 2.25, "reference_kind": "closed_form", "reference_uncertainty": 0.0}
    (runs[0] / "result.json").write_text(json.dumps(entries))
    folder = RunFolder.finished(runs[0])
    source = source_of_run(folder, builders.read_run(folder), folder.settings, "auto")
    assert source.reference(NO_SAMPLES).energy == 2.25
    diffusion = {"energy": 2.3, "energy_error": 0.1}
    (runs[0] / "diffusion.json").write_text(json.dumps(diffusion))
    later = source_of_run(folder, builders.read_run(folder), folder.settings, "auto")
    assert later.reference_identity != source.reference_identity and later.identity == source.identity
    none = source_of_run(folder, builders.read_run(folder), folder.settings, "none")
    assert none.reference(NO_SAMPLES).energy is None
    diffused = source_of_run(folder, builders.read_run(folder), folder.settings, "diffusion")
    assert diffused.reference(NO_SAMPLES) == Reference(2.3, "diffusion", 0.1)


def test_a_reference_by_diffusion_starts_from_the_samples_of_the_point(runs, monkeypatch, messages):
    """With the weights, the time and the error of its measurement; without an energy there is no reference."""
    folder, seen = RunFolder.finished(runs[0]), []

    def diffused_reference(system, ansatz, target_error, max_seconds, seed, walkers, jit_compile):
        assert (system.n_particles, max_seconds, jit_compile) == (
            2,
            folder.settings.evaluation.evaluation_max_seconds,
            False,
        )
        seen.append(walkers)
        if len(seen) == 2:
            raise ValueError("max_seconds: must be longer")
        return Reference(2.0, "diffusion", target_error)

    monkeypatch.setattr(curve_source, "diffused_reference", diffused_reference)
    source = source_of_run(folder, builders.read_run(folder), folder.settings, "diffusion")
    samples = np.arange(12.0).reshape(3, 2, 2)
    samples[1, 0] = np.nan
    assert source.reference(samples) == Reference(2.0, "diffusion", folder.settings.evaluation.target_error)
    np.testing.assert_array_equal(seen[0], [[0, 1], [2, 3], [6, 7], [8, 9], [10, 11]])
    assert source.reference(samples).energy is None
    assert messages[-1] == f"no reference by diffusion for {runs[0]}: max_seconds: must be longer"
