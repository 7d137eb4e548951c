"""A family by the command line: its run folder, what is made of its members, a run that starts from one."""

from __future__ import annotations

import csv
import functools
import json

import numpy as np
import pytest

import tf_nqs
from tf_nqs import curve, evaluate, observe
from tf_nqs.analysis import read_metrics
from tf_nqs.analysis.conditions import CONDITION_COLUMNS
from tf_nqs.commands import export
from tf_nqs.commands import train as cli
from tf_nqs.commands.command import main
from tf_nqs.config import load_toml
from tf_nqs.diffusion import diffusion_energy, energy
from tf_nqs.exact import two_particle_energy
from tf_nqs.experiment import diffusion_guide

pytestmark = pytest.mark.slow

SIZES = ("--ansatz=jastrow", "--n_features=4", "--n_pair_features=4", "--n_layers=1", "--n_pair_layers=1")
QUICK = ("--n_burn_in=50", "--nojit_compile", "--quiet")
MEMBER = "--interaction_strength=1.5"


def result_of(folder):
    return json.loads((folder / "result.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def family(tmp_path_factory):
    folder = tmp_path_factory.mktemp("family") / "run"
    family = ("--n_particles=2", "--interaction_strength=-3:5", "--n_conditions=3", "--walkers_per_condition=8")
    assert cli.main(["train.py", *family, *SIZES, *QUICK, "--iterations=110", f"--run_dir={folder}"]) == 0
    return folder


def test_the_run_folder_of_a_family(family):
    settings = load_toml(family / "config.toml")
    assert settings.is_family and settings.sampling.n_walkers == 24
    assert len(read_metrics(family / "metrics.csv")["energy"]) == 110
    header, *rows = csv.reader((family / "conditions.csv").read_text(encoding="utf-8").splitlines())
    assert tuple(header) == CONDITION_COLUMNS and [row[0] for row in rows] == ["100"] * 3
    result = result_of(family)
    assert (result["energy"], result["reference_energy"], result["converged"]) == (None, None, None)
    assert result["stop_reason"] == "iterations" and result["seconds_training"] > 0
    strengths = [member["interaction_strength"] for member in result["members"]]
    # A third of the range, which is longer by a twentieth at each end, for each.
    assert np.all(np.floor((np.array(strengths) + 3.4) / 8.8 * 3) == [0, 1, 2])
    assert (family / "energy.png").is_file() and (family / "ansatz.weights.h5").is_file()


def test_a_member_is_measured_in_files_of_its_own(family):
    before = (family / "result.json").read_bytes()
    for command in (evaluate.COMMAND, observe.COMMAND):
        assert main(command, ["", f"--run_dir={family}", MEMBER, "--evaluation_max_seconds=3", "--quiet"]) == 0
    evaluation = json.loads((family / "evaluation_A2_V1.5_s0.5.json").read_text(encoding="utf-8"))
    assert evaluation["reference_kind"] == "relative_coordinate" and "members" not in evaluation
    assert abs(evaluation["energy"] - evaluation["reference_energy"]) < 0.2  # after a training that is this short
    with np.load(family / "observables_A2_V1.5_s0.5.npz") as file:
        assert "exact_density" in file.files
    assert (family / "observables_A2_V1.5_s0.5" / "density.png").is_file()
    assert not (family / "evaluation.json").exists() and (family / "result.json").read_bytes() == before


def test_a_curve_has_references_by_diffusion(family, capsys, monkeypatch):
    """Each guided by its member, from the samples that its energy was measured by."""
    monkeypatch.setattr(diffusion_guide, "diffusion_energy", functools.partial(diffusion_energy, time_steps=(0.2, 0.1)))
    monkeypatch.setattr(energy, "_SHORTEST", 24.0)
    command = ["", f"--run_dir={family}", "--interaction_strength=-2:4:2", "--reference=diffusion"]
    command += ["--target_error=0.05", "--evaluation_max_seconds=100"]
    assert main(curve.COMMAND, command) == 0
    assert capsys.readouterr().out.count("diffusion for A2_V") == 2
    with (family / "curve.csv").open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    for row, strength in zip(rows, (-2.0, 4.0), strict=True):
        exact, _ = two_particle_energy(strength, 0.5)
        assert row["reference_kind"] == "diffusion" and float(row["reference_uncertainty"]) < 0.05
        assert abs(float(row["reference_energy"]) - exact) < 4 * float(row["reference_uncertainty"])
    before = (family / "curve.csv").read_bytes()
    assert main(curve.COMMAND, command) == 0
    assert "diffusion for" not in capsys.readouterr().out and (family / "curve.csv").read_bytes() == before


def test_a_member_is_exported(family, tmp_path):
    output = tmp_path / "exported"
    assert main(export.COMMAND, ["", f"--run_dir={family}", MEMBER, f"--output={output}"]) == 0
    assert (output / "1" / "saved_model.pb").is_file()


def test_a_run_starts_from_the_member_of_its_system(family, tmp_path):
    start = (f"--transfer_from={family}", "--n_particles=2", MEMBER, "--n_walkers=64", "--iterations=1")
    folder = tmp_path / "run"
    assert cli.main(["train.py", *start, *SIZES, *QUICK, "--evaluation_max_seconds=2", f"--run_dir={folder}"]) == 0
    transfer = result_of(folder)["transfer"]
    assert (transfer["kind"], transfer["drawn"], transfer["walkers"]) == ("family", {}, "new, burnt in")
    # One step from the member's own energy: that of random weights is off by far more.
    after_one = read_metrics(folder / "metrics.csv")["energy"][0]
    member = tf_nqs.load(family).at(interaction_strength=1.5)
    trainer = tf_nqs.VariationalMonteCarlo(member.ansatz, member.system, tf_nqs.MetropolisHastings(n_walkers=64))
    trainer.compile("sgd", jit_compile=False)
    measured = trainer.evaluate_energy(target_error=0.05, max_seconds=3, relations=False)
    assert abs(after_one - measured.energy) < 0.3
