"""`python -m tf_nqs.diffuse` on a run folder: its result, guides, continuing, and bad input."""

from __future__ import annotations

import errno
import itertools
import json
import os
import re
import subprocess
import sys
import time
import types
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_nqs
from tf_nqs import diffuse, evaluate, exact
from tf_nqs.callbacks import save_weights
from tf_nqs.commands import diffuse_run, train
from tf_nqs.commands.command import main
from tf_nqs.commands.finished_run import Request
from tf_nqs.config import RunFolderError, settings_from, to_toml
from tf_nqs.diffusion import energy
from tf_nqs.diffusion.time_step import Walk
from tf_nqs.experiment import build as builders
from tf_nqs.experiment import diffusion
from tf_nqs.runtime import startup
from tf_nqs.storage.run_folder import RunFolder

ROOT = Path(__file__).parents[2]
EXACT = 0.5 + 1.5 * np.sqrt(1.6)
"""Of two particles with a spring of kappa = 0.3."""

SHORTEST = 16.0
"""Imaginary time that is counted here."""

SHORT = ["--n_walkers=64", "--time_steps=0.4,0.2", "--target_error=1"]


def write_run(folder, **overrides):
    """Writes a run folder as a run leaves it, but for the training."""
    system = {"n_particles": 2, "interaction": "harmonic", "interaction_strength": 0.3}
    settings = settings_from(None, system | {"n_features": 8, "jit_compile": False} | overrides)
    keras.utils.set_random_seed(1)
    (folder / "config.toml").write_text(to_toml(settings))
    save_weights(builders.build_ansatz(settings), folder / "ansatz.weights.h5")
    return folder


@pytest.fixture
def run_dir(tmp_path):
    return write_run(tmp_path)


@pytest.fixture(autouse=True)
def shorter_walks(monkeypatch):
    monkeypatch.setattr(energy, "_SHORTEST", SHORTEST)


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def run(folder, *flags):
    return main(diffuse.COMMAND, ["", f"--run_dir={folder}", *SHORT, *flags])


def result(folder):
    return json.loads((folder / "diffusion.json").read_text())


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The result of a run that nothing interrupts."""
    folder = write_run(tmp_path_factory.mktemp("whole"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(energy, "_SHORTEST", SHORTEST)
        assert run(folder, "--quiet") == 0
    return result(folder)


def test_the_result(run_dir, capsys):
    (run_dir / "result.json").write_text(json.dumps({"energy": 2.4, "energy_error": 1e-3, "n_iterations": 7}))
    assert run(run_dir) == 0
    found = result(run_dir)
    assert abs(found["energy"] - EXACT) < max(4 * found["energy_error"], 1e-6)  # the best guide is exact
    assert found["reference_energy"] == pytest.approx(EXACT) and found["reference_kind"] == "closed_form"
    assert (found["time_steps"], found["n_walkers"], found["seed"]) == ([0.4, 0.2], 64, 0)
    assert (found["guide"], found["run_energy"], found["n_iterations"]) == ("free_fermions", 2.4, 7)
    assert (found["guide_stiffness"], found["guide_pair_frequency"]) == ([1.0, 1.0], 1.0)  # exact for two particles
    rms, density = found["observables"]["rms_size"], found["density"]  # <x_1^2 + x_2^2> = 1/2 + 3/2/Omega
    assert rms["mixed"] == pytest.approx(np.sqrt(0.25 + 0.75 / np.sqrt(1.6)), abs=0.25)
    assert rms["forward"] > 0 and rms["forward_error"] is None  # so short a walk has too few descendants
    assert found["forward_time"] == [4.0, 4.0]
    assert sum(density["mixed"]) * (density["x"][1] - density["x"][0]) == pytest.approx(2, abs=0.01)
    assert set(found["observables"]) == {"rms_size", "trap", "interaction", "pair_distance"}
    assert len(found["energies"]) == len(found["energy_errors"]) == len(found["acceptance"]) == 2
    assert {path.name for path in run_dir.iterdir()} == {
        *("config.toml", "ansatz.weights.h5", "result.json", "diffusion.json", "diffusion.png")
    }
    printed = capsys.readouterr().out
    assert "free fermions with a factor for each pair, because FermionAnsatz has nodes besides those" in printed
    assert "Time step" in printed and "Run's energy" in printed


@pytest.mark.parametrize(("reference", "is_computed"), [("auto", True), ("exact", True), ("none", False)])
def test_an_exact_energy_is_computed_only_where_the_run_wants_one(reference, is_computed, tmp_path, monkeypatch):
    folder, seen = RunFolder(write_run(tmp_path, reference=reference)), []
    monkeypatch.setattr(diffuse_run, "diffuse", lambda *arguments: seen.append(arguments[5]) or arguments[5])
    diffuse_run.diffuse_run(Request(folder, {}, {}))
    assert [one.kind for one in seen] == ["closed_form" if is_computed else "none"]


@pytest.mark.slow
def test_a_run_whose_wave_function_has_no_other_nodes_is_its_own_guide(run_dir, monkeypatch, capsys):
    ansatz = tf_nqs.JastrowAnsatz(2, n_features=4)
    monkeypatch.setattr(builders, "build_ansatz", lambda settings: ansatz)
    save_weights(ansatz, run_dir / "ansatz.weights.h5")
    assert run(run_dir, "--quiet") == 0
    found = result(run_dir)
    assert (found["guide"], found["guide_reason"], found["guide_stiffness"]) == ("run", None, None)
    assert abs(found["energy"] - EXACT) < 5 * found["energy_error"]
    assert capsys.readouterr() == ("", "")


def test_what_was_cut_short_continues_to_the_same_result(run_dir, whole, monkeypatch, capsys):
    advance_once, calls = Walk.advance_once, []

    def interrupted(self):
        calls.append(self)
        if len(calls) > 9:
            raise KeyboardInterrupt
        advance_once(self)

    monkeypatch.setattr(diffusion, "_SECONDS_BETWEEN_SAVES", 0.0)
    monkeypatch.setattr(Walk, "advance_once", interrupted)
    assert run(run_dir, "--quiet") == 130
    assert capsys.readouterr().err == "interrupted; the same command continues from the last saved state\n"
    before = files(run_dir)
    assert "diffusion_state.npz" in before
    monkeypatch.setattr(Walk, "advance_once", advance_once)
    for flag, name in (("--seed=3", "seed"), ("--n_walkers=65", "n_walkers"), ("--time_steps=0.4,0.1", "time_steps")):
        assert run(run_dir, flag) == 2
        assert f"holds a diffusion that was cut short, whose {name} was" in capsys.readouterr().err
    assert files(run_dir) == before
    assert run(run_dir) == 0
    assert "continues a diffusion that was cut short after" in capsys.readouterr().out
    assert {**result(run_dir), "seconds": 0} == {**whole, "seconds": 0}
    assert not (run_dir / "diffusion_state.npz").exists()


def test_kill_minus_9_loses_nothing_but_the_last_seconds(run_dir, whole):
    """A process of its own, killed after its first save: what continues it ends as one that was never killed."""
    code = (
        "import sys; from tf_nqs import diffuse; from tf_nqs.experiment import diffusion; "
        "diffusion._SECONDS_BETWEEN_SAVES = 0.0; sys.exit(diffuse.main(sys.argv))"
    )
    command = [sys.executable, "-c", code, f"--run_dir={run_dir}", *SHORT, "--quiet"]
    state = run_dir / "diffusion_state.npz"
    with subprocess.Popen(command, cwd=ROOT) as process:
        while not state.exists():
            assert process.poll() is None
            time.sleep(0.02)
        process.kill()
    assert not (run_dir / "diffusion.json").exists() and state.exists()
    assert run(run_dir, "--quiet") == 0
    assert {**result(run_dir), "seconds": 0} == {**whole, "seconds": 0}


@pytest.mark.slow
def test_a_training_can_end_with_a_diffusion(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(energy, "_SHORTEST", 24.0)  # in less time no error of forward walking is known
    folder = tmp_path / "run"
    own = ["--n_particles=2", "--interaction_strength=5", "--n_features=8", "--iterations=60", "--nojit_compile"]
    own += ["--n_walkers=128", "--reference=diffusion", "--target_error=0.02", "--ansatz=jastrow"]
    assert main(train.COMMAND, ["", *own, f"--run_dir={folder}"]) == 0
    found, by_diffusion = json.loads((folder / "result.json").read_text()), result(folder)
    known = exact.two_particle_energy(5.0, 0.5)[0]
    assert (found["reference_kind"], found["reference_energy"]) == ("diffusion", by_diffusion["energy"])
    assert found["reference_uncertainty"] == by_diffusion["energy_error"] < 0.02
    assert abs(by_diffusion["energy"] - known) < 4 * by_diffusion["energy_error"]
    assert (by_diffusion["guide"], by_diffusion["run_energy"]) == ("run", found["energy"])
    assert by_diffusion["observables"]["rms_size"]["forward_error"] > 0
    printed = capsys.readouterr().out
    assert "computed by diffusion after the training" in printed and "(diffusion Monte Carlo)" in printed
    assert "Rms size" in printed and "(forward walking)" in printed
    flags = ["--evaluation_max_seconds=2", "--quiet"]
    for reference, kind in (("diffusion", "diffusion"), ("none", "none"), ("exact", "relative_coordinate")):
        assert main(evaluate.COMMAND, ["", f"--run_dir={folder}", f"--reference={reference}", *flags]) == 0
        evaluated = json.loads((folder / "evaluation.json").read_text())
        assert (evaluated["reference_kind"], evaluated["diffusion_energy"]) == (kind, by_diffusion["energy"])


@pytest.mark.parametrize("content", [b"", b"no archive", "nan"])
def test_a_damaged_state_is_refused(content, run_dir, monkeypatch, capsys):
    state = run_dir / "diffusion_state.npz"
    if content == "nan":
        assert run(run_dir, "--evaluation_max_seconds=0.001", "--quiet") == 3
        with np.load(state) as file:
            arrays = dict(file)
        np.savez(state, **arrays | {"positions_0": np.full_like(arrays["positions_0"], np.nan)})
        capsys.readouterr()
    else:
        state.write_bytes(content)
    assert run(run_dir) == 2
    assert "must be deleted to begin again" in capsys.readouterr().err


def test_a_diffusion_that_has_not_reached_its_target_continues_with_more_seconds(run_dir, monkeypatch, capsys):
    seconds = itertools.count()  # one passes between two looks at the clock
    with monkeypatch.context() as patch:
        patch.setattr(energy, "time", types.SimpleNamespace(monotonic=lambda: float(next(seconds))))
        assert run(run_dir, "--target_error=1e-30", "--evaluation_max_seconds=40") == 0
    warning = "python -m tf_nqs.diffuse with a larger evaluation_max_seconds continues"
    first = result(run_dir)
    assert first["warnings"][0].endswith(warning) and warning in capsys.readouterr().out
    assert (run_dir / "diffusion_state.npz").exists()
    assert run(run_dir, "--evaluation_max_seconds=10000") == 0
    assert "continues a diffusion" in capsys.readouterr().out
    assert not (run_dir / "diffusion_state.npz").exists()
    second = result(run_dir)
    assert sum(second["n_generations"]) > sum(first["n_generations"]) and not second["warnings"]


def test_too_short_a_time_is_a_failure_that_can_be_continued(run_dir, capsys):
    assert run(run_dir, "--evaluation_max_seconds=0.001") == 3
    assert "evaluation_max_seconds = 0.001: too short for an energy; the same command with" in capsys.readouterr().err
    assert (run_dir / "diffusion_state.npz").exists() and not (run_dir / "diffusion.json").exists()


def test_a_disk_that_is_full_in_the_middle_is_said_to_be_full(run_dir, monkeypatch, capsys):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(diffusion, "_SECONDS_BETWEEN_SAVES", 0.0)
    monkeypatch.setattr(diffusion, "write_progress", full)
    assert run(run_dir) == 2
    line = f"error: run_dir = '{run_dir}': cannot be written (No space left on device)\n"
    assert capsys.readouterr().err == line


@pytest.mark.parametrize(
    ("settings", "flags", "message"),
    [
        ({}, ["--time_steps=0.1,-0.2"], "time_steps = '0.1,-0.2': must be two to 8 different numbers from 0.0001 to 1"),
        ({}, ["--time_steps=0.1"], "time_steps = '0.1': must be two"),
        ({}, ["--time_steps=0.1,9e-5"], "time_steps = '0.1,9e-5': must be two"),
        ({}, ["--n_walkers=31"], "n_walkers = '31': must be an integer from 32"),
        ({}, ["--guide=me"], "guide = 'me': must be auto, run or free_fermions"),
        ({}, ["--guide=run"], "guide = 'run': FermionAnsatz has nodes besides those where particles meet"),
        ({"trap": "none"}, [], "its trap is none"),
    ],
)
def test_bad_input_is_answered_in_one_line(settings, flags, message, tmp_path, capsys):
    before = files(write_run(tmp_path, **settings))
    assert run(tmp_path, *flags) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and re.fullmatch("error: .*\n", printed.err) and message in printed.err
    assert files(tmp_path) == before


def test_a_potential_that_is_finite_nowhere_is_refused(run_dir, monkeypatch, capsys):
    nowhere = lambda distances: tf.where(distances > 1e6, tf.zeros_like(distances), np.nan)  # noqa: E731
    monkeypatch.setattr(builders, "build_system", lambda _: tf_nqs.TrappedFermions(2, 0.0, pair_potential=nowhere))
    before = files(run_dir)
    assert run(run_dir) == 2
    line = (
        "error: guide = 'free_fermions', .*: the local energy is finite on none of 64 walkers; both must be finite.*\n"
    )
    assert re.fullmatch(line, capsys.readouterr().err)
    assert files(run_dir) == before


def test_a_run_without_weights_is_refused(run_dir, capsys):
    (run_dir / "ansatz.weights.h5").unlink()
    assert run(run_dir) == 2
    assert capsys.readouterr().err.endswith("has no ansatz.weights.h5; must be the folder of a run\n")


def test_more_walkers_than_memory_are_refused(run_dir, monkeypatch, capsys):
    monkeypatch.setattr(diffuse, "available_bytes", lambda: 256 * 4 * 50)
    monkeypatch.setattr(startup, "import_tensorflow", None)
    assert run(run_dir) == 2
    line = "error: n_walkers = 64: must be at most about 50, for the memory of this machine\n"
    assert capsys.readouterr().err == line


@pytest.mark.parametrize("mark", ["config.toml", ".claimed"])
def test_two_at_a_time_in_one_folder_are_refused(mark, run_dir, monkeypatch, capsys):
    (run_dir / mark).touch()
    before, folder = files(run_dir), RunFolder(run_dir)
    monkeypatch.setattr(startup, "import_tensorflow", None)
    with folder.locked_when_finished():
        assert run(run_dir) == 2
        if mark == ".claimed":
            with pytest.raises(RunFolderError, match="locked by another process"), folder.locked():
                pass  # no training may go on meanwhile
    line = f"error: run_dir = '{run_dir}': locked by another process; wait for it to finish\n"
    assert capsys.readouterr().err == line
    assert files(run_dir) == before


def test_the_library_finds_it_beside_the_other_references():
    assert exact.diffusion_energy is energy.diffusion_energy


def test_help_does_not_wait_for_tensorflow():
    code = "import sys; from tf_nqs import diffuse; print(diffuse.main(['', '--help']), 'tensorflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.endswith("\n0 False\n") and max(map(len, done.stdout.splitlines())) <= 120
