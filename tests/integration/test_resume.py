"""Exact resume: a run that is broken off again and again ends with the same files as one without a break."""

from __future__ import annotations

import csv
import fcntl
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from tf_nqs.callbacks import IterationCallback, run_checkpoint
from tf_nqs.commands import train as cli
from tf_nqs.config import settings_from
from tf_nqs.config.errors import shown
from tf_nqs.experiment import resume, start
from tf_nqs.experiment import run as experiment
from tf_nqs.storage.checkpoints import Checkpoint
from tf_nqs.storage.run_folder import CHAIN_MARK, RunFolder
from tf_nqs.storage.weights_file import iterations_of_weights
from tf_nqs.training.iterations import call_lengths

ROOT = Path(__file__).parents[2]

ALL_AT_ONCE = {
    "n_particles": 2,
    "interaction_strength": 10.0,
    "n_features": 4,
    "n_layers": 1,
    "n_walkers": 32,
    "n_steps": 2,
    "n_burn_in": 10,
    "iterations": 44,
    "iterations_per_call": 4,
    "checkpoint_iterations": 7,
    "optimizer": "adam",
    "learning_rate": 1e-2,
    "resampling": "guarded",
    "freeze_equivariant": True,
    "release_at": 13,
    "early_stopping": "thesis",
    "window": 10,
    "restore_best": True,
    "pretrain_iterations": 3,
    "target_error": 1.0,
    "evaluation_max_seconds": 1e6,  # a measurement that is ended by time depends on the load
    "reference_max_seconds": 0.0,
    "quiet": True,
    "jit_compile": False,  # these runs are shorter than their compilation
}
"""Everything that has a state: samples that are reused, layers that are released, windows, the best weights."""


class At(IterationCallback):
    """Does something after the call that reaches an iteration, before any checkpoint of that call."""

    def __init__(self, iteration, action):
        super().__init__()
        self.iteration, self.action = iteration, action

    def on_iterations(self, rows):
        if rows["iteration"][-1] >= self.iteration:
            self.action()


class Killed(BaseException):
    """Ends a run as `kill -9` does: nothing catches it, nothing is written after it."""


def kill():
    raise Killed


def run(folder, callbacks=(), resume=False, **changes):
    settings = settings_from(None, ALL_AT_ONCE | {"run_dir": str(folder)} | changes)
    return experiment.run(settings, callbacks, resume=resume)


def rows_of(path):
    with open(path, newline="") as file:
        return [{name: cell for name, cell in row.items() if name != "seconds"} for row in csv.DictReader(file)]


def weights_of(folder):
    found = {}
    with h5py.File(folder / "ansatz.weights.h5") as file:
        file.visititems(lambda name, item: found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
    return found


def assert_equal(folder, reference):
    """All rows in all columns but `seconds`, all windows, and every bit of every weight."""
    assert rows_of(folder / "metrics.csv") == rows_of(reference / "metrics.csv")
    assert (folder / "windows.csv").read_bytes() == (reference / "windows.csv").read_bytes()
    ours, theirs = weights_of(folder), weights_of(reference)
    assert ours.keys() == theirs.keys() and theirs
    assert [name for name in theirs if ours[name].tobytes() != theirs[name].tobytes()] == []


@pytest.fixture(scope="module", params=["adam", pytest.param("spring", marks=pytest.mark.slow)])
def unbroken(request, tmp_path_factory):
    """The folder of a run without a break, and what all others have in common with it."""
    changes = {"optimizer": request.param}
    folder = tmp_path_factory.mktemp("resume") / "unbroken"
    run(folder, **changes)
    return folder, changes


@pytest.fixture(scope="module")
def broken(unbroken, tmp_path_factory):
    """The folder of a run that was killed, ended too early, and lost its last checkpoint on top of that.

    The slow one was terminated as well, which `test_terminal.py` does to a process.
    """
    _, changes = unbroken
    folder = tmp_path_factory.mktemp("resume") / "broken"
    with pytest.raises(Killed):
        run(folder, [At(23, kill)], **changes)
    assert [int(row["iteration"]) for row in rows_of(folder / "metrics.csv")][-1] >= 23  # the last checkpoint is of 21
    if changes["optimizer"] == "spring":
        with pytest.raises(SystemExit) as ended:
            run(folder, [At(29, lambda: signal.raise_signal(signal.SIGTERM))], resume=True, **changes)
        assert ended.value.code == 143
    assert not (folder / "result.json").exists()
    result = run(folder, resume=True, iterations=36, **changes)
    assert (result.n_iterations, result.stop_reason, result.released_iteration) == (36, "iterations", 13)
    for name in (
        "evaluation.json",
        "observables.npz",
        "profile.csv",
        "observables/density.png",
        "out/1/saved_model.pb",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("of 36 iterations")
    (newest,) = (folder / "checkpoints").glob(f"{max_checkpoint(folder)}.data*")
    newest.write_bytes(newest.read_bytes()[:-10])
    return folder


def max_checkpoint(folder):
    paths = (folder / "checkpoints").glob("*.index")
    return max((path.stem for path in paths), key=lambda name: int(name.partition("-")[2]))


def test_broken_off_again_and_again_it_ends_the_same(broken, unbroken, capsys):
    """More iterations than it had ended with, from the checkpoint before the damaged one."""
    reference, changes = unbroken
    result = run(broken, resume=True, quiet=False, **changes)
    printed = capsys.readouterr().out
    assert "is damaged" in printed and "the one before" in printed and "resumed after 35 iterations" in printed
    assert "pretraining" not in printed
    measured = ["evaluation.json", "observables.npz", "observables", "out"]
    aside = broken / "after_36_iterations"
    assert f"moved to {aside}, as training continues: {', '.join(measured)}\n" in printed
    assert "deleted, as training continues: result.json, energy.png, walkers.npz, profile.csv\n" in printed
    assert {path.name for path in aside.iterdir()} == {*measured}
    assert not any((broken / name).exists() for name in (*measured, "profile.csv"))
    assert iterations_of_weights(broken / "ansatz.weights.h5") == 44
    with np.load(broken / "walkers.npz") as walkers:
        assert walkers["n_iterations"] == 44
    assert_equal(broken, reference)
    theirs = json.loads((reference / "result.json").read_text())
    for name in ("energy", "n_iterations", "n_samplings", "stop_reason", "restored_iteration", "released_iteration"):
        assert getattr(result, name) == theirs[name]
    assert result.stop_explanation == theirs["stop_explanation"]


def test_what_is_refused_changes_nothing(unbroken, capsys):
    folder, _ = unbroken
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    def refused(*flags):
        assert cli.main(["train.py", f"--run_dir={folder}", *flags]) == 2
        line = capsys.readouterr().err
        assert line.startswith("error: run_dir = ") and line.count("\n") == 1
        return line

    assert "can be continued by --resume" in refused(f"--config={folder / 'config.toml'}")
    changed = refused("--resume", "--learning_rate=0.5", "--n_walkers=64", "--target_error=0.5", "--iterations=50")
    assert "learning_rate = 0.01, not 0.5" in changed and "n_walkers = 32, not 64" in changed
    assert "target_error" not in changed and "iterations" not in changed
    assert "iterations = 43: must be at least 44, the number already done" in refused("--resume", "--iterations=43")
    with open(folder / ".claimed") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "locked by another process; wait for it to finish" in refused("--resume")
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("missing", [None, "checkpoints"])
def test_a_folder_without_a_checkpoint_is_refused(missing, tmp_path, capsys):
    if missing:
        (tmp_path / missing).mkdir()
    (tmp_path / "config.toml").write_text("n_particles = 2")
    assert cli.main(["train.py", f"--run_dir={tmp_path}", "--resume"]) == 2
    assert "holds no checkpoint; must be the folder of a run" in capsys.readouterr().err


def test_killed_before_training_it_can_be_resumed_too(tmp_path, monkeypatch, messages):
    """Then there is nothing to go on from but the settings: it begins."""
    with monkeypatch.context() as patch:
        patch.setattr(experiment, "find_reference", lambda settings: kill())
        patch.setattr(RunFolder, "release", lambda folder: None)  # no process is left to do that
        with pytest.raises(Killed):
            run(tmp_path / "run")
    folder = RunFolder.reopen(tmp_path / "run")
    settings = settings_from(None, ALL_AT_ONCE)
    assert start.find_start(settings, folder) == start.Start()
    assert messages == ["nothing was trained yet: starting from the beginning"]


FEWER_STATES = {
    "resampling": "every_iteration",
    "freeze_equivariant": False,
    "release_at": 0,
    "restore_best": False,
    "pretrain_iterations": 0,
    "iterations": 16,
}
"""For what does not depend on them: each is a function that must be traced."""


@pytest.mark.parametrize("at", [pytest.param("before any", marks=pytest.mark.slow), "within the first"])
def test_killed_before_its_first_checkpoint_is_whole_a_run_begins_again(at, tmp_path, monkeypatch):
    """Then the files of its log are there, without a row."""
    folder = tmp_path / "run"

    def killed(place, *_):
        if at == "within the first":
            place.mkdir()
            (place / "ckpt-1.data-00000-of-00001").write_bytes(b"half")
        kill()

    with monkeypatch.context() as patch:
        patch.setattr(run_checkpoint, "save_checkpoint", killed)
        with pytest.raises(Killed):
            run(folder, **FEWER_STATES)
    names = {path.name for path in folder.iterdir()} - {"checkpoints"}
    assert names == {".claimed", "config.toml", "metrics.csv", "tensorboard", "windows.csv"}
    with pytest.raises(ValueError, match="can be continued by --resume"):
        RunFolder.claim(folder)
    assert run(folder, resume=True, **FEWER_STATES).stop_reason == "iterations"
    assert [row["iteration"] for row in rows_of(folder / "metrics.csv")] == [str(n) for n in range(1, 17)]


def test_iterations_without_a_checkpoint_are_not_begun_again(tmp_path):
    folder = RunFolder.claim(tmp_path / "run")
    folder.config.write_text("n_particles = 2")
    folder.metrics.write_text("iteration,energy\n1,2.0\n")
    with pytest.raises(ValueError, match="holds no checkpoint"):
        RunFolder.reopen(folder.path)


@pytest.mark.parametrize("facts", [{}, {"iteration": "ten"}, {"settings": None}, {"seconds": -1.0}])
def test_a_checkpoint_of_something_else_is_refused(facts, tmp_path, monkeypatch):
    whole = {"settings": {}, "iteration": 1, "seconds": 1.0, "stop_reason": None, "callbacks": {}, "transfer": None}
    found = Checkpoint(tmp_path / "ckpt-1", facts and whole | facts)
    monkeypatch.setattr(start, "newest_checkpoint", lambda folder: found)
    line = r"^run_dir = .*: ckpt-1 is not a checkpoint of a training; start a new run in another folder$"
    with pytest.raises(ValueError, match=line):
        start.find_start(settings_from(None, ALL_AT_ONCE), RunFolder(tmp_path))


def test_a_chain_that_was_killed_at_its_mark_is_resumed_with_its_config(tmp_path, capsys):
    (tmp_path / CHAIN_MARK).touch()
    assert cli.main(["train.py", f"--run_dir={tmp_path}", "--resume"]) == 2
    assert "holds a chain without config.toml; must be resumed with its --config" in capsys.readouterr().err


def test_a_full_disk_ends_in_one_line(tmp_path):
    """Whatever file it was that could not be written."""
    folder = RunFolder.claim(tmp_path / "run")
    folder.metrics.touch()  # else it is given back, as nothing was trained
    line = r"cannot be written \(No space left on device\); once it can, --resume continues"
    with pytest.raises(ValueError, match=line), folder.locked():
        raise OSError(28, "No space left on device")
    with pytest.raises(FileNotFoundError), folder.locked():
        raise FileNotFoundError(2, "no trouble of the disk")


def test_a_process_on_a_full_disk_ends_in_one_line_and_leaves_what_can_be_resumed(tmp_path, largest_file):
    """The weights are too large, after a checkpoint that is not: HDF5 must not end the process in its own way."""
    folder = tmp_path / "run"
    changes = FEWER_STATES | {"n_features": 32, "iterations": 12}
    leaves = ALL_AT_ONCE | changes | {"run_dir": folder}
    flags = [f"--{name}={str(value).lower()}" for name, value in leaves.items()]
    command = [sys.executable, "train.py", *flags]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}  # TensorFlow has changed it in this process
    with largest_file(16 * 1024):  # the process inherits it
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False
        )
    line = f"error: run_dir = {shown(str(folder))}: cannot be written (File too large); once it can, --resume continues"
    assert (done.returncode, done.stderr.count("\n"), done.stdout) == (2, 1, ""), done.stderr
    assert done.stderr.startswith(line)
    assert not list(folder.glob("*.h5")) and len(rows_of(folder / "metrics.csv")) == 12
    assert run(folder, resume=True, **changes).stop_reason == "iterations"
    assert weights_of(folder)


def test_damaged_rows_are_left_out(tmp_path):
    path, columns = tmp_path / "metrics.csv", ("iteration", "energy")
    damaged = [b"\xff,2", b"\xc2\xb2,2", b"2", b"2,3,4", b"2,x", b"9" * 5000 + b",1", b""]
    for header in (b"iteration,energy", b"iter\xff"):
        path.write_bytes(b"\r\n".join([header, b"1,2.0", *damaged, b"3,", b""]))
        assert resume.keep_rows(path, 4, columns) == 2
        assert path.read_bytes() == b"iteration,energy\r\n1,2.0\r\n3,\r\n"


def test_rows_are_cut(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_bytes(b"iteration,energy\r\n1,2.0\r\n2,3.0\r\n3,4.0\r\n4,5")
    assert resume.keep_rows(path, 4) == 3
    assert resume.keep_rows(path, 2) == 2
    assert path.read_bytes() == b"iteration,energy\r\n1,2.0\r\n2,3.0\r\n"
    assert resume.keep_rows(tmp_path / "nowhere.csv", 2) == 0


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((25, 10, {12}, 0), [10, 2, 10, 2, 1]),
        ((25, 10, {12}, 12), [10, 2, 1]),
        ((25, 10, {12}, 5), [5, 2, 10, 2, 1]),
        ((25, 10, {12}, 25), []),
    ],
)
def test_calls_end_where_they_would_without_a_break(arguments, expected):
    assert call_lengths(*arguments) == expected


def test_seconds_count_over_all_sessions():
    """A run out of time is over until it is given more."""
    settings = settings_from(None, {"n_particles": 2, "iterations": 50, "max_seconds": 10.0})
    facts = {"iteration": 20, "seconds": 11.0, "stop_reason": "time_limit", "settings": {"iterations": 50}}
    assert start._is_over(facts, settings)
    assert not start._is_over(facts, settings_from(None, {"n_particles": 2, "iterations": 50, "max_seconds": 12.0}))
    stopped = facts | {"seconds": 1.0, "stop_reason": "early_stopping"}
    assert start._is_over(stopped, settings)
    assert not start._is_over(stopped, settings_from(None, {"n_particles": 2, "iterations": 51}))


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["adam", "spring", "reweighting", "chain"])
def test_kill_9(mode, tmp_path, monkeypatch):
    """The script of the benchmark, two kills of each mode."""
    monkeypatch.syspath_prepend(ROOT)
    from benchmarks.resume import try_mode

    for found in try_mode(mode, 2, 0, tmp_path):
        assert found["rows"] and found["windows"] and found["weights"], found


FAMILY = {
    "n_particles": [2, 3],
    "interaction_strength": [-4.0, 4.0],
    "ansatz": "jastrow",
    "n_features": 4,
    "n_layers": 1,
    "n_pair_features": 4,
    "n_pair_layers": 1,
    "n_conditions": 4,
    "walkers_per_condition": 4,
    "n_steps": 2,
    "n_burn_in": 10,
    "iterations": 24,
    "iterations_per_call": 4,
    "checkpoint_iterations": 7,
    "early_stopping": "thesis",
    "window": 10,
    "quiet": True,
    "jit_compile": False,
}


def run_family(folder, callbacks=(), resume=False):
    return experiment.run(settings_from(None, FAMILY | {"run_dir": str(folder)}), callbacks, resume=resume)


@pytest.mark.slow
def test_a_family_is_resumed_bit_by_bit(tmp_path):
    """Its systems, the widths of their moves, early stopping, and the average of the weights that it ends with."""
    whole, folder = tmp_path / "whole", tmp_path / "broken"
    expected = run_family(whole)
    with pytest.raises(Killed):
        run_family(folder, [At(16, kill)])
    result = run_family(folder, resume=True)
    assert rows_of(folder / "metrics.csv") == rows_of(whole / "metrics.csv")
    assert rows_of(folder / "windows.csv") == rows_of(whole / "windows.csv")
    assert result.stop_explanation == expected.stop_explanation and "largest at A = " in result.stop_explanation
    ours, theirs = weights_of(folder), weights_of(whole)
    assert [name for name in theirs if ours[name].tobytes() != theirs[name].tobytes()] == []
    assert result.energy is None
    again = run_family(folder, resume=True)  # training is over: the average is written once more
    assert again.n_iterations == 24
    ours = weights_of(folder)
    assert [name for name in theirs if ours[name].tobytes() != theirs[name].tobytes()] == []
