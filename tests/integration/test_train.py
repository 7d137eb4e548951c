"""The command line's main job: what it prints, what it writes, how it ends."""

from __future__ import annotations

import csv
import json
import math
import signal
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import tf_nqs
from tf_nqs.commands import train as cli
from tf_nqs.config import preset_names, settings_from, to_toml
from tf_nqs.config.chain import chain_from, is_chain
from tf_nqs.experiment import build as builders
from tf_nqs.experiment import run as experiment
from tf_nqs.training import VariationalMonteCarlo

ROOT = Path(__file__).parents[2]
SMALL = {
    "n_particles": 2,
    "interaction_strength": 10.0,
    "n_features": 8,
    "n_layers": 1,
    "pretrain_iterations": 5,
    "n_walkers": 64,
    "n_burn_in": 50,
    "iterations": 12,
    "iterations_per_call": 5,
    "target_error": 0.1,
    "evaluation_max_seconds": 5.0,
    "jit_compile": "false",  # these runs are shorter than their compilation
}

UNPRETRAINED = {"pretrain_iterations": 0}
"""For what does not depend on it: it is one function more to be traced."""


def arguments(run_dir, **changes):
    """A command line with the small settings."""
    return ["train.py", *(f"--{name}={value}" for name, value in (SMALL | changes).items()), f"--run_dir={run_dir}"]


def read(run_dir):
    """Result and rows of metrics.csv as dictionaries of strings."""
    result = json.loads((run_dir / "result.json").read_text(), parse_constant=pytest.fail)
    with open(run_dir / "metrics.csv", newline="") as file:
        return result, list(csv.DictReader(file))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of one small run by `python train.py`, and what it printed."""
    run_dir = tmp_path_factory.mktemp("runs") / "small"
    command = [sys.executable, *arguments(run_dir)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return run_dir, done


def test_prints_a_table_and_nothing_else_on_stderr(finished):
    """A newcomer sees reference, progress and result, without TensorFlow's chatter."""
    _, done = finished
    assert done.stderr == ""
    for words in ("reference energy 2.4256", "iteration 12/12", "Deviation", "Stop reason"):
        assert words in done.stdout


def test_run_folder_is_complete(finished):
    """Everything that the run folder promises is there and readable."""
    run_dir, _ = finished
    result, rows = read(run_dir)
    assert set(result) == {field.name for field in fields(experiment.RunResult)} - {"members"}  # of a family
    assert [int(row["iteration"]) for row in rows] == list(range(1, 13))
    header = "iteration,energy,energy_error,variance,kinetic,trap,interaction,acceptance,proposal_width,seconds"
    assert (run_dir / "metrics.csv").read_text().startswith(header)
    assert (run_dir / "energy.png").read_bytes().startswith(b"\x89PNG")
    assert settings_from(str(run_dir / "config.toml")).run.run_dir == str(run_dir)


def test_tensorboard_has_groups_the_reference_the_settings_and_the_final_energy(finished):
    run_dir, _ = finished
    result, rows = read(run_dir)
    points = {}
    for path in (run_dir / "tensorboard").rglob("events*"):
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            for value in event.summary.value:
                where = path.parent.relative_to(run_dir / "tensorboard").as_posix(), value.tag
                points.setdefault(where, []).append((event.step, tf.make_ndarray(value.tensor).item()))
    steps = [5, 10, 12]  # a point per call: 5, 5 and 2 iterations
    energies = [(step, pytest.approx(float(rows[step - 1]["energy"]), rel=1e-6)) for step in steps]  # in float32
    assert points[".", "energy/energy"] == energies
    reference = pytest.approx(result["reference_energy"], rel=1e-6)
    assert points["reference", "energy/energy"] == [(step, reference) for step in steps]
    assert points["measured", "energy/energy"] == [(12, pytest.approx(result["energy"], rel=1e-6))]
    assert points["measured", "energy/energy_error"] == [(12, pytest.approx(result["energy_error"], rel=1e-6))]
    ((step, text),) = points[".", "settings"]
    assert step == 0 and "    interaction_strength = 10.0" in text.decode().splitlines()
    groups = {name.partition("/")[0] for place, name in points if place == "."} - {"settings"}
    assert groups == {"energy", "sampling", "optimiser", "time"}
    for name in ("sampling/acceptance", "optimiser/learning_rate", "optimiser/damping", "time/seconds"):
        assert [step for step, _ in points[".", name]] == steps


def test_result_is_consistent(finished):
    """The result's numbers follow from each other."""
    result, rows = read(finished[0])
    assert result["energy"] == pytest.approx(result["kinetic"] + result["trap"] + result["interaction"], rel=1e-6)
    assert result["reference_energy"] == pytest.approx(2.425619, abs=1e-6)
    assert result["reference_kind"] == "relative_coordinate"
    sigma = math.hypot(result["energy_error"], result["reference_uncertainty"])
    assert result["deviation_in_sigma"] == pytest.approx((result["energy"] - result["reference_energy"]) / sigma)
    assert result["energy_error"] >= result["energy_error_naive"]
    assert result["n_parameters"] == result["n_trainable_parameters"] == 3 * 8 + 8 * 2 + 2 * 2
    assert (result["n_iterations"], result["stop_reason"]) == (12, "iterations")
    assert 0 < result["seconds_training"] < result["seconds_total"]
    for row in rows:
        parts = sum(float(row[name]) for name in ("kinetic", "trap", "interaction"))
        assert float(row["energy"]) == pytest.approx(parts, rel=1e-5)


def test_loads_the_trained_ansatz(finished):
    """`tf_nqs.load` gives back the state whose energy was measured."""
    run_dir, _ = finished
    result, _ = read(run_dir)
    system, ansatz, settings = tf_nqs.load(run_dir)
    vmc = experiment.build_trainer(settings, system, ansatz)
    again = vmc.evaluate_energy(target_error=0.1, max_seconds=5)
    # Two measurements of one state with other walkers; 5 combined errors: one in a million seeds fails.
    assert abs(again.energy - result["energy"]) < 5 * math.hypot(again.energy_error, result["energy_error"])


def test_a_loaded_run_has_its_result_and_its_metrics(finished):
    run_dir, _ = finished
    result, rows = read(run_dir)
    run = tf_nqs.load(run_dir)
    assert len(run) == 3 and tuple(run) == (run.system, run.ansatz, run.settings)
    assert run.result == result and run.folder == run_dir
    assert list(run.metrics) == list(rows[0])
    np.testing.assert_array_equal(run.metrics["energy"], [float(row["energy"]) for row in rows])
    assert list(run.metrics["iteration"]) == list(range(1, len(rows) + 1))


def without_seconds(rows):
    """The columns of metrics.csv that the seed decides."""
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


def test_same_seed_same_metrics(finished, tmp_path, capfd):
    """Another process with default threads writes the same rows; `--quiet` leaves only the run folder."""
    assert cli.main([*arguments(tmp_path / "again"), "--quiet"]) == 0
    assert without_seconds(read(tmp_path / "again")[1]) == without_seconds(read(finished[0])[1])
    assert capfd.readouterr().out == ""


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["spring", "adam"])
def test_same_seed_same_metrics_in_full_size(tmp_path, optimizer):
    """The same, compiled, with walkers in several parts at the same time."""
    full = {"n_walkers": 2048, "n_features": 64, "jit_compile": "true"}
    for name in ("first", "second"):
        command = [sys.executable, *arguments(tmp_path / name, optimizer=optimizer, **full)]
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=300)
    first, second = (without_seconds(read(tmp_path / name)[1]) for name in ("first", "second"))
    assert first == second


@pytest.mark.slow
def test_another_seed_another_run(finished, tmp_path):
    """The seed reaches walkers and start weights."""
    assert cli.main([*arguments(tmp_path / "other", seed=7), "--quiet"]) == 0
    assert read(tmp_path / "other")[1][0]["energy"] != read(finished[0])[1][0]["energy"]


def test_time_limit_ends_training(tmp_path):
    """`--max_seconds` bounds training, and the result says so."""
    assert cli.main([*arguments(tmp_path / "short", iterations=10**6, max_seconds=0.5, **UNPRETRAINED), "--quiet"]) == 0
    result, rows = read(tmp_path / "short")
    assert result["stop_reason"] == "time_limit"
    assert result["n_iterations"] == len(rows) < 10**5


def test_no_finite_energy_is_a_failure(tmp_path, monkeypatch):
    """A wave function that is NaN ends with status 3 and a result of nulls, not with a table of NaN."""
    build = experiment.build_ansatz

    def broken(settings):
        ansatz = build(settings)
        ansatz.orbital_layer.bias.assign(ansatz.orbital_layer.bias * np.nan)
        return ansatz

    monkeypatch.setattr(experiment, "build_ansatz", broken)
    assert cli.main([*arguments(tmp_path / "broken", **UNPRETRAINED), "--quiet"]) == 3
    result, _ = read(tmp_path / "broken")
    assert (result["stop_reason"], result["energy"]) == ("failed", None)


@pytest.mark.slow
def test_interrupt_keeps_what_was_reached(tmp_path, monkeypatch):
    """Ctrl-C in the middle of training: status 130, and a complete run folder. The gate interrupts a process."""
    recent = VariationalMonteCarlo.recent_iterations
    calls = []

    def interrupting(self):
        calls.append(1)
        if len(calls) > 4:
            monkeypatch.setattr(VariationalMonteCarlo, "recent_iterations", recent)
            signal.raise_signal(signal.SIGINT)
        return recent(self)

    monkeypatch.setattr(VariationalMonteCarlo, "recent_iterations", interrupting)
    assert cli.main([*arguments(tmp_path / "stopped", iterations=1000, **UNPRETRAINED), "--quiet"]) == 130
    result, rows = read(tmp_path / "stopped")
    assert result["stop_reason"] == "interrupted"
    assert result["energy"] is not None
    assert [int(row["iteration"]) for row in rows] == list(range(1, result["n_iterations"] + 1))


@pytest.mark.parametrize(
    ("place", "step"),
    [(experiment, "find_reference"), pytest.param(experiment.Start, "prepare", marks=pytest.mark.slow)],
)
def test_run_folder_is_given_back_if_training_never_began(place, step, tmp_path, monkeypatch, capsys):
    """Ctrl-C while the reference is computed, or in pretraining: the same command can be repeated."""

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(place, step, interrupted)
    assert cli.main(arguments(tmp_path / "early")) == 130
    assert capsys.readouterr().err.startswith("interrupted; ")
    assert not (tmp_path / "early").exists()


def test_run_folder_of_another_run_is_left_alone(finished, capsys):
    """A second run into the same folder is refused before anything changes."""
    run_dir, _ = finished
    before = {path: path.read_bytes() for path in run_dir.rglob("*") if path.is_file()}
    assert cli.main(arguments(run_dir)) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert {path: path.read_bytes() for path in run_dir.rglob("*") if path.is_file()} == before


def test_load_refuses_a_folder_without_a_run(tmp_path):
    """The error names what is missing."""
    with pytest.raises(ValueError, match=r"run_dir = .*config\.toml"):
        tf_nqs.load(tmp_path)


def test_a_loaded_run_says_which_file_it_lacks(tmp_path):
    settings = settings_from(None, {"n_particles": 2, "n_features": 4})
    (tmp_path / "config.toml").write_text(to_toml(settings))
    ansatz = builders.build_ansatz(settings)
    ansatz.save_weights(tmp_path / "ansatz.weights.h5")
    run = tf_nqs.load(tmp_path)
    for name, file in (("result", "result.json"), ("metrics", "metrics.csv")):
        with pytest.raises(ValueError, match=rf"run_dir = .*: has no {file}; must be the folder of a run"):
            getattr(run, name)
        (tmp_path / file).write_text("{" if name == "result" else "iteration\n1\n")
        with pytest.raises(ValueError, match=rf"run_dir = .*: its {file} cannot be read \(.*\); must be"):
            getattr(run, name)
    by_hand = builders.Run(run.system, run.ansatz, run.settings)
    with pytest.raises(ValueError, match="belongs to no folder"):
        _ = by_hand.result


DIFFERENT_IN_KIND = ("quickstart", "thesis", "chain_thesis_released")
"""Presets for the default tests, beside two_particles, which reaches its energy below; the others are slow ones."""


@pytest.mark.parametrize(
    "preset",
    [pytest.param(name, marks=() if name in DIFFERENT_IN_KIND else pytest.mark.slow) for name in preset_names()],
)
def test_every_preset_takes_a_step(preset):
    """Each preset, of a chain its last stage, at its own network and system, with few walkers."""
    changes = {"n_burn_in": 0, "jit_compile": False}
    if not is_chain(preset) and settings_from(preset).is_family:  # whose number of walkers follows from these
        changes |= {"n_conditions": 2, "walkers_per_condition": 16}
    else:
        changes["n_walkers"] = 32
    settings = chain_from(preset, changes, "-").stages[-1] if is_chain(preset) else settings_from(preset, changes)
    vmc = experiment._build(settings)
    before = [weight.numpy() for weight in vmc.ansatz.trainable_variables]
    # The last layers of this one start at zero, so that in the first iteration they alone change.
    vmc.fit(iterations=2 if settings.ansatz.ansatz == "jastrow" else 1)
    changed = [not np.array_equal(a, b.numpy()) for a, b in zip(before, vmc.ansatz.trainable_variables, strict=True)]
    assert all(changed)
    assert np.isfinite(vmc.recent_iterations()["energy"]).all()


@pytest.mark.parametrize(
    ("strength", "exact", "shorter"),
    [
        (10.0, 2.425619, ["--n_features=16", "--iterations=100", "--target_error=1e-3"]),
        pytest.param(10.0, 2.425619, [], marks=pytest.mark.slow),
        pytest.param(-10.0, 0.595906, [], marks=pytest.mark.slow),
    ],
)
def test_two_particles_reach_the_exact_energy(tmp_path, strength, exact, shorter):
    """The preset, also as shipped: 3 honest sigma and 1e-2 of the exact energy, with an error of at most 2e-3."""
    flags = [f"--interaction_strength={strength}", f"--run_dir={tmp_path / 'run'}", "--quiet", "--seed=1", *shorter]
    assert cli.main(["train.py", "--config=two_particles", *flags]) == 0
    result, _ = read(tmp_path / "run")
    assert result["energy_error"] <= 2e-3
    assert abs(result["energy"] - exact) <= min(1e-2, 3 * result["energy_error"] + 1e-6)
