"""How a run ends: the verdict in its result, and advice that names commands with this very folder."""

from __future__ import annotations

import json
import sys

import pytest

from tests.unit.figures.stand_ins import blank_result, write_run
from tf_nqs.analysis.verdict import Doubt
from tf_nqs.config import settings_from
from tf_nqs.experiment.ending import closing_lines, judged
from tf_nqs.experiment.run import _write
from tf_nqs.storage.result import RunResult, read_result
from tf_nqs.storage.run_folder import CHAIN_MARK, RunFolder
from tf_nqs.studies.plan import Plan, PlannedRun, earlier_results

HEALTHY = {
    **{"energy": 10.8915, "energy_error": 2e-4, "reference_energy": 10.8914, "deviation_in_sigma": 0.5, "r_hat": 1.001},
    **{
        "kinetic": 3.1,
        "trap": 5.9,
        "interaction": 1.9,
        "variance": 3e-3,
        "n_iterations": 400,
        "blocking_criteria": None,
    },
    **{"stop_reason": "iterations", "stop_explanation": None, "in_equilibrium": True, "non_finite_share": 0.0},
}


@pytest.fixture(autouse=True)
def by_train_py(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/somewhere/train.py"])


def ending(folder, changes=None, metrics=None, **settings):
    """Returns the judged result, and the lines below its table."""
    settings = settings_from(None, {"n_particles": 4, "iterations": 400} | settings)
    result = RunResult(**blank_result() | HEALTHY | (changes or {}))
    result, doubts = judged(result, settings, metrics or {})
    return result, closing_lines(result, doubts, settings, folder)


def test_a_healthy_run_names_its_folder_and_what_comes_next(tmp_path):
    result, lines = ending(tmp_path / "a4")
    assert (result.converged, result.not_converged_because) == (True, [])
    assert lines[0] == f"results are in {tmp_path / 'a4'}; next:"
    commands = [line.split("    ")[0].strip() for line in lines[1:]]
    assert commands == [
        f"python -m tf_nqs.evaluate --run_dir={tmp_path / 'a4'}",
        f"python -m tf_nqs.observe --run_dir={tmp_path / 'a4'}",
        f"python export/saved_model.py --run_dir={tmp_path / 'a4'} --output=exported/a4",
    ]


def test_installed_commands_are_named_where_they_were_used(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/bin/tf-nqs-train"])
    assert "  tf-nqs-evaluate --run_dir='/a run'    measures" in "\n".join(ending(tmp_path.__class__("/a run"))[1])


@pytest.mark.parametrize(
    ("changes", "settings", "advice"),
    [
        (
            {"deviation_in_sigma": 9.0, "energy": 10.9},
            {},
            "train longer: python train.py --run_dir={} --resume --itera",
        ),
        ({"stop_reason": "interrupted"}, {}, "continue training: python train.py --run_dir={} --resume"),
        ({"blocking_criteria": ["slope"], "stop_reason": "time_limit"}, {"max_seconds": 60}, "--max_seconds=120"),
        (
            {"deviation_in_sigma": 9.0, "energy": 10.9, "stop_reason": "early_stopping"},
            {},
            "start again with --early_stopping=none --iterations=800",
        ),
        ({"r_hat": 2.7, "energy_error": None}, {}, "with more steps between samples: python -m tf_nqs.evaluate"),
        ({"r_hat": 2.7, "energy_error": None}, {"global_moves": False}, "--n_steps=20; or train with --global_moves"),
        (
            {"energy_error": 0.5},
            {},
            "measure longer: python -m tf_nqs.evaluate --run_dir={} --evaluation_max_seconds=600",
        ),
        ({"variance": 100.0}, {}, "try a larger network"),
        ({"stop_reason": "failed"}, {}, "smaller --learning_rate"),
    ],
)
def test_what_has_not_converged_gets_advice(changes, settings, advice, tmp_path):
    result, lines = ending(tmp_path / "a4", changes, **settings)
    assert result.converged is False and len(result.not_converged_because) == 1
    assert lines[0].startswith("to improve it: ")
    assert advice.format(tmp_path / "a4") in lines[0]
    assert any(line.startswith("results are in") for line in lines)


def test_an_energy_that_still_falls_is_to_be_trained_longer(tmp_path):
    falling = {"energy": [20.0 - 0.1 * number for number in range(60)]}
    result, lines = ending(tmp_path, metrics=falling)
    assert "still fell" in result.not_converged_because[0]
    assert lines[0].endswith("--resume --iterations=800")


def test_above_the_reference_within_the_target_is_said_but_no_fault(tmp_path):
    result, lines = ending(tmp_path, {"energy": 10.8919, "energy_error": 1e-4, "deviation_in_sigma": 4.7})
    assert result.converged
    assert "4.7 standard errors above the reference" in lines[0] and "--iterations=800" in lines[0]


def test_a_target_that_was_missed_is_said(tmp_path):
    result, lines = ending(tmp_path, {"energy_error": 2e-3})
    assert result.converged
    assert lines[0].startswith("target_error was not reached within evaluation_max_seconds; to reach it: python -m")


def test_a_stage_of_a_chain_cannot_be_resumed_by_itself(tmp_path):
    (tmp_path / CHAIN_MARK).touch()
    _, lines = ending(tmp_path / "stage_1", {"deviation_in_sigma": 9.0, "energy": 10.9})
    assert "start the chain again with iterations = 800" in lines[0] and "--resume" not in "\n".join(lines)


def test_results_of_older_versions_are_still_finished_runs(tmp_path):
    """They lack what they did not know: nobody wants to train them anew."""
    settings = settings_from(None, {"n_particles": 4, "run_dir": str(tmp_path / "run")})
    write_run(settings)
    file = tmp_path / "run" / "result.json"
    result = json.loads(file.read_text())
    for name in ("in_equilibrium", "converged", "not_converged_because"):
        del result[name]
    file.write_text(json.dumps(result))
    plan = Plan("run", tmp_path, [PlannedRun("a4", settings)], "it must be as it was")
    assert earlier_results(plan, ["a4"]) == {"a4": result}
    del result["n_iterations"]
    file.write_text(json.dumps(result))
    assert earlier_results(plan, ["a4"]) == {}


def test_a_failed_run_is_not_told_to_train_longer(tmp_path):
    _, lines = ending(tmp_path / "a4", {"stop_reason": "failed", "deviation_in_sigma": 1000.0, "energy": 20.0})
    assert "smaller --learning_rate" in lines[0]
    assert "train longer" not in "\n".join(lines)


def test_the_export_that_is_proposed_can_be_written(tmp_path):
    assert " --output='exported/V0_5]'    exports" in ending(tmp_path / "V0[5]")[1][-1]


@pytest.mark.parametrize(("cause", "advice"), [("binding", "a stronger attraction"), ("start", "the well")])
def test_advice_suits_what_is_not_the_ground_state(cause, advice, tmp_path):
    settings, result = settings_from(None, {"n_particles": 2}), RunResult(**blank_result() | HEALTHY)
    result, doubts = judged(result, settings, {}, [Doubt(cause, "not the ground state")])
    assert advice in closing_lines(result, doubts, settings, tmp_path)[0]


def test_a_family_lists_its_systems_and_names_commands_on_one_of_them(tmp_path, messages):
    members = [{"n_particles": 4, "interaction_strength": -5.0, "interaction_range": 0.5}]
    members[0] |= {"energy": 4.5, "energy_error": 0.01, "variance": 0.2}
    given = {"n_particles": [2, 4], "interaction_strength": [-10.0, 20.0], "ansatz": "jastrow"}
    result = RunResult(**blank_result() | {"members": members, "stop_reason": "iterations", "n_iterations": 400})
    folder = RunFolder(tmp_path)
    assert _write(result, settings_from(None, given), folder).converged is None
    written = read_result(folder.result)
    assert written["members"] == members and written["energy"] is None
    table, closing = messages[-2:]
    assert "Energy" not in table and "Seconds" in table
    assert "4.500(10)" in closing and "Verdict" not in closing
    assert f"python -m tf_nqs.evaluate --run_dir={tmp_path} --n_particles=4 --interaction_strength=5 " in closing


def test_the_result_of_a_single_system_has_no_members(tmp_path):
    result = RunResult(**blank_result() | HEALTHY)
    _write(result, settings_from(None, {"n_particles": 4}), RunFolder(tmp_path))
    assert "members" not in read_result(tmp_path / "result.json")
