"""Each interaction and each trap that has a name, by the command line: a run of it, measured again and observed."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from tf_nqs import evaluate, observe
from tf_nqs.analysis import read_metrics
from tf_nqs.commands import train as cli
from tf_nqs.commands.command import main
from tf_nqs.config import load_toml, settings_from
from tf_nqs.exact import bound_pair_energy, two_particle_energy
from tf_nqs.experiment.build import find_reference
from tf_nqs.named_systems import INTERACTIONS, TRAPS

STRENGTHS = {"gaussian": -10.0, "harmonic": 0.2, "coth": 0.3, "calogero": 2.0, "soft_coulomb": -2.0, "none": 0.0}
"""Of each interaction: attractive where a pair needs that to be bound without a trap."""

KNOWN = {
    ("gaussian", "harmonic"): ("relative_coordinate", two_particle_energy(-10.0, 0.5)[0]),
    ("gaussian", "none"): ("relative_coordinate", bound_pair_energy(-10.0, 0.5)[0]),
    ("harmonic", "harmonic"): ("closed_form", 0.5 + 1.5 * math.sqrt(1.4)),
    ("coth", "harmonic"): ("closed_form", 1.0 - 0.3**2),
    ("calogero", "harmonic"): ("closed_form", 3.0),
    ("none", "harmonic"): ("free_fermions", 2.0),
}
"""Interaction and trap of two particles -> kind and energy of the reference; all others have none."""

TRAINED = [
    ("calogero", "harmonic"),
    ("soft_coulomb", "quartic"),
    pytest.param("gaussian", "double_well", marks=pytest.mark.slow),
    pytest.param("harmonic", "none", marks=pytest.mark.slow),
    pytest.param("coth", "harmonic", marks=pytest.mark.slow),
    pytest.param("none", "harmonic", marks=pytest.mark.slow),
]
"""Each name once: a run takes five seconds, nearly all of which is tracing."""

QUICK = (
    *("--n_features=4", "--n_layers=1", "--n_pair_features=4", "--n_pair_layers=1", "--n_walkers=32", "--n_steps=2"),
    *("--n_burn_in=10", "--iterations=2", "--iterations_per_call=2", "--nojit_compile", "--evaluation_max_seconds=0.1"),
    "--optimizer=adam",  # its derivatives take less time to trace
)


def flags_of(interaction, trap):
    """Flags of a system of two particles that is bound."""
    flags = ["--n_particles=2", f"--interaction={interaction}", f"--trap={trap}"]
    if interaction != "none":
        flags.append(f"--interaction_strength={STRENGTHS[interaction]}")
    needs_stiffness = trap == "none" and interaction in ("coth", "calogero", "none")
    return [*flags, "--pair_stiffness=0.5"] if needs_stiffness else flags


@pytest.fixture(scope="module")
def run_of(tmp_path_factory):
    """Interaction and trap -> folder of a run of two iterations."""
    folders = {}

    def run(*names):
        if names not in folders:
            folders[names] = tmp_path_factory.mktemp("named") / "_".join(names)
            flags = [*flags_of(*names), "--ansatz=jastrow", *QUICK, f"--run_dir={folders[names]}"]
            assert cli.main(["train.py", *flags]) == 0
        return folders[names]

    return run


def check_reference(found, names):
    """A result has the reference that is known, with the deviation from it, or says that there is none."""
    kind, energy = KNOWN.get(names, ("none", None))
    assert found["reference_kind"] == kind
    if energy is None:
        assert (found["reference_energy"], found["deviation_in_sigma"]) == (None, None)
    else:
        assert found["reference_energy"] == pytest.approx(energy, abs=1e-9)


@pytest.mark.parametrize(("interaction", "trap"), TRAINED)
def test_a_run(interaction, trap, run_of, capsys):
    names = interaction, trap
    folder = run_of(*names)
    printed = capsys.readouterr().out
    _, energy = KNOWN.get(names, ("none", None))
    line = "no exact reference for this system" if energy is None else f"reference energy {energy:.6f} ("
    assert line in printed
    system = load_toml(folder / "config.toml").system
    assert (system.interaction, system.trap) == names
    metrics, result = read_metrics(folder / "metrics.csv"), json.loads((folder / "result.json").read_text())
    assert list(metrics["iteration"]) == [1, 2] and np.isfinite(metrics["energy"]).all()
    assert result["energy"] == pytest.approx(sum(result[part] for part in ("kinetic", "trap", "interaction")), rel=1e-5)
    check_reference(result, names)
    files = {"ansatz.weights.h5", "walkers.npz", "energy.png", "checkpoints", "tensorboard"}
    assert files <= {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("names", [("calogero", "harmonic"), ("soft_coulomb", "quartic")], ids="-".join)
def test_a_run_is_measured_again(names, run_of, capsys):
    """With a reference and without."""
    folder = run_of(*names)
    capsys.readouterr()
    quick = [f"--run_dir={folder}", "--evaluation_max_seconds=0.1"]
    assert main(evaluate.COMMAND, ["", *quick, "--target_error=1"]) == 0
    printed = capsys.readouterr().out
    words = "(closed form, exact)" if names in KNOWN else "Reference none"
    assert words in " ".join(printed.replace("│", " ").split())
    found = json.loads((folder / "evaluation.json").read_text())
    check_reference(found, names)


def test_a_run_is_observed(run_of):
    folder = run_of("calogero", "harmonic")
    assert main(observe.COMMAND, ["", f"--run_dir={folder}", "--evaluation_max_seconds=0.1", "--quiet"]) == 0
    with np.load(folder / "observables.npz") as file:
        assert (file["x"][1] - file["x"][0]) * file["density"].sum() == pytest.approx(2)
        assert file["occupations"].sum() + file["occupations_left_out"] == pytest.approx(2, abs=1e-3)
        assert "exact_density" not in file.files


@pytest.mark.parametrize("trap", TRAPS)
@pytest.mark.parametrize("interaction", INTERACTIONS)
def test_the_reference_of_each_interaction_in_each_trap(interaction, trap):
    values = dict(flag.removeprefix("--").split("=") for flag in flags_of(interaction, trap))
    numbers = {name: float(values[name]) for name in ("interaction_strength", "pair_stiffness") if name in values}
    settings = settings_from(None, {**values, "n_particles": 2, **numbers, "ansatz": "jastrow"})
    found = find_reference(settings)
    kind, energy = KNOWN.get((interaction, trap), ("none", None))
    assert (found.kind, found.energy) == (kind, energy if energy is None else pytest.approx(energy, abs=1e-9))
