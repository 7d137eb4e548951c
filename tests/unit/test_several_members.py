"""Several members of a family at once: which flags pick them, and what is refused before anything is measured."""

from __future__ import annotations

import pytest

from tf_nqs import observe
from tf_nqs.commands import several_members
from tf_nqs.commands.command import main, read
from tf_nqs.commands.several_members import request_of
from tf_nqs.config import settings_from, to_toml

FAMILY = {"n_particles": [2, 3, 4], "interaction_strength": [-20.0, 20.0], "interaction_range": [0.25, 1.0]}


def folder_of(path, **settings):
    path.mkdir()
    text = to_toml(settings_from(None, {"ansatz": "jastrow"} | settings).filled())
    (path / "config.toml").write_text(text, encoding="utf-8")
    (path / "ansatz.weights.h5").touch()
    return path


@pytest.fixture
def family(tmp_path):
    return folder_of(tmp_path / "family", **FAMILY)


def asked(folder, *flags):
    return request_of(read(observe.COMMAND, ["", f"--run_dir={folder}", *flags]))


@pytest.mark.parametrize(
    ("flags", "labels", "picture"),
    [
        (
            ("--n_particles=4", "--interaction_strength=10,-10,0", "--interaction_range=0.5"),
            ["A4_V-10_s0.5", "A4_V0_s0.5", "A4_V10_s0.5"],
            "observables_A4_V-10to10_s0.5.png",
        ),
        (
            ("--n_particles=2", "--interaction_strength=-20:20:3", "--interaction_range=1", "--format=pdf"),
            ["A2_V-20_s1", "A2_V0_s1", "A2_V20_s1"],
            "observables_A2_V-20to20_s1.pdf",
        ),
        (
            ("--n_particles=4,2", "--interaction_strength=5", "--interaction_range=0.25:0.75:2"),
            ["A2_V5_s0.25", "A2_V5_s0.75", "A4_V5_s0.25", "A4_V5_s0.75"],
            "observables_A2to4_V5_s0.25to0.75.png",
        ),
        (
            ("--n_particles=3", "--interaction_strength=0,25", "--interaction_range=0.5", "--extrapolate"),
            ["A3_V0_s0.5", "A3_V25_s0.5"],
            "observables_A3_V0to25_s0.5.png",
        ),
    ],
)
def test_lists_and_ranges_pick_members_in_order(family, flags, labels, picture):
    request = asked(family, *flags)
    assert [one.member.label for one in request.requests] == labels
    assert [one.folder.observables.name for one in request.requests] == [f"observables_{one}.npz" for one in labels]
    assert request.picture == family / picture


def test_one_member_is_measured_as_before(family, monkeypatch):
    done = []
    monkeypatch.setattr(several_members.startup, "call_with_tensorflow", lambda *given, **named: done.append(given))
    flags = ["", f"--run_dir={family}", "--n_particles=2", "--interaction_range=0.5"]
    for strength in ("5", "5,6", "1:2:2"):
        assert main(observe.COMMAND, [*flags, f"--interaction_strength={strength}"]) == 0
    assert [target.rpartition(":")[2] for target, _ in done] == ["observe_run", "observe_members", "observe_members"]
    assert done[0][1].member.values["interaction_strength"] == 5


STRENGTHS = "must be a finite number, or a list such as -10,0,10, or low:high:number of points, as -20:20:5"
A4 = ("--n_particles=4", "--interaction_range=0.5")


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        ((*A4, "--interaction_strength=1,1"), f"interaction_strength = '1,1': {STRENGTHS}"),
        ((*A4, "--interaction_strength=1,,2"), f"interaction_strength = '1,,2': {STRENGTHS}"),
        ((*A4, "--interaction_strength=5:1:3"), f"interaction_strength = '5:1:3': {STRENGTHS}"),
        ((*A4, "--interaction_strength=0,nan"), f"interaction_strength = '0,nan': {STRENGTHS}"),
        (
            (*A4, "--interaction_strength=0,25"),
            "interaction_strength = 25.0: was not trained; must be from -20 to 20, or be asked for with --extrapolate "
            "or extrapolate=True",
        ),
        (("--interaction_strength=0,1", "--interaction_range=0.5"), "n_particles: must be given; one of 2, 3, 4"),
        (
            ("--n_particles=2,5", "--interaction_strength=1", "--interaction_range=0.5"),
            "n_particles = 5: was not trained; must be one of 2, 3, 4, or be asked for with --extrapolate or "
            "extrapolate=True",
        ),
        (
            ("--n_particles=2", "--interaction_strength=1,2", "--interaction_range=0.5,0.6"),
            "interaction_strength and interaction_range: only one of them may vary in a picture; the other is one "
            "number",
        ),
    ],
)
def test_members_that_there_are_not(family, flags, line, tmp_path, capsys):
    before = sorted(tmp_path.rglob("*"))
    assert main(observe.COMMAND, ["", f"--run_dir={family}", *flags]) == 2
    assert capsys.readouterr() == ("", f"error: {line}\n")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("text", ["2:4:3", "2,2", "2,x", "0,2", "2,2.5"])
def test_numbers_of_particles_are_a_list(family, text, capsys):
    flags = (f"--n_particles={text}", "--interaction_strength=1", "--interaction_range=0.5")
    assert main(observe.COMMAND, ["", f"--run_dir={family}", *flags]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: n_particles = '{text}': must be an integer") and "a list such as 2,3,4" in error


def test_a_single_system_has_no_members(tmp_path, capsys):
    single = folder_of(tmp_path / "single", n_particles=4, interaction_strength=5.0)
    assert main(observe.COMMAND, ["", f"--run_dir={single}", "--interaction_strength=0,5"]) == 2
    assert "interaction_strength = 0.0: has no meaning for" in capsys.readouterr().err


def test_a_member_whose_files_cannot_be_written(family, capsys):
    (family / "observables_A4_V1_s0.5").touch()
    assert main(observe.COMMAND, ["", f"--run_dir={family}", *A4, "--interaction_strength=0,1"]) == 2
    assert "observables_A4_V1_s0.5 is a file, but must be a folder" in capsys.readouterr().err
