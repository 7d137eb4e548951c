"""Transfer from the command line: a chain of real runs, resumed, and single runs with its flags."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

import tf_nqs
from tf_nqs.analysis import read_metrics
from tf_nqs.commands import train as cli
from tf_nqs.experiment import run as experiment
from tf_nqs.studies import chain as chains

SMALL = """
n_particles = 2
interaction_strength = 5.0
n_features = 4
n_layers = 1
n_walkers = 32
n_steps = 2
n_burn_in = 10
iterations = 6
iterations_per_call = 4
pretrain_iterations = 0
optimizer = "adam"
learning_rate = 0.01
reference_max_seconds = 0.0
target_error = 1.0
evaluation_max_seconds = 0.2
jit_compile = false
quiet = true
"""

CHAIN = SMALL + (
    "[[stage]]\n[[stage]]\nn_particles = 3\nfreeze_equivariant = true\nrelease_at = 4\n"
    "[[stage]]\ninteraction_strength = 10.0\nrelease_at = 0\n"
)


def train(folder, config, *flags):
    path = folder / "config.toml"
    path.write_text(config)
    return cli.main(["train.py", f"--config={path}", *flags])


def equivariant(run_dir):
    return [w.numpy() for layer in tf_nqs.load(run_dir).ansatz.equivariant_layers for w in layer.weights]


def result_of(run_dir):
    return json.loads((run_dir / "result.json").read_text())


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    """The folder of a chain that was interrupted before its last stage began to train, and resumed.

    Its stages run in this process, which is faster; `test_chain.py` has a chain with processes of their own.
    """
    folder = tmp_path_factory.mktemp("transfer")
    find, patch, in_process = experiment.find_reference, pytest.MonkeyPatch(), pytest.MonkeyPatch()

    def interrupting(settings):
        if settings.system.interaction_strength == 10.0:
            patch.undo()
            raise KeyboardInterrupt
        return find(settings)

    patch.setattr(experiment, "find_reference", interrupting)
    in_process.setattr(chains, "run_in_subprocess", lambda settings, resume, **_: experiment.run(settings, (), resume))
    assert train(folder, CHAIN, f"--run_dir={folder / 'chain'}") == 130
    finished = (folder / "chain" / "stage_2" / "result.json").read_bytes()
    assert not (folder / "chain" / "stage_3").exists()
    assert cli.main(["train.py", f"--run_dir={folder / 'chain'}", "--resume"]) == 0
    in_process.undo()
    assert (folder / "chain" / "stage_2" / "result.json").read_bytes() == finished
    return folder / "chain"


def test_the_chain_is_complete(chain):
    names = {path.name for path in chain.iterdir() if not path.name.startswith(".")}
    assert names == {"config.toml", "stage_1", "stage_2", "stage_3", "summary.csv"}
    with open(chain / "summary.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    # 3 H + H A + 2 A, of which 3 H = 12 belong to the one equivariant layer.
    counts = [(row["n_parameters"], row["n_trainable_parameters"], row["released_iteration"]) for row in rows]
    assert counts == [("24", "24", ""), ("30", "30", "4"), ("30", "18", "")]
    assert [row["stop_reason"] for row in rows] == ["iterations"] * 3


def test_what_each_stage_took_from_the_one_before(chain):
    reports = [result_of(chain / f"stage_{number}")["transfer"] for number in (1, 2, 3)]
    assert reports[0] is None
    assert (reports[1]["kind"], reports[1]["walkers"]) == ("particle", "new, burnt in")
    assert reports[1]["frozen"] == reports[1]["copied"] and sum(reports[1]["copied"].values()) == 12
    assert (reports[2]["kind"], reports[2]["walkers"]) == ("interaction", "carried over")
    assert sum(reports[2]["copied"].values()) == 30 and sum(reports[2]["frozen"].values()) == 12
    one, two, three = (equivariant(chain / f"stage_{number}") for number in (1, 2, 3))
    assert not any(np.array_equal(old, new) for old, new in zip(one, two, strict=True))  # released at 4 of 6
    assert all(np.array_equal(old, new) for old, new in zip(two, three, strict=True))  # frozen throughout


def test_another_config_is_refused_with_what_differs(chain, tmp_path, capsys):
    before = (chain / "config.toml").read_bytes()
    other = CHAIN.replace("learning_rate = 0.01", "learning_rate = 0.02")
    assert train(tmp_path, other, f"--run_dir={chain}", "--resume") == 2
    assert "was run with learning_rate = 0.01, not 0.02; the chain must be as it was" in capsys.readouterr().err
    assert (chain / "config.toml").read_bytes() == before


def test_walkers_go_on_where_they_stopped(chain):
    """The first iteration of stage 3 moves them with the width that stage 2 ended with."""
    with np.load(chain / "stage_2" / "walkers.npz", allow_pickle=False) as file:
        assert file["positions"].shape == (32, 3)
        width = float(file["proposal_width"])
    assert read_metrics(chain / "stage_3" / "metrics.csv")["proposal_width"][0] == width
    assert read_metrics(chain / "stage_2" / "metrics.csv")["proposal_width"][-1] != width  # adapted once more


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (["--n_features=8"], "has n_features = 4, the ansatz n_features = 8; must be equal"),
        (["--n_layers=2"], "has n_layers = 1, the ansatz n_layers = 2; must be equal"),
    ],
)
def test_what_cannot_be_transferred_is_bad_input(chain, flags, line, tmp_path, capsys):
    """One line, status 2, and the folder can be used again."""
    flags = [*flags, f"--transfer_from={chain / 'stage_1'}", f"--run_dir={tmp_path / 'run'}"]
    assert train(tmp_path, SMALL, *flags) == 2
    assert capsys.readouterr().err == f"error: transfer_from = '{chain / 'stage_1'}': {line}\n"
    assert not (tmp_path / "run").exists()


def test_a_bad_stage_is_bad_input(tmp_path, capsys):
    assert train(tmp_path, CHAIN + "n_walker = 5\n", f"--run_dir={tmp_path / 'chain'}") == 2
    error = capsys.readouterr().err
    assert error.startswith("error: stage 3: n_walker: no such setting") and error.count("\n") == 1
    assert not (tmp_path / "chain").exists()
