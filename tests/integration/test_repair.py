"""A training that no repair helps: it ends clearly, with its last good state in a checkpoint, and can be resumed."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from tf_nqs.callbacks import WeightsCheckpoint
from tf_nqs.commands import train as cli
from tf_nqs.experiment import fit as experiment
from tf_nqs.storage.checkpoints import newest_checkpoint

pytestmark = pytest.mark.slow
"""Each step of it is a default test of its own, on a trainer alone."""

SMALL = {
    "n_particles": 2,
    "interaction_strength": 10.0,
    "n_features": 4,
    "n_layers": 1,
    "n_walkers": 32,
    "n_steps": 2,
    "n_burn_in": 20,
    "iterations": 40,
    "iterations_per_call": 5,
    "pretrain_iterations": 3,
    "target_error": 0.5,
    "jit_compile": "false",  # these runs are shorter than their compilation
}


class Poison(WeightsCheckpoint):
    """Makes a weight NaN after every call from iteration 10 on."""

    def on_iterations(self, rows):
        if rows["iteration"][-1] >= 10 and not self.model.stop_training:
            bias = self.model.ansatz.orbital_layer.bias
            bias.assign(np.nan * bias)


@pytest.fixture(scope="module")
def failed(tmp_path_factory):
    """The folder of such a run, its exit status and what it printed."""
    folder = tmp_path_factory.mktemp("repair") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(experiment, "WeightsCheckpoint", Poison)
        lines: list[str] = []
        patch.setattr("builtins.print", lambda *texts, **_: lines.extend(" ".join(map(str, texts)).splitlines()))
        given = [f"--{name}={value}" for name, value in (SMALL | {"max_repairs": 2}).items()]
        status = cli.main(["train.py", *given, f"--run_dir={folder}"])
    return folder, status, lines


def test_it_ends_with_status_3_one_line_and_a_result_of_the_last_good_state(failed):
    folder, status, lines = failed
    assert status == 3
    assert "error: training failed, stop_explanation in result.json says why" in lines
    assert len([line for line in lines if line.startswith("repair ")]) == 2
    result = json.loads((folder / "result.json").read_text())
    assert result["stop_explanation"] in lines
    assert (
        "all repairs (max_repairs = 2) are used up; back to the state after iteration 5" in result["stop_explanation"]
    )
    assert (result["stop_reason"], result["n_repairs"], result["n_iterations"]) == ("failed", 2, 25)
    assert result["energy"] is not None
    assert any("Faults" in line and "2 rollbacks" in line for line in lines)
    with open(folder / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["iteration"]) for row in rows] == list(range(1, 26))
    assert [row["energy"] == "nan" for row in rows] == 10 * [False] + 15 * [True]


def test_a_checkpoint_holds_the_last_good_state(failed):
    folder, _, _ = failed
    facts = newest_checkpoint(folder / "checkpoints", pytest.fail).facts
    assert (facts["iteration"], facts["stop_reason"]) == (25, None)


def test_it_is_resumed_with_more_repairs(failed, capsys):
    folder, _, _ = failed
    assert cli.main(["train.py", f"--run_dir={folder}", "--resume", "--max_repairs=3"]) == 0
    assert "resumed after 25 iterations" in capsys.readouterr().out
    result = json.loads((folder / "result.json").read_text())
    assert (result["stop_reason"], result["n_repairs"], result["n_iterations"]) == ("iterations", 2, 40)
