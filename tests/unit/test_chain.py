"""Chains: which stages run when, what is left in the folder, and what is refused; the runs themselves are stand-ins."""

from __future__ import annotations

import csv
import errno
import fcntl
import json
import os
from pathlib import Path

import pytest

from tests.unit.figures.stand_ins import blank_result
from tf_nqs.commands import train as cli
from tf_nqs.config import RunFolderError, SettingsError, settings_from, to_toml
from tf_nqs.config.chain import Chain, chain_from
from tf_nqs.config.errors import shown
from tf_nqs.experiment import start as experiment_start
from tf_nqs.runtime import startup
from tf_nqs.storage.result import RunResult
from tf_nqs.storage.run_folder import CHAIN_MARK, RunFolder
from tf_nqs.studies import chain as chains
from tf_nqs.studies.plan import SUMMARY_COLUMNS


def make_chain(run_dir, n_stages=3, **changes):
    """Stages of 2, 3, ... particles; `changes` are those of the last one."""
    stages = []
    for number in range(1, n_stages + 1):
        leaves = {"n_particles": number + 1, "run_dir": f"{run_dir}/stage_{number}"}
        if number > 1:
            leaves["transfer_from"] = f"{run_dir}/stage_{number - 1}"
        stages.append(settings_from(None, leaves | (changes if number == n_stages else {})))
    return Chain(str(run_dir), tuple(stages))


class Runs:
    """Stands for the experiment: notes which stages run and writes what a run leaves; `ends` says how a stage ends."""

    def __init__(self):
        self.ran, self.ends, self.resumed = [], {}, []

    def __call__(self, settings, resume, pass_signals):
        assert pass_signals
        folder = Path(settings.run.run_dir) if resume else RunFolder.claim(settings.run.run_dir).path
        self.ran.append(folder.name)
        self.resumed += [folder.name] * resume
        (folder / "config.toml").write_text(to_toml(settings))
        reason = self.ends.get(folder.name, "iterations")
        if isinstance(reason, BaseException):
            raise reason
        numbers = blank_result() | {"reference_energy": 0.0, "reference_kind": "none"}
        energy = float(settings.system.n_particles) if reason != "failed" else None
        result = RunResult(**{**numbers, "energy": energy, "energy_error": 0.25, "stop_reason": reason})
        (folder / "result.json").write_text(json.dumps(vars(result)))
        return result


@pytest.fixture
def runs(monkeypatch):
    runs = Runs()
    monkeypatch.setattr(chains, "run_in_subprocess", runs)
    return runs


def summary(folder):
    with open(folder / "summary.csv", newline="") as file:
        return list(csv.DictReader(file))


def names(folder):
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def test_all_stages_run_in_order_and_are_summed_up(runs, tmp_path, capsys):
    folder = tmp_path / "runs" / "chain"
    assert chains.run_chain(make_chain(folder)) == "iterations"
    assert runs.ran == ["stage_1", "stage_2", "stage_3"]
    assert names(folder) == ["config.toml", "stage_1", "stage_2", "stage_3", "summary.csv"]
    rows = summary(folder)
    assert list(rows[0]) == ["stage", *SUMMARY_COLUMNS]
    assert [(row["stage"], row["energy"], row["deviation"]) for row in rows] == [
        ("1", "2.0", "2.0"),
        ("2", "3.0", "3.0"),
        ("3", "4.0", "4.0"),
    ]
    printed = capsys.readouterr().out.splitlines()
    assert printed[:3] == ["stage 1 of 3", "stage 2 of 3", "stage 3 of 3"]
    assert printed[4].replace("\N{BOX DRAWINGS LIGHT VERTICAL}", "|").replace(" ", "").startswith("|stage|A|")
    assert "4.00(25)" in printed[8]


def test_run_again_nothing_is_left_to_do(runs, tmp_path, capsys):
    chain = make_chain(tmp_path / "chain")
    chains.run_chain(chain)
    before = (tmp_path / "chain" / "summary.csv").read_bytes()
    capsys.readouterr()
    assert chains.run_chain(chain) == "iterations"
    assert len(runs.ran) == 3
    assert "stage 2 of 3: finished before" in capsys.readouterr().out
    assert (tmp_path / "chain" / "summary.csv").read_bytes() == before


@pytest.mark.parametrize("end", [KeyboardInterrupt(), "interrupted", "failed"], ids=["killed", "interrupted", "failed"])
def test_resumed_at_the_stage_that_is_not_finished(end, runs, tmp_path):
    """The unfinished folder is kept under another name, finished stages are not run again."""
    folder = tmp_path / "chain"
    runs.ends["stage_2"] = end
    if isinstance(end, BaseException):
        with pytest.raises(KeyboardInterrupt):
            chains.run_chain(make_chain(folder))
        assert len(summary(folder)) == 1
    else:
        assert chains.run_chain(make_chain(folder)) == end
        assert len(summary(folder)) == 2
    assert runs.ran == ["stage_1", "stage_2"]
    runs.ends.clear()
    assert chains.run_chain(make_chain(folder)) == "iterations"
    assert runs.ran == ["stage_1", "stage_2", "stage_2", "stage_3"]
    assert names(folder) == ["config.toml", "stage_1", "stage_2", "stage_2_unfinished_1", "stage_3", "summary.csv"]
    assert (folder / "stage_2_unfinished_1" / "config.toml").is_file()


def with_checkpoint(folder):
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "ckpt-1.index").touch()


@pytest.mark.parametrize("end", [KeyboardInterrupt(), "interrupted"], ids=["killed", "interrupted"])
def test_a_stage_with_a_checkpoint_is_resumed_inside(end, runs, tmp_path):
    """The folder stays; later stages, whose results do not follow any more, are never resumed."""
    folder = tmp_path / "chain"
    chains.run_chain(make_chain(folder))
    for name in ("stage_2", "stage_3"):
        with_checkpoint(folder / name)
        (folder / name / "result.json").unlink()
    if end == "interrupted":
        (folder / "stage_2" / "result.json").write_text('{"stop_reason": "interrupted"}')
    assert chains.run_chain(make_chain(folder), resume=True) == "iterations"
    assert runs.ran[3:] == ["stage_2", "stage_3"] and runs.resumed == ["stage_2"]
    assert names(folder) == ["config.toml", "stage_1", "stage_2", "stage_3", "stage_3_unfinished_1", "summary.csv"]


def test_a_failed_stage_begins_anew_in_spite_of_its_checkpoint(runs, tmp_path):
    runs.ends["stage_2"] = "failed"
    chains.run_chain(make_chain(tmp_path / "chain"))
    with_checkpoint(tmp_path / "chain" / "stage_2")
    runs.ends.clear()
    chains.run_chain(make_chain(tmp_path / "chain"))
    assert not runs.resumed and (tmp_path / "chain" / "stage_2_unfinished_1").is_dir()


def test_it_is_resumed_from_its_folder_alone(runs, tmp_path, monkeypatch, capsys):
    """With the flags that it was begun with, though the config is lost, and the folder has another name."""
    config = tmp_path / "chain.toml"
    config.write_text("quiet = true\n[[stage]]\nn_particles = 2\n[[stage]]\nn_particles = 3\n[[stage]]\n")
    monkeypatch.setattr(startup, "import_tensorflow", lambda *_: None)
    runs.ends["stage_2"] = "interrupted"
    assert cli.main(["", f"--config={config}", "--n_walkers=32", f"--run_dir={tmp_path / 'chain'}"]) == 130
    config.unlink()
    (tmp_path / "chain").rename(tmp_path / "moved")
    runs.ends.clear()
    assert cli.main(["", f"--run_dir={tmp_path / 'moved'}", "--resume"]) == 0
    assert runs.ran == ["stage_1", "stage_2", "stage_2", "stage_3"]
    last = settings_from(tmp_path / "moved" / "stage_3" / "config.toml")
    assert (last.system.n_particles, last.sampling.n_walkers) == (3, 32)
    assert last.transfer.transfer_from == str(tmp_path / "moved" / "stage_2")
    (tmp_path / "moved" / "config.toml").unlink()
    assert cli.main(["", f"--run_dir={tmp_path / 'moved'}", "--resume"]) == 2
    assert "holds a chain without config.toml; must be resumed with its --config" in capsys.readouterr().err


def test_its_folder_is_claimed_once(runs, tmp_path, monkeypatch):
    """Between a check that gives the folder back and a second claim, another process could take it."""
    claims, claim = [], RunFolder.claim
    monkeypatch.setattr(RunFolder, "claim", lambda *given: claims.append(given[0]) or claim(*given))
    config = tmp_path / "chain.toml"
    config.write_text("quiet = true\n[[stage]]\nn_particles = 2\n[[stage]]\nn_particles = 3\n")
    arguments = ["", f"--config={config}", f"--run_dir={tmp_path / 'chain'}"]
    assert cli.main(arguments) == 0
    assert claims.count(str(tmp_path / "chain")) == 1


def test_other_settings_are_kept_only_if_the_stage_that_goes_on_takes_them(runs, tmp_path, monkeypatch):
    folder = tmp_path / "chain"
    runs.ends["stage_2"] = "interrupted"
    chains.run_chain(make_chain(folder, 2))
    with_checkpoint(folder / "stage_2")
    before = (folder / "config.toml").read_bytes()

    def refuse(settings, run_folder):
        assert run_folder.path == folder / "stage_2" and settings.training.learning_rate == 0.5
        raise RunFolderError("was run with learning_rate = 0.1, not 0.5")

    monkeypatch.setattr(experiment_start, "find_start", refuse)
    with pytest.raises(SettingsError, match=r"^stage 2: was run with learning_rate = 0\.1, not 0\.5$"):
        chains.run_chain(make_chain(folder, 2, learning_rate=0.5), resume=True)
    assert (folder / "config.toml").read_bytes() == before and runs.ran == ["stage_1", "stage_2"]
    monkeypatch.setattr(experiment_start, "find_start", lambda *_: None)
    runs.ends.clear()
    chains.run_chain(make_chain(folder, 2, iterations=2000), resume=True)
    assert runs.resumed == ["stage_2"]
    assert chain_from(folder / "config.toml", {}, str(folder)).stages[-1].training.iterations == 2000


@pytest.mark.parametrize("name", ["config.toml", "summary.csv"])
def test_a_full_disk_is_folder_errors(name, runs, tmp_path, monkeypatch):
    folder, replace = tmp_path / "chain", Path.replace

    def full(self, target):
        if target == folder / name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", full)
    line = f"run_dir = {shown(str(folder))}: cannot be written (No space left on device); the same command continues"
    with pytest.raises(RunFolderError) as caught:
        chains.run_chain(make_chain(folder))
    assert str(caught.value).startswith(line)
    assert f"unfinished-{name}" not in names(folder)
    monkeypatch.undo()
    monkeypatch.setattr(chains, "run_in_subprocess", runs)
    assert chains.run_chain(make_chain(folder)) == "iterations"


def test_resuming_needs_a_chain(runs, tmp_path):
    with pytest.raises(RunFolderError, match="holds no chain; must be the folder of one, or be given without --resume"):
        chains.run_chain(make_chain(tmp_path / "chain"), resume=True)
    assert not (tmp_path / "chain").exists()


def test_what_follows_a_repeated_stage_is_repeated_too(runs, tmp_path):
    """Stage 3 would otherwise be the result of weights that are no longer there."""
    folder = tmp_path / "chain"
    chains.run_chain(make_chain(folder))
    (folder / "stage_2" / "result.json").unlink()
    chains.run_chain(make_chain(folder))
    assert runs.ran == ["stage_1", "stage_2", "stage_3", "stage_2", "stage_3"]
    assert {"stage_2_unfinished_1", "stage_3_unfinished_1"} < set(names(folder))


def test_a_stage_is_set_aside_before_those_it_starts_from_run_again(runs, tmp_path):
    """However that ends, it cannot be taken for the result of their new weights."""
    folder = tmp_path / "chain"
    chains.run_chain(make_chain(folder))
    (folder / "stage_2" / "result.json").unlink()
    runs.ends["stage_2"] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        chains.run_chain(make_chain(folder))
    assert not (folder / "stage_3").exists() and (folder / "stage_3_unfinished_1").is_dir()
    assert [row["stage"] for row in summary(folder)] == ["1"]


def test_a_longer_chain_goes_on_from_a_shorter_one(runs, tmp_path):
    chains.run_chain(make_chain(tmp_path / "chain", 2))
    chains.run_chain(make_chain(tmp_path / "chain", 3))
    assert runs.ran == ["stage_1", "stage_2", "stage_3"]


def test_a_moved_chain_is_still_finished(runs, tmp_path):
    chains.run_chain(make_chain(tmp_path / "chain"))
    (tmp_path / "chain").rename(tmp_path / "moved")
    chains.run_chain(make_chain(tmp_path / "moved", quiet=True))
    assert len(runs.ran) == 3


def test_other_settings_are_refused_before_anything_runs(runs, tmp_path):
    folder = tmp_path / "chain"
    chains.run_chain(make_chain(folder))
    (folder / "stage_1" / "result.json").unlink()
    path = shown(str(folder / "stage_3"))
    line = f"run_dir = {path}: was run with iterations = 1000, not 7; the chain must be as it was"
    with pytest.raises(RunFolderError) as caught:
        chains.run_chain(make_chain(folder, iterations=7))
    assert str(caught.value).startswith(line)
    assert len(runs.ran) == 3 and len(names(folder)) == 5
    assert chain_from(folder / "config.toml", {}, str(folder)) == make_chain(folder)


def test_refused_folders(runs, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "metrics.csv").write_text("precious")
    with pytest.raises(RunFolderError, match="not empty, it may hold another run"):
        chains.run_chain(make_chain(tmp_path / "other"))
    with pytest.raises(RunFolderError, match="is a file"):
        chains.run_chain(make_chain(tmp_path / "other" / "metrics.csv"))
    for name in ("x" * 300, "~no-such-user/chain"):
        with pytest.raises(RunFolderError):
            chains.run_chain(make_chain(name))
    assert not runs.ran and names(tmp_path / "other") == ["metrics.csv"]


def test_two_processes_do_not_run_one_chain(runs, tmp_path):
    chains.run_chain(make_chain(tmp_path / "chain"))
    with open(tmp_path / "chain" / CHAIN_MARK) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(RunFolderError, match="locked by another process; wait for it to finish"):
            chains.run_chain(make_chain(tmp_path / "chain"))
    chains.run_chain(make_chain(tmp_path / "chain"))  # the lock is gone with the file


def test_a_stage_that_is_refused_is_named(runs, tmp_path):
    runs.ends["stage_2"] = SettingsError("transfer_from = 'x': has no config.toml")
    with pytest.raises(SettingsError, match=r"^stage 2: transfer_from = 'x': has no config\.toml$"):
        chains.run_chain(make_chain(tmp_path / "chain"))


def test_a_failed_stage_has_no_energy(runs, tmp_path, capsys):
    runs.ends["stage_1"] = "failed"
    assert chains.run_chain(make_chain(tmp_path / "chain")) == "failed"
    (row,) = summary(tmp_path / "chain")
    assert (row["energy"], row["deviation"], row["stop_reason"]) == ("", "", "failed")
    assert " - " in capsys.readouterr().out.splitlines()[-2]
    assert not Path(tmp_path, "chain", "stage_2").exists()
