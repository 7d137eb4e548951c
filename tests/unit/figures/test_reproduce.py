"""The command: which runs are made, resumed, written and refused; the runs are stand-ins."""

from __future__ import annotations

import csv
import fcntl
import json
import re
import subprocess
import sys
from dataclasses import replace

import pytest

from tests.unit.figures.stand_ins import REFERENCE, Runs, write_run
from tf_nqs import reproduce
from tf_nqs.analysis.report import SIGMA
from tf_nqs.commands import command as commands
from tf_nqs.commands import draw_figures
from tf_nqs.commands.figures_request import Request, request_of
from tf_nqs.storage.result import RunResult
from tf_nqs.studies.figures import load_figures, load_runs, running
from tf_nqs.studies.figures.drawing import ONE_CALL, make_picture
from tf_nqs.studies.figures.questions import QUESTIONS
from tf_nqs.studies.figures.report import COLUMNS, rows_of


@pytest.fixture
def runs(monkeypatch):
    runs = Runs()
    monkeypatch.setattr(running, "run_in_subprocess", runs)
    return runs


@pytest.fixture
def command(tmp_path):
    """Calls the command with folder and file in tmp_path."""

    def call(*arguments):
        places = [f"--run_dir={tmp_path / 'runs'}", f"--output={tmp_path / 'results.md'}"]
        return reproduce.main(["reproduce", *arguments, *places])

    return call


def test_all_figures_from_arms_that_run_once(runs, command, tmp_path, capsys):
    assert command("all") == 0
    assert runs.ran == list(load_runs("laptop", tmp_path))
    text = (tmp_path / "results.md").read_text()
    pictures = sorted(path.name for path in (tmp_path / "results").iterdir())
    assert pictures == sorted(f"{name}.png" for name in load_figures())
    assert all(f"(results/{name})" in text for name in pictures)
    assert all(question.statement in text for question in QUESTIONS)
    groups = re.findall(r"^\*\*(Agrees|Differs|Not decided), (\d+) of (\d+):\*\*$", text, re.MULTILINE)
    assert {int(total) for _, _, total in groups} == {len(QUESTIONS)}
    assert sum(int(count) for _, count, _ in groups) == len(QUESTIONS)
    assert (
        f"| 23,022 | 10.89(2) | 40 | last iteration | 10.20(10) | 10.000(10) | +0.2000 (+2.0 {SIGMA}) | 40 | 20 |"
        in text
    )
    printed = capsys.readouterr().out
    assert f"run 1 of {len(runs.ran)}, a4v10 (" in printed and "10.8938(7)" in printed
    assert not list(tmp_path.glob("unfinished*"))


def test_reports_of_both_scales_name_each_other(runs, tmp_path):
    """With a link where the other one is there, and none that leads nowhere."""

    def head(scale):
        name = {"laptop": "results.md", "thesis": "results_thesis.md"}[scale]
        arguments = [f"--scale={scale}", f"--run_dir={tmp_path / scale}", f"--output={tmp_path / name}"]
        assert reproduce.main(["reproduce", "all", "--quiet", *arguments]) == 0
        return (tmp_path / name).read_text().partition("\n## ")[0]

    assert "`python -m tf_nqs.reproduce all --scale=thesis` makes them at thesis scale.\n" in head("laptop")
    assert "--scale=laptop` makes them at laptop scale: [results.md](results.md).\n" in head("thesis")
    assert "makes them at thesis scale: [results_thesis.md](results_thesis.md).\n" in head("laptop")


def test_every_way_to_end_has_its_words(runs, tmp_path):
    """Those that `RunResult` lists."""
    planned = load_runs("laptop", tmp_path)
    listed = re.search(r"stop_reason: (.*)\.", RunResult.__doc__).group(1)
    reasons = re.split(r", | or ", listed)
    assert len(reasons) == 5
    (done,) = running.make_outcomes(planned, [], ["a4v10"], tmp_path).values()
    table = {
        reason: rows_of(load_figures()["fig2"], {"a4v10": replace(done, result={**done.result, "stop_reason": reason})})
        for reason in reasons
    }
    words = [rows[0][COLUMNS.index("stopped by")] for rows in table.values()]
    assert len(set(words)) == 5 and "time limit" in words


def test_one_figure_runs_its_arms_and_their_sources_alone(runs, command, tmp_path):
    assert command("fig3") == 0
    assert runs.ran == ["a4v10", "a4v5", "a4v10_transfer"]
    text = (tmp_path / "results.md").read_text()
    assert "## Figure 3: " in text and "## Figure 2: " not in text
    with open(tmp_path / "runs" / "summary.csv", newline="") as file:
        assert [(row["run"], row["energy"]) for row in csv.DictReader(file)] == [(name, "10.2") for name in runs.ran]
    assert command("fig2") == 0
    assert runs.ran[3:] == ["a4v10_full"]


def test_goes_on_at_the_arm_that_is_not_finished(runs, command, tmp_path):
    runs.ends["a4v5"] = KeyboardInterrupt()
    assert command("fig3") == 130
    (tmp_path / "runs" / "a4v5").mkdir()
    (tmp_path / "runs" / "a4v5" / "metrics.csv").touch()
    runs.ends, runs.ran = {}, []
    assert command("fig3") == 0
    assert runs.ran == ["a4v5", "a4v10_transfer"]
    assert (tmp_path / "runs" / "a4v5_unfinished_1").is_dir()
    assert command("fig3") == 0 and len(runs.ran) == 2


def test_an_arm_with_a_checkpoint_is_resumed_unless_its_source_was_run_anew(runs, command, tmp_path):
    assert command("fig3") == 0
    for name in ("a4v5", "a4v10_transfer"):
        add_checkpoint(tmp_path / "runs" / name)
        (tmp_path / "runs" / name / "result.json").unlink()
    assert command("fig3") == 0
    assert runs.ran[3:] == ["a4v5", "a4v10_transfer"] and runs.resumed == ["a4v5"]
    assert (tmp_path / "runs" / "a4v10_transfer_unfinished_1").is_dir()


def add_checkpoint(folder):
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "ckpt-1.index").touch()


def test_arms_in_slices(runs, command, tmp_path, capsys):
    """One that is stopped goes on next time, is drawn but decides nothing, and what starts from it waits."""
    runs.ends = {"a4v10": {"stop_reason": "time_limit"}, "a4v5": {"stop_reason": "time_limit"}}
    assert command("fig2", "fig3", "--max_seconds=60") == 0
    assert runs.ran == ["a4v10", "a4v10_full", "a4v5"] and runs.limits == [60] * 3
    text, printed = (tmp_path / "results.md").read_text(), capsys.readouterr().out
    assert "| time limit |" in text and "| interaction transfer | 8,007 | 10.892(4) | not run |" in text
    assert "*Here:* Not trained to the end yet: a4v10 (40 iterations)." in text and "**agrees**" not in text
    assert "a4v10_transfer (interaction transfer): waits until a4v5 is finished" in printed
    assert "not trained to the end: a4v10, a4v5; the same command continues them" in printed
    for name in ("a4v10", "a4v5"):
        add_checkpoint(tmp_path / "runs" / name)
    runs.ends, runs.ran = {"a4v10": {"stop_reason": "time_limit"}}, []
    assert command("fig2", "fig3", "--max_seconds=60") == 0
    assert runs.ran == ["a4v10", "a4v5", "a4v10_transfer"] and runs.resumed == ["a4v10", "a4v5"]
    runs.ends, runs.ran, runs.limits = {}, [], []
    assert command("fig2", "fig3") == 0
    assert runs.ran == ["a4v10"] and runs.limits == [None]
    assert "Not trained to the end" not in (tmp_path / "results.md").read_text()


def test_an_arm_that_was_stopped_by_its_own_time_limit_is_not_refused(tmp_path):
    planned = load_runs("laptop", tmp_path)
    limited = load_runs("laptop", tmp_path, {"max_seconds": 60.0})
    write_run(limited["a4v10"].settings, stop_reason="time_limit")
    assert running.make_outcomes(planned, ["a4v10"], [], tmp_path)["a4v10"].is_cut_short


def test_what_has_started_from_older_weights_is_not_drawn(runs, command, tmp_path, capsys):
    assert command("fig10", "--arms=a4v10_chain_frozen") == 0
    (tmp_path / "runs" / "a2v5" / "result.json").unlink()
    runs.ran = []
    assert command("fig10", "--arms=a2v5") == 0
    assert runs.ran == ["a2v5"]
    assert "run a4v10_chain_frozen started from other weights: its folder is set aside" in capsys.readouterr().out
    assert "## Figure 10: " not in (tmp_path / "results.md").read_text()
    assert (tmp_path / "runs" / "a4v5_frozen_unfinished_1").is_dir()
    assert command("fig10", "--arms=a4v10_chain_frozen") == 0
    assert runs.ran == ["a2v5", "a4v5_frozen", "a4v10_chain_frozen"]


def test_an_arm_that_is_only_drawn_is_refused_before_anything_runs(runs, command, capsys):
    assert command("fig2", "--arms=a4v10_full", "--seed=1") == 0
    assert command("fig2", "--arms=a4v10") == 2
    assert "was run with seed = 1, not 0" in capsys.readouterr().err and runs.ran == ["a4v10_full"]


@pytest.mark.parametrize("content", [b"", b"\xff", b"iteration,energy\n1,low\n"])
def test_damaged_metrics_of_a_finished_arm_are_folder_errors(content, runs, command, tmp_path, capsys):
    assert command("fig2", "--arms=a4v10") == 0
    (tmp_path / "runs" / "a4v10" / "metrics.csv").write_bytes(content)
    capsys.readouterr()
    assert command("fig2", "--arms=a4v10") == 2
    error = capsys.readouterr().err
    assert "its metrics.csv cannot be read (" in error and error.count("\n") == 1


def test_a_damaged_result_of_an_arm_is_run_anew(runs, command, tmp_path):
    assert command("fig2", "--arms=a4v10") == 0
    result = tmp_path / "runs" / "a4v10" / "result.json"
    result.write_text(json.dumps(json.loads(result.read_text()) | {"energy": "low"}))
    assert command("fig2", "--arms=a4v10") == 0
    assert runs.ran == ["a4v10", "a4v10"]


def test_statuses(runs, command, capsys):
    runs.ends["a4v10"] = KeyboardInterrupt()
    assert command("fig3") == 130
    runs.ends["a4v10"] = {"energy": None, "stop_reason": "failed"}
    assert command("fig3") == 3
    assert "error: run a4v10: training failed" in capsys.readouterr().err
    runs.ends["a4v10"] = {"problem": "its process was killed by signal 9; out of memory?"}
    assert command("fig3") == 2
    assert "error: run a4v10: its process was killed" in capsys.readouterr().err


def test_some_arms_alone(runs, command, tmp_path):
    assert command("all", "--arms=a4v10_transfer,a4v10") == 0
    assert runs.ran == ["a4v10", "a4v5", "a4v10_transfer"]
    text = (tmp_path / "results.md").read_text()
    assert "| no early stopping | 100,000 | 10.892(5) | not run |" in text
    assert "## Figure 10: " not in text  # none of its runs is there


def test_a_finished_arm_of_another_scale_is_refused_before_anything_runs(runs, command, capsys):
    assert command("fig2") == 0
    ran = list(runs.ran)
    assert command("fig2", "fig3", "--scale=thesis") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "was run with n_walkers = 512, not 4096; all runs must be as they were, or in a new folder" in error
    assert runs.ran == ran


def test_a_folder_in_use_is_refused(runs, command, tmp_path, capsys):
    assert command("fig8") == 0
    with open(tmp_path / "runs" / draw_figures.LOCK_FILE) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert command("fig8") == 2
    assert "locked by another process; wait for it to finish" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([], "figure: must be given; all or one of fig2, fig3"),
        (["fig33"], "'fig33': no such figure; must be all or one of fig2"),
        (["fig3", "--scale=desktop"], "scale = 'desktop': must be laptop or thesis"),
        (["fig3", "--scale", "thesis"], "--scale thesis: must be given as --scale=thesis"),
        (["fig3", "--arms=a4v11"], "arms = 'a4v11': no such run; --help lists them; did you mean a4v10?"),
        (["fig3", "--max_seconds=0"], "max_seconds = 0: must be "),
        (["fig3", "--max_seconds", "60"], "--max_seconds 60: must be given as --max_seconds=60"),
        (["fig3", "--seed=-1"], "seed = -1: must be an integer from 0 to 2147483647"),
        (["fig3", "--output=results.txt"], "output = 'results.txt': must be a file name that ends in .md"),
        (["fig3", "--walkers=3"], "--walkers: no such flag"),
        (["fig3", "--output=/proc/no/results.md"], "output = '/proc/no/results.md': cannot be written ("),
    ],
)
def test_bad_input_is_one_line(arguments, line, runs, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert reproduce.main(["reproduce", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {line}") and error.count("\n") == 1
    assert runs.ran == []


def test_where_results_go():
    def read(*arguments):
        return request_of(commands.read(reproduce.COMMAND, ["reproduce", *arguments]))

    assert str(read("all").output) == "docs/results.md"
    assert str(read("all", "--scale=thesis").output) == "docs/results_thesis.md"
    assert str(read("fig3", "--run_dir=here").output) == "here/results.md"
    assert str(read("fig3").run_dir) == "runs/figures_laptop"
    other = read("all", "--ansatz=jastrow")
    assert str(other.output) == "runs/figures_laptop_jastrow/results.md" and other.overrides == {"ansatz": "jastrow"}
    assert str(read("all", "--ansatz=slater").output) == "docs/results.md"


@pytest.mark.parametrize("scale", ["laptop", "thesis"])
def test_all_runs_can_have_the_other_wave_function(scale, tmp_path):
    for run in load_runs(scale, tmp_path, {"ansatz": "jastrow"}).values():
        assert run.settings.ansatz.ansatz == "jastrow"


def test_help_names_figures_and_arms_without_tensorflow():
    code = (
        "import sys; from tf_nqs import reproduce; status = reproduce.main(['reproduce', '--help']);"
        "print(status, sorted({'keras', 'matplotlib', 'scipy', 'tensorflow'} & sys.modules.keys()))"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.endswith("\n0 []\n")
    for name in (
        *load_runs("laptop", "."),
        "fig2, fig3",
        "--scale",
        "--run_dir",
        "--output",
        "--arms",
        "--seed",
        "--max_seconds",
    ):
        assert name in printed


def test_pictures_show_what_the_thesis_shows(runs, tmp_path):
    planned = load_runs("laptop", tmp_path)
    outcomes = running.make_outcomes(planned, planned, planned, tmp_path)
    for figure in load_figures().values():
        (panel,) = make_picture(figure, outcomes, "laptop").axes
        labels = [text.get_text() for text in panel.get_legend().get_texts()]
        if figure.kind == "energy":
            assert labels == [*(curve.label for curve in figure.curves), f"exact, {REFERENCE:g}"]
            dashed = [line for line in panel.lines if line.get_linestyle() == "--"]
            assert [set(line.get_ydata()) for line in dashed] == [{REFERENCE}]
            assert (panel.get_xlabel(), panel.get_ylabel()) == ("Iteration", "Energy (ħω)")
        elif figure.kind == "profile":
            assert labels == [curve.label for curve in figure.curves]
            assert len(panel.patches) == 6 * len(figure.curves)
            assert panel.get_xlabel() == "Milliseconds per iteration"
            # A millisecond a call in these profiles; without re-weighting no iteration calls the forward pass alone.
            widths = {round(patch.get_width(), 9) for patch in panel.patches}
            kinds = [planned[curve.run].settings.reweighting.resampling for curve in figure.curves]
            assert widths == {1.0}
            assert sum(ONE_CALL in text.get_text() for text in panel.texts) == kinds.count("every_iteration") > 0
        else:
            assert labels == ["schedule, Eq. 20", "iterations waited", "mean of 5 waits"]
            means = panel.lines[2].get_ydata()
            assert len(means) and set(means) == {5.0}  # every fifth iteration samples


@pytest.mark.slow
def test_real_arms_at_a_tiny_scale(tmp_path):
    """Processes, transfer, profile and re-weighting as they are; about half a minute."""
    tiny = {"n_walkers": 16, "n_steps": 1, "n_burn_in": 2, "iterations": 24, "window": 10, "iterations_per_call": 4}
    tiny |= {"n_features": 4, "n_layers": 1, "jit_compile": False, "quiet": True}
    tiny |= {"evaluation_max_seconds": 0.5, "target_error": 1.0, "reference_max_seconds": 5.0}
    request = Request(("fig3", "fig7"), "laptop", tmp_path / "runs", tmp_path / "results.md", None, tiny)
    draw_figures.reproduce(request._replace(figures=("fig3",), max_seconds=1e-3))
    table = (tmp_path / "results.md").read_text()
    assert "| 4 | time limit |" in table and "| 24 | last iteration |" not in table  # one call each
    draw_figures.reproduce(request)
    assert "| time limit |" not in (tmp_path / "results.md").read_text()
    assert sorted(path.name for path in (tmp_path / "results").iterdir()) == ["fig3.png", "fig7.png"]
    with open(tmp_path / "runs" / "a4v10_reused" / "profile.csv", newline="") as file:
        assert [row["phase"] for row in csv.DictReader(file)][:2] == ["sampling", "forward"]
    assert "from a4v5" not in (tmp_path / "results.md").read_text()
    assert 'transfer_from = "' in (tmp_path / "runs" / "a4v10_transfer" / "config.toml").read_text()
