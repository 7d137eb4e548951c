"""One member of a family's run: which flags pick it, what its files are called, and runs that start from it."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from tf_nqs import curve, diffuse, evaluate, observe
from tf_nqs.commands import curve_flags, export, opened_run
from tf_nqs.commands.command import main, read
from tf_nqs.commands.finished_run import Request
from tf_nqs.commands.member_flags import member_of
from tf_nqs.commands.several_members import _SPELLED
from tf_nqs.config import SettingsError, settings_from, to_toml
from tf_nqs.config.members import member_label
from tf_nqs.experiment import transfer
from tf_nqs.experiment.build import Run, build_ansatz, build_system
from tf_nqs.experiment.members import MemberTrainers, wave_functions_of_members
from tf_nqs.experiment.preflight import open_run, source_of, with_units_of_source
from tf_nqs.storage.outdated import put_away_results
from tf_nqs.storage.run_folder import RunFolder

FAMILY = {"n_particles": [2, 4], "interaction_strength": [-20.0, 20.0], "interaction_range": [0.25, 1.0]}
COMMANDS = {"evaluate": evaluate.COMMAND, "observe": observe.COMMAND, "export": export.COMMAND}


def folder_of(path, **settings):
    path.mkdir()
    text = to_toml(settings_from(None, {"ansatz": "jastrow"} | settings).filled())
    (path / "config.toml").write_text(text, encoding="utf-8")
    (path / "ansatz.weights.h5").touch()
    return RunFolder.finished(path)


@pytest.fixture
def family(tmp_path):
    return folder_of(tmp_path / "family", **FAMILY)


@pytest.fixture
def single(tmp_path):
    return folder_of(tmp_path / "single", n_particles=4, interaction_strength=5.0)


def picked(folder, *flags):
    return member_of(folder, read(evaluate.COMMAND, ["", f"--run_dir={folder}", *flags]))


A4 = ("--n_particles=4", "--interaction_strength=7.3", "--interaction_range=0.5")


def test_flags_pick_a_member(family, single):
    assert picked(single) is None
    found = picked(family, *A4)
    assert found.label == "A4_V7.3_s0.5"
    assert found.values == {
        "n_particles": 4,
        "interaction_strength": 7.3,
        "interaction_range": 0.5,
        "extrapolate": False,
    }
    far = picked(family, "--n_particles=2", "--interaction_strength=25", "--interaction_range=0.5", "--extrapolate")
    assert (far.label, far.values["extrapolate"]) == ("A2_V25_s0.5", True)
    assert picked(family, "--n_particles=3", *A4[1:], "--extrapolate").label == "A3_V7.3_s0.5"


@pytest.mark.parametrize(
    ("system", "label"),
    [
        ({"interaction_strength": -0.0}, "A4_V0_s0.5"),
        ({"interaction_strength": -1e-5, "interaction_range": 0.1}, "A4_V-1e-05_s0.1"),
        ({"interaction": "coth", "interaction_strength": 1 / 3}, "A4_V0.3333333333333333"),
    ],
)
def test_labels_tell_members_apart(system, label):
    assert member_label(settings_from(None, {"n_particles": 4} | system).system) == label


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        ((), "n_particles: must be given; one of 2, 4"),
        (A4[:1], "interaction_strength: must be given; from -20 to 20"),
        (
            ("--n_particles=3", *A4[1:]),
            "n_particles = 3: was not trained; must be one of 2, 4, or be asked for with --extrapolate or "
            "extrapolate=True",
        ),
        (
            (*A4[:2], "--interaction_range=2"),
            "interaction_range = 2.0: was not trained; must be from 0.25 to 1, or be asked for with --extrapolate or "
            "extrapolate=True",
        ),
        (("--interaction_strength=-20:20",), "interaction_strength = '-20:20': must be a finite number{several}"),
    ],
)
@pytest.mark.parametrize("command", COMMANDS)
def test_members_that_there_are_not(command, flags, line, family, tmp_path, capsys):
    if command == "export" and not flags:
        return  # of the whole family, see below
    before = sorted(tmp_path.rglob("*"))
    output = [f"--output={tmp_path / 'exported'}"] if command == "export" else []
    assert main(COMMANDS[command], ["", f"--run_dir={family}", *output, *flags]) == 2
    line = line.format(several=f", {_SPELLED['interaction_strength']}" if command == "observe" else "")
    assert capsys.readouterr() == ("", f"error: {line}\n")
    assert sorted(tmp_path.rglob("*")) == before


def test_the_memory_of_a_curve_is_that_of_the_most_particles(family, monkeypatch):
    checked = []
    monkeypatch.setattr(curve_flags, "check_measurement", checked.append)
    flags = [f"--run_dir={family}", "--n_particles=4,2", "--interaction_strength=1", "--interaction_range=0.5"]
    curve_flags.request_of(read(curve.COMMAND, ["", *flags]))
    assert [settings.system.n_particles for settings in checked] == [4]


def test_without_a_member_all_of_the_family_is_exported(family, tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(export.startup, "call_with_tensorflow", lambda *arguments: calls.append(arguments[1:]))
    flags = ["", f"--run_dir={family}", f"--output={tmp_path / 'exported'}"]
    for given in ([], ["--extrapolate"], list(A4)):
        assert main(export.COMMAND, [*flags, *given]) == 0
    assert [(call[3] and call[3].label, call[4]) for call in calls] == [
        (None, False),
        (None, True),
        ("A4_V7.3_s0.5", False),
    ]


def test_a_single_system_has_no_members(single, family, capsys):
    assert main(observe.COMMAND, ["", f"--run_dir={single}", "--interaction_strength=5"]) == 2
    line = (
        f"error: interaction_strength = 5.0: has no meaning for {single}, the run of a single system; must be left out"
    )
    assert capsys.readouterr().err == f"{line}\n"
    assert main(diffuse.COMMAND, ["", f"--run_dir={family}"]) == 2
    assert "holds a family of systems; must be the folder of a run of one system" in capsys.readouterr().err


def test_a_member_is_opened_with_its_own_settings(family, monkeypatch):
    asked = []

    def at(**values):
        asked.append(values)
        return SimpleNamespace(system="system", ansatz="ansatz")

    monkeypatch.setattr(opened_run.builders, "read_run", lambda folder: SimpleNamespace(at=at))
    monkeypatch.setattr(
        opened_run.builders, "build_trainer", lambda settings, system, ansatz: (settings, system, ansatz)
    )
    member = picked(family, *A4)
    run = opened_run.open_run(Request(family, {"seed": 3}, {}, member))
    assert asked == [member.values] and run.vmc == (run.settings, "system", "ansatz")
    assert (run.settings.run.seed, run.settings.is_family, run.settings.ansatz.pair_length) == (3, False, 1.0)
    assert run.title() == "A = 4, V0 = 7.3, sigma0 = 0.5"


def test_files_of_a_member_are_its_own_and_are_put_away_too(family):
    one, other = family.of_member("A4_V7.3_s0.5"), family.of_member("A4_V8_s0.5")
    files = [one.evaluation, one.observables, one.observable_plots, other.evaluation, family.evaluation]
    assert len(set(files)) == len(files) and all(file.parent == family.path for file in files)
    assert one.config == family.config and one.settings == family.settings
    for file in files:
        file.mkdir() if file == one.observable_plots else file.touch()
    put_away_results(family)
    assert not any(file.exists() for file in files)
    assert {file.name for file in (family.path / "earlier_results").iterdir()} == {file.name for file in files}


# --- runs that start from a member ------------------------------------------------------------------------------


def start(source, **settings):
    wanted = {"n_particles": 4, "interaction_strength": 7.3, "ansatz": "jastrow", "transfer_from": str(source)}
    return settings_from(None, wanted | settings)


def test_a_run_starts_from_the_member_of_its_system(family, single):
    settings = start(family, interaction_range=0.3)
    values = {"n_particles": 4, "interaction_strength": 7.3, "interaction_range": 0.3, "extrapolate": True}
    assert source_of(settings)[1] == values
    assert with_units_of_source(settings).ansatz.pair_length == 1.0  # the family's, not twice 0.3
    assert with_units_of_source(start(family, pair_length=0.7)).ansatz.pair_length == 0.7
    assert source_of(start(family, interaction_strength=25.0))[1]["interaction_strength"] == 25.0
    assert source_of(start(single))[1] is None and with_units_of_source(start(single)) == start(single)
    assert source_of(start(family, **FAMILY))[1] is None


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"n_particles": 3}, r"n_particles = 3: was not trained; must be one of 2, 4$"),
        ({"trap": "quartic"}, r"is a family with trap = 'harmonic', the run has 'quartic'; must be the same$"),
        ({"ansatz": "slater"}, r"has ansatz = jastrow, the run ansatz = slater; must be the same$"),
    ],
)
def test_a_run_that_the_family_does_not_fit_is_refused(settings, line, family, tmp_path):
    with pytest.raises(SettingsError, match=rf"^transfer_from = '.*family': {line}"):
        open_run(start(family, run_dir=str(tmp_path / "new"), **settings), resume=False)
    assert not (tmp_path / "new").exists()


def test_a_family_does_not_start_from_a_single_system(single, tmp_path):
    with pytest.raises(SettingsError, match=r"is the run of a single system, .*; must be that of a family$"):
        open_run(start(single, run_dir=str(tmp_path / "new"), **FAMILY), resume=False)


def test_the_weights_of_the_member_are_copied(family, monkeypatch):
    from tf_nqs.ansatz import JastrowAnsatz

    sizes = {"n_features": 2, "n_layers": 1, "n_pair_features": 2, "n_pair_layers": 1}
    of_member, new = JastrowAnsatz(4, length=1.0, **sizes), JastrowAnsatz(4, length=0.6, **sizes)
    run = SimpleNamespace(
        at=lambda **values: SimpleNamespace(ansatz=of_member) if values == {"n_particles": 4} else None
    )
    monkeypatch.setattr(transfer, "read_run", lambda folder: run)
    report = transfer.transfer_from(str(family), new, member={"n_particles": 4})
    assert report.kind == "family" and not report.drawn
    assert all((one == other).all() for one, other in zip(new.get_weights(), of_member.get_weights(), strict=True))


# --- trainers of members ----------------------------------------------------------------------------------------


def test_a_member_that_needs_near_pairs_has_a_trainer_of_its_own():
    """Its interaction is out of the family's range; the samples of the trainer before would hardly ever see it."""
    sizes = {"n_features": 2, "n_layers": 1, "n_pair_features": 2, "n_pair_layers": 1}
    systems = {"n_particles": 2, "interaction_strength": [-5.0, 20.0]}
    settings = settings_from(None, systems | sizes | {"ansatz": "jastrow", "jit_compile": False})
    trainers = MemberTrainers(Run(build_system(settings), build_ansatz(settings), settings))
    wide = trainers.at(2, 5.0, 0.5)
    assert wide.zone is None and trainers.at(2, 6.0, 0.5) is wide
    narrow = trainers.at(2, 6.0, 0.003)
    assert narrow.zone is not None and narrow is not wide
    assert (narrow.system.interaction_strength, narrow.system.interaction_range) == (6.0, 0.003)
    assert trainers.at(2, 5.0, 0.5).zone is None


@pytest.mark.parametrize("ansatz", ["slater", "jastrow"])
def test_members_share_a_wave_function(ansatz):
    settings = settings_from(None, {"ansatz": ansatz, "dtype": "float64"} | FAMILY)
    run, random = Run(build_system(settings), build_ansatz(settings), settings), np.random.default_rng(3)
    run.ansatz.set_weights([one + 0.1 * random.standard_normal(one.shape) for one in run.ansatz.get_weights()])
    at = wave_functions_of_members(run)
    for place in ((2, -3.0, 0.3), (4, 7.0, 1.0), (4, 7.0, 0.5), (4, 25.0, 0.5)):
        positions = random.standard_normal((5, place[0]))
        found, expected = at(*place[1:])(positions), run.at(*place, extrapolate=True).ansatz(positions)
        np.testing.assert_allclose(found, expected, rtol=1e-10)
