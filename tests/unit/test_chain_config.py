"""Chains as TOML: stages override the ones before, and what is wrong is said in one line with the stage's number."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from tf_nqs.commands import train as cli
from tf_nqs.commands.command import read
from tf_nqs.config import SettingsError, preset_names, settings_from
from tf_nqs.config.chain import chain_from, chain_to_toml, is_chain
from tf_nqs.config.load import find_config

COMMON = "n_particles = 2\ninteraction_strength = 5.0\nseed = 3\n"


def write(tmp_path, *stages, common=COMMON):
    path = tmp_path / "chain.toml"
    path.write_text(common + "".join(f"[[stage]]\n{stage}\n" for stage in stages))
    return path


def refusal(path, **overrides):
    with pytest.raises(SettingsError) as caught:
        chain_from(path, overrides, "runs/chain")
    assert str(caught.value).isprintable()
    return str(caught.value)


def test_each_stage_overrides_the_one_before(tmp_path):
    path = write(tmp_path, "iterations = 7", "[stage.system]\nn_particles = 4", "interaction_strength = 10.0")
    chain = chain_from(path, {"n_walkers": 32}, "runs/chain")
    first = {"n_particles": 2, "interaction_strength": 5.0, "seed": 3, "iterations": 7, "n_walkers": 32}
    second = {**first, "n_particles": 4, "transfer_from": "runs/chain/stage_1"}
    third = {**second, "interaction_strength": 10.0, "transfer_from": "runs/chain/stage_2"}
    expected = [
        settings_from(None, {**leaves, "run_dir": f"runs/chain/stage_{number}"})
        for number, leaves in enumerate((first, second, third), start=1)
    ]
    assert chain.run_dir == "runs/chain"
    assert list(chain.stages) == expected


def test_flags_win_over_all_stages_and_name_the_folder(tmp_path):
    path = write(tmp_path, "iterations = 7", "iterations = 8", common=COMMON + "run_dir = 'elsewhere'\n")
    assert chain_from(path, {}, "runs/chain").run_dir == "elsewhere"
    chain = chain_from(path, {"iterations": 9, "run_dir": "here"}, "runs/chain")
    assert [stage.training.iterations for stage in chain.stages] == [9, 9]
    assert [stage.run.run_dir for stage in chain.stages] == ["here/stage_1", "here/stage_2"]


@pytest.mark.parametrize("preset", [name for name in preset_names() if is_chain(name)])
def test_a_chain_written_loads_back_in_any_folder(preset, tmp_path):
    overrides = {"max_seconds": 5.0, "transfer_from": "runs/a2", "quiet": True}
    (tmp_path / "config.toml").write_text(chain_to_toml(chain_from(preset, overrides, "runs/chain")))
    for run_dir in ("runs/chain", "elsewhere"):
        assert chain_from(tmp_path / "config.toml", {}, run_dir) == chain_from(preset, overrides, run_dir)


def test_where_stages_start_from(tmp_path):
    """Common and given values are those of the first stage; a stage may name an earlier one, or a folder."""
    stages = ("iterations = 7", "", "transfer_from = 'stage_1'", "transfer_from = 'runs/a2'", "")
    path = write(tmp_path, *stages, common=COMMON + "transfer_from = 'runs/first'\n")
    sources = [stage.transfer.transfer_from for stage in chain_from(path, {}, "c").stages]
    assert sources == ["runs/first", "c/stage_1", "c/stage_1", "runs/a2", "c/stage_4"]
    (tmp_path / "written.toml").write_text(chain_to_toml(chain_from(path, {}, "c")))
    written = chain_from(tmp_path / "written.toml", {}, "d").stages
    assert [stage.transfer.transfer_from for stage in written] == [name.replace("c/", "d/") for name in sources]
    given = chain_from(path, {"transfer_from": "runs/other"}, "c").stages
    assert [stage.transfer.transfer_from for stage in given] == ["runs/other", *sources[1:]]


def test_what_is_a_chain(tmp_path):
    assert is_chain(write(tmp_path, "iterations = 7"))
    assert is_chain("chain_thesis_frozen") and not is_chain("quickstart")
    with pytest.raises(SettingsError, match=r"is the config of a chain; must be given to train\.py"):
        settings_from("chain_thesis_frozen")


@pytest.mark.parametrize(
    ("stages", "line"),
    [
        (["", "n_partcles = 4"], "stage 2: n_partcles: no such setting, but it is given in"),
        (["", "[stage.sytem]\nn_particles = 4"], "stage 2: [sytem]: no such section in"),
        (["n_walkers = 1"], "stage 1: n_walkers = 1: must be an integer from 2 to"),
        (["", "release_at = 5"], "stage 2: release_at = 5 contradicts freeze_equivariant = false"),
        (["run_dir = 'x'"], "stage 1: run_dir: given in a stage of"),
        (
            ["", "transfer_from = 'stage_2'"],
            "stage 2: transfer_from = 'stage_2': must be an earlier stage, or a folder",
        ),
        (["", "transfer_from = 5"], "stage 2: transfer_from = 5: must be non-empty text without control characters"),
        (["", "n_features = 8"], "stage 2: n_features = 8 contradicts the transfer from stage 1: must be 64, as"),
        (
            ["dtype = 'float64'", "dtype = 'float32'"],
            "stage 2: dtype = float32 contradicts the transfer from stage 1: must be float64, as it is there",
        ),
        (["[[stage.stage]]"], "stage 1: [[stage]]:"),
    ],
)
def test_bad_stages(stages, line, tmp_path):
    assert refusal(write(tmp_path, *stages)).startswith(line)


@pytest.mark.parametrize("text", ["stage = 5", "stage = []", "stage = [5]", "[stage]\nn_particles = 4"])
def test_stages_must_be_tables(text, tmp_path):
    (tmp_path / "chain.toml").write_text(text)
    line = refusal(tmp_path / "chain.toml")
    assert line.startswith("stage: must be one table or more in") and "chain.toml" in line


def test_other_bad_chains(tmp_path):
    assert refusal(write(tmp_path, "iterations = 7", common="")).startswith("stage 1: n_particles: must be given")
    assert refusal(write(tmp_path, "", common="sed = 5\n")).startswith("sed: no such setting")
    assert refusal(write(tmp_path, ""), run_dir="").startswith("run_dir = '': must be non-empty text")
    assert refusal(write(tmp_path, ""), run_dir=5).startswith("run_dir = 5: must be non-empty text")


@pytest.mark.parametrize(("preset", "frozen"), [("chain_thesis_frozen", True), ("chain_thesis_released", False)])
def test_the_chains_of_the_thesis(preset, frozen):
    """(A=2, V0=5) -> (A=4, V0=5), frozen -> (A=4, V0=10), frozen or released."""
    stages = chain_from(preset, {}, "runs/chain").stages
    systems = [(stage.system.n_particles, stage.system.interaction_strength) for stage in stages]
    assert systems == [(2, 5.0), (4, 5.0), (4, 10.0)]
    assert [stage.transfer.freeze_equivariant for stage in stages] == [False, True, frozen]
    assert [stage.transfer.transfer_from for stage in stages] == [None, "runs/chain/stage_1", "runs/chain/stage_2"]
    assert all(stage.system.interaction_range == 0.5 for stage in stages)
    head = find_config(preset).read_text(encoding="utf-8").splitlines()
    assert "# expected energy: <= 10.891422 (" in "\n".join(head)
    command = next(line.removeprefix("# ") for line in head if line.startswith("# python "))
    given = read(cli.COMMAND, shlex.split(command)[1:])
    assert chain_from(given.own["config"], given.settings, "-").stages == stages


def test_stages_of_named_systems(tmp_path):
    """From the harmonic trap to another one."""
    common = COMMON + 'interaction = "harmonic"\n'
    path = write(tmp_path, "trap = true", 'trap = "quartic"\ntrap_quartic = 0.3', common=common)
    stages = chain_from(path, {}, "runs/chain").stages
    assert [stage.system.trap for stage in stages] == ["harmonic", "quartic"]
    assert all(stage.system.interaction == "harmonic" for stage in stages)
    assert refusal(write(tmp_path, "", 'interaction = "none"')).startswith(
        "stage 2: interaction_strength = 5.0 contradicts"
    )


def test_a_home_folder_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    chain = chain_from(write(tmp_path, "", ""), {}, "~/chain")
    assert chain.run_dir == str(Path(tmp_path, "chain"))
    assert chain.stages[1].transfer.transfer_from == str(Path(tmp_path, "chain", "stage_1"))
