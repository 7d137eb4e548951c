"""`python -m tf_nqs.evaluate` and `python -m tf_nqs.observe` on a run folder, and on bad input."""

from __future__ import annotations

import errno
import json
import math
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import fields
from pathlib import Path

import keras
import numpy as np
import pytest

from tf_nqs import evaluate, observe
from tf_nqs.callbacks import save_weights
from tf_nqs.commands import evaluate_run, observe_run
from tf_nqs.commands.command import main
from tf_nqs.commands.finished_run import Request, placed
from tf_nqs.commands.flags import NOT_OF_THE_RUN
from tf_nqs.commands.known_reference import reference_of
from tf_nqs.commands.member_flags import Member
from tf_nqs.commands.opened_run import OpenedRun, written_into
from tf_nqs.config import RunFolderError, settings_from, to_toml
from tf_nqs.exact import Reference, two_particle_energy
from tf_nqs.experiment import build as builders
from tf_nqs.measurement import evaluation
from tf_nqs.observables import plots
from tf_nqs.runtime import startup
from tf_nqs.storage.result import RunResult
from tf_nqs.storage.run_folder import RunFolder

ROOT = Path(__file__).parents[2]
REFERENCE = two_particle_energy(5.0, 0.5)[0]
COMMANDS = {"evaluate": evaluate.COMMAND, "observe": observe.COMMAND}


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    """A run folder as a run leaves it, but for the training."""
    folder = tmp_path_factory.mktemp("run")
    overrides = {"n_particles": 2, "interaction_strength": 5.0, "n_features": 8, "jit_compile": False}
    settings = settings_from(None, overrides | {"n_walkers": 128, "n_burn_in": 100, "target_error": 0.2})
    keras.utils.set_random_seed(1)
    (folder / "config.toml").write_text(to_toml(settings))
    save_weights(builders.build_ansatz(settings), folder / "ansatz.weights.h5")
    known = {"reference_energy": REFERENCE, "reference_kind": "relative_coordinate", "reference_uncertainty": 0.0}
    faults = {"n_non_finite": 3, "non_finite_share": 0.5}
    (folder / "result.json").write_text(json.dumps(known | faults | {"n_iterations": 7}))
    return folder


def test_evaluate(run_dir, capsys):
    assert main(evaluate.COMMAND, ["", f"--run_dir={run_dir}", "--evaluation_max_seconds=3"]) == 0
    found = json.loads((run_dir / "evaluation.json").read_text())
    assert {field.name for field in fields(RunResult)} - {"members"} <= set(found)
    for name in ("autocorrelation_time", "v_score", "virial", "centre_of_mass", "centre_of_mass_size", "parity"):
        assert found[f"{name}_error"] > 0
        assert np.isfinite(found[name])
    assert found["energy_error"] >= found["energy_error_naive"] > 0
    parts = found["kinetic"] + found["trap"] + found["interaction"]
    assert parts == pytest.approx(found["energy"], rel=1e-6)  # single precision
    assert (found["n_iterations"], found["reference_energy"]) == (7, REFERENCE)
    expected = (found["energy"] - REFERENCE) / found["energy_error"]
    assert found["deviation_in_sigma"] == pytest.approx(expected)
    v_score = 2 * found["variance"] / (found["energy"] - 2) ** 2
    assert found["v_score"] == pytest.approx(v_score, rel=1e-3)
    printed = capsys.readouterr().out
    assert printed.count("burn-in, until the walkers are in equilibrium") == 1
    assert "Virial theorem" in printed and "Parity" in printed
    assert found["n_non_finite"] == found["non_finite_share"] == 0  # of this measurement, not of the run's own
    assert ("target_error was not reached" in printed) == (found["energy_error"] > 0.2)
    assert not list(run_dir.glob("unfinished*"))


def test_observe(run_dir, capsys):
    assert main(observe.COMMAND, ["", f"--run_dir={run_dir}", "--evaluation_max_seconds=0.5", "--quiet"]) == 0
    with np.load(run_dir / "observables.npz") as file:
        found = dict(file)
    spacing = found["x"][1] - found["x"][0]
    assert spacing * found["density"].sum() == pytest.approx(2)
    assert np.trace(found["one_body_density_matrix"]) == pytest.approx(2)
    assert spacing**2 * found["pair_density"].sum() == pytest.approx(2)
    assert np.all(np.diff(found["occupations"]) <= 0)
    assert found["n_iterations"] == 7
    assert found["exact_density"].shape == found["density_error"].shape == found["x"].shape == found["r"].shape
    for name in ("pair_distribution", "distribution_of_distance"):
        assert found[name].shape == found[f"{name}_error"].shape == found[f"exact_{name}"].shape
        np.testing.assert_array_equal(np.isfinite(found[name]), np.isfinite(found[f"exact_{name}"]))
    plots = {path.stem for path in (run_dir / "observables").glob("*.png")}
    assert plots >= {"density", "occupations", "one_body_density_matrix", "pair_density", "pair_distribution"}
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("module", "name", "value", "message"),
    [
        (observe_run, "_MOST_BYTES", 0, "needs more than 0 GiB, and is left out"),
        (observe_run, "_LARGEST_REMAINDER", -1.0, "the diagonalisation is not converged"),
    ],
)
def test_what_is_not_exact_is_not_called_so(run_dir, module, name, value, message, monkeypatch, capsys):
    monkeypatch.setattr(module, name, value)
    arguments = [f"--run_dir={run_dir}", "--evaluation_max_seconds=0.1", "--format=pdf"]
    assert main(observe.COMMAND, ["", *arguments]) == 0
    pictures = list((run_dir / "observables").iterdir())
    assert len(pictures) == 8 and all(path.read_bytes().startswith(b"%PDF") for path in pictures)
    assert message in capsys.readouterr().out
    with np.load(run_dir / "observables.npz") as file:
        found = dict(file)
    assert "density" in found and "exact_density" not in found


def test_the_exact_state_is_judged_by_an_exact_energy(tmp_path):
    """That of a diffusion has an error of its own, larger than what the diagonalisation may be off by."""
    (tmp_path / "result.json").write_text('{"reference_energy": 2.1, "reference_kind": "diffusion"}')
    settings = settings_from(None, {"n_particles": 2, "interaction_strength": 0.0})
    run = OpenedRun(settings, None, 7, None)
    exact, why_not = observe_run._exact(Request(RunFolder(tmp_path), {}, {}), run, np.linspace(-6, 6, 61))
    assert exact is not None and why_not == ""


@pytest.mark.parametrize("result", [None, {"n_iterations": 9}], ids=["training has begun", "training has ended"])
def test_a_measurement_of_old_weights_is_not_written(result, tmp_path):
    """A training that was continued meanwhile has put away earlier measurements, or has new weights already."""
    file = tmp_path / "result.json"
    file.write_text('{"n_iterations": 7}')
    request, run = Request(RunFolder(tmp_path), {}, {}), OpenedRun(None, None, 7, None)
    assert request.folder.result_values == {"n_iterations": 7}  # read before the measurement
    with written_into(request, run):
        (tmp_path / "evaluation.json").touch()
    file.unlink() if result is None else file.write_text(json.dumps(result))
    refused = pytest.raises(RunFolderError, match="its training was continued during the measurement")
    with refused, written_into(request, run):
        pytest.fail("written all the same")


@pytest.fixture
def request_for(tmp_path):
    """Returns what `evaluate` is asked with, in a run folder with an energy by diffusion and perhaps an exact one."""

    def asked(exact, diffusion='{"energy": 2.5, "energy_error": 0.01}'):
        (tmp_path / "config.toml").write_text("n_particles = 7\ninteraction_strength = 5.0\n")
        known = {"reference_energy": 1.5, "reference_kind": "closed_form", "reference_uncertainty": 0.0}
        (tmp_path / "result.json").write_text(json.dumps(known if exact else {}))
        if diffusion:
            (tmp_path / "diffusion.json").write_text(diffusion)
        return Request(RunFolder(tmp_path), {}, {})

    return asked


def settings_with(reference):
    return settings_from(None, {"n_particles": 7, "interaction_strength": 5.0, "reference": reference})


BY_DIFFUSION = Reference(2.5, "diffusion", 0.01)


@pytest.mark.parametrize(
    ("wanted", "with_exact", "without"),
    [
        ("auto", Reference(1.5, "closed_form", 0.0), BY_DIFFUSION),
        ("exact", Reference(1.5, "closed_form", 0.0), Reference(None, "none", None)),
        ("diffusion", BY_DIFFUSION, BY_DIFFUSION),
        ("none", Reference(None, "none", None), Reference(None, "none", None)),
    ],
)
def test_which_reference_is_taken(wanted, with_exact, without, request_for, messages):
    for exact, expected in ((True, with_exact), (False, without)):
        request, settings = request_for(exact), settings_with(wanted)
        assert reference_of(request, settings) == expected
        later = Reference(2.6, "diffusion", 0.02)  # as read once before the measurement
        assert reference_of(request, settings, later) == (later if expected == BY_DIFFUSION else expected)
    assert not any("python -m tf_nqs.diffuse" in line for line in messages)
    for spoilt in ("{", '{"energy": NaN, "energy_error": 0.1}', '{"energy": 1, "energy_error": -1}', "[]"):
        request = request_for(False, spoilt)
        if wanted in ("auto", "diffusion"):
            with pytest.raises(RunFolderError, match=r"its diffusion.json cannot be read"):
                reference_of(request, settings_with(wanted))


def test_where_there_is_none_it_says_who_can_compute_one(request_for, messages):
    request = request_for(False, None)
    assert reference_of(request, settings_with("auto")).energy is None
    assert messages[-1].startswith("no exact reference: python -m tf_nqs.diffuse --run_dir=")


def test_no_command_is_advised_that_refuses_the_run(request_for, messages):
    request, settings = request_for(False, None), settings_with("auto")
    assert reference_of(request._replace(member=Member({}, "A7_V5")), settings).energy is None
    assert messages[-1].startswith("no exact reference: python -m tf_nqs.curve --reference=diffusion can compute one")
    unbound = settings.model_copy(update={"system": settings.system.model_copy(update={"trap": "none"})})
    assert reference_of(request, unbound).energy is None
    assert messages[-1] == "no exact reference"


def test_a_reference_by_diffusion_must_be_there(run_dir, monkeypatch, capsys):
    monkeypatch.setattr(startup, "import_tensorflow", None)
    assert main(evaluate.COMMAND, ["", f"--run_dir={run_dir}", "--reference=diffusion"]) == 2
    refused = "error: reference = 'diffusion': must be auto, exact or none, as the run has no diffusion.json"
    assert capsys.readouterr().err.startswith(refused)


@pytest.mark.parametrize("reference", ["none", "exact"])
def test_a_damaged_diffusion_is_refused_before_anything_is_measured(reference, request_for, monkeypatch):
    monkeypatch.setattr(evaluate_run, "open_run", None)
    with pytest.raises(RunFolderError, match=r"its diffusion.json cannot be read"):
        evaluate_run.evaluate_run(request_for(True, "{")._replace(overrides={"reference": reference}))


def test_more_steps_between_samples_count_in_the_memory():
    settings = placed(settings_with("none"), NOT_OF_THE_RUN | {"n_steps": 70})
    assert settings.sampling.n_steps == 70 and settings.distribution.strategy == "none"


@pytest.mark.parametrize(
    ("strength", "allowed"),
    [
        (-9.0, "auto, exact or none, as the run has no diffusion.json and no trap"),
        ([-9.0, -5.0], "auto, exact or none"),
    ],
)
def test_no_diffusion_is_advised_without_a_trap(strength, allowed, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(startup, "import_tensorflow", None)
    settings = settings_from(None, {"n_particles": 2, "interaction_strength": strength, "trap": "none"})
    (tmp_path / "config.toml").write_text(to_toml(settings.filled()), encoding="utf-8")
    (tmp_path / "ansatz.weights.h5").touch()
    assert main(evaluate.COMMAND, ["", f"--run_dir={tmp_path}", "--reference=diffusion"]) == 2
    refused = capsys.readouterr().err
    assert refused.startswith(f"error: reference = 'diffusion': must be {allowed}") and "python -m" not in refused


def test_members_are_not_compared_with_a_diffusion(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(startup, "import_tensorflow", None)
    settings = settings_from(None, {"n_particles": 2, "interaction_strength": [-1.0, 1.0]})
    (tmp_path / "config.toml").write_text(to_toml(settings.filled()), encoding="utf-8")
    (tmp_path / "ansatz.weights.h5").touch()
    arguments = ["", f"--run_dir={tmp_path}", "--interaction_strength=0.5", "--reference=diffusion"]
    assert main(evaluate.COMMAND, arguments) == 2
    refused = "error: reference = 'diffusion': must be auto, exact or none for a family; python -m tf_nqs.curve "
    assert capsys.readouterr().err.startswith(refused)


@pytest.mark.slow
def test_another_reference_can_be_asked_for(run_dir, monkeypatch):
    """The run's own is taken, unless the flag asks for one: then what the settings, flag included, lead to."""
    asked = []
    record = lambda settings: asked.append(settings) or Reference(1.5, "none", 0.1)  # noqa: E731
    monkeypatch.setattr(builders, "find_reference", record)
    arguments = ["", f"--run_dir={run_dir}", "--evaluation_max_seconds=1", "--quiet"]
    for flags, energy in ([], REFERENCE), (["--reference_max_seconds=7"], 1.5):
        assert main(evaluate.COMMAND, arguments + flags) == 0
        assert json.loads((run_dir / "evaluation.json").read_text())["reference_energy"] == energy
    assert [settings.evaluation.reference_max_seconds for settings in asked] == [7.0]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_does_not_wait_for_tensorflow(command):
    code = f"""
import sys
from tf_nqs import {command}
from tf_nqs.commands.command import main
status = main({command}.COMMAND, ["", "--help"])
print(status, sorted({{"tensorflow", "keras", "scipy"}} & sys.modules.keys()))"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.endswith("\n0 []\n")
    assert f"python -m tf_nqs.{command} --run_dir=RUN_FOLDER" in done.stdout
    settings = [flag.name for flag in COMMANDS[command].flags() if flag.is_setting]
    assert "quiet" in settings and all(re.search(rf"--(\[no\])?{leaf} ", done.stdout) for leaf in settings)
    assert ("--format " in done.stdout) == (command == "observe")
    assert max(map(len, done.stdout.splitlines())) <= 120


@pytest.mark.parametrize(
    ("command", "arguments", "message"),
    [
        ("evaluate", [], "run_dir: must be given; the folder of a run"),
        ("observe", ["--run_dir=/nowhere"], "run_dir = '/nowhere': no such folder; must be the folder of a run"),
        ("observe", ["--run_dir=."], "has no config.toml; must be the folder of a run"),
        ("evaluate", ["--run_dir=.", "--target_error=0"], "target_error = 0"),
        ("evaluate", ["--run_dir=.", "--target_eror=1"], "did you mean --target_error?"),
        ("observe", ["--run_dir=.", "--target_error=1"], "--target_error: no such flag"),
        ("observe", ["--run_dir=.", "--format=jpg"], "format = 'jpg': must be png, pdf or svg"),
        ("observe", ["--run_dir=.", "--format="], "format = '': must be png, pdf or svg"),
        ("evaluate", ["--run_dir=.", "--format=pdf"], "--format: no such flag"),
        ("observe", ["--run_dir=.", "here"], "'here': unexpected argument"),
    ],
)
def test_bad_input_is_answered_in_one_line(command, arguments, message, capsys):
    assert main(COMMANDS[command], ["", *arguments]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ") and printed.err.count("\n") == 1
    assert message in printed.err


@pytest.mark.parametrize("command", COMMANDS)
def test_interrupted(command, run_dir, monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(evaluation, "reach_equilibrium", interrupted)
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in run_dir.rglob("*") if path.is_file()}
    assert main(COMMANDS[command], ["", f"--run_dir={run_dir}", "--quiet"]) == 130
    assert capsys.readouterr().err == "interrupted; nothing was written\n"
    after = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in run_dir.rglob("*") if path.is_file()}
    assert after == before


@pytest.mark.parametrize("value", [math.nan, 0.0])
def test_observables_of_no_wave_function_are_a_failure(value, run_dir, tmp_path, capsys):
    for name in ("config.toml", "ansatz.weights.h5"):
        (tmp_path / name).write_bytes((run_dir / name).read_bytes())
    ansatz = builders.load(run_dir).ansatz
    ansatz.set_weights([np.full_like(weight, value) for weight in ansatz.get_weights()])
    save_weights(ansatz, tmp_path / "ansatz.weights.h5")
    assert main(observe.COMMAND, ["", f"--run_dir={tmp_path}", "--evaluation_max_seconds=1", "--quiet"]) == 3
    assert re.fullmatch("error: (the wave function vanishes|no sample has a finite).*\n", capsys.readouterr().err)
    assert not (tmp_path / "observables.npz").exists()


@pytest.mark.parametrize(
    ("name", "value"),
    [("energy_error", -1), ("reference_uncertainty", -1), ("variance", -0.5), ("seconds_total", -2), ("energy", "low")],
)
def test_a_result_with_impossible_numbers_is_refused(name, value, run_dir, tmp_path, capsys):
    for file in ("config.toml", "ansatz.weights.h5", "result.json"):
        (tmp_path / file).write_bytes((run_dir / file).read_bytes())
    result = tmp_path / "result.json"
    result.write_text(json.dumps(json.loads(result.read_text()) | {name: value}))
    assert main(evaluate.COMMAND, ["", f"--run_dir={tmp_path}"]) == 2
    line = rf"its result.json cannot be read \({name} (is negative|has another type)\)"
    assert re.search(line, capsys.readouterr().err)


def test_a_spoilt_run_folder(run_dir, tmp_path, capsys):
    for name in ("config.toml", "ansatz.weights.h5"):
        (tmp_path / name).write_bytes((run_dir / name).read_bytes())
    (tmp_path / "result.json").write_text("{")
    assert main(evaluate.COMMAND, ["", f"--run_dir={tmp_path}"]) == 2
    (tmp_path / "result.json").unlink()
    (tmp_path / "ansatz.weights.h5").write_bytes(b"no weights")
    assert main(observe.COMMAND, ["", f"--run_dir={tmp_path}"]) == 2
    assert capsys.readouterr().err.count("cannot be read (") == 2


@pytest.mark.parametrize("command", COMMANDS)
def test_a_folder_that_cannot_be_written_is_refused_before_the_measurement(command, run_dir, monkeypatch, capsys):
    def no_file(*_, **__):  # permissions do not stop a superuser, whom the tests may run as
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(tempfile, "NamedTemporaryFile", no_file)
    monkeypatch.setattr(startup, "import_tensorflow", None)
    assert main(COMMANDS[command], ["", f"--run_dir={run_dir}"]) == 2
    refused = f"error: run_dir = '{run_dir}': cannot be written (Read-only file system)\n"
    assert capsys.readouterr() == ("", refused)


def test_a_file_in_the_way_of_the_plots_is_told_before_the_measurement(run_dir, tmp_path, monkeypatch, capsys):
    for name in ("config.toml", "ansatz.weights.h5"):
        (tmp_path / name).write_bytes((run_dir / name).read_bytes())
    (tmp_path / "observables").write_text("")
    before = sorted(tmp_path.iterdir())
    monkeypatch.setattr(startup, "import_tensorflow", None)
    assert main(observe.COMMAND, ["", f"--run_dir={tmp_path}"]) == 2
    assert "cannot be written (observables is a file, but must be a folder)\n" in capsys.readouterr().err
    assert sorted(tmp_path.iterdir()) == before


def test_a_disk_that_fills_up_at_the_plots_is_folder_errors(run_dir, monkeypatch, capsys):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(plots, "plot_observables", full)
    arguments = [f"--run_dir={run_dir}", "--evaluation_max_seconds=1", "--reference_max_seconds=0", "--quiet"]
    assert main(observe.COMMAND, ["", *arguments]) == 2
    assert capsys.readouterr().err == f"error: run_dir = '{run_dir}': cannot be written (No space left on device)\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_the_modules_are_commands(command):
    done = subprocess.run(
        [sys.executable, "-m", f"tf_nqs.{command}", "--run_dir=/nowhere"], cwd=ROOT, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: run_dir = '/nowhere'")
