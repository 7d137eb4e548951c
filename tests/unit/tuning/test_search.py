"""The search around its trials: oracles, failures, resuming, results. A trial here takes no time and trains nothing."""

from __future__ import annotations

import csv
import errno
import json
import math
import os
import shutil
from types import SimpleNamespace

import keras_tuner
import numpy as np
import pytest

from tests.unit.figures.stand_ins import blank_result
from tf_nqs import tune
from tf_nqs.config import RunFolderError, load_toml
from tf_nqs.config.search import Range, search_from
from tf_nqs.exact import Reference
from tf_nqs.experiment import memory as memory_request
from tf_nqs.storage.result import RunResult
from tf_nqs.studies import tuning
from tf_nqs.studies.search_folder import search_folder
from tf_nqs.studies.tuning import hypermodel, plots, summary
from tf_nqs.studies.tuning import search as search_module
from tf_nqs.studies.tuning import space as space_module

SEARCH = """
[search]
tuner = "random"
max_trials = 6
seconds_per_trial = 9.0
error_weight = 2.0
[search.space]
learning_rate = {low = 0.01, high = 1.0, scale = "log"}
n_features = {low = 4, high = 8}
n_walkers = {choices = [16, 32, 64]}
[system]
n_particles = 2
interaction_strength = 5.0
[training]
jit_compile = false
[run]
quiet = true
"""

ERROR = 1e-3


def energy_of(settings):
    """Lowest at a learning rate of 0.1 and with many walkers."""
    return 2.3 + 0.1 * math.log10(settings.training.learning_rate / 0.1) ** 2 + 1.0 / settings.sampling.n_walkers


@pytest.fixture
def fake_run(monkeypatch):
    """Stands for `run_in_subprocess`: keeps the settings; `change` alters what it does. Plots are only counted."""
    fake = SimpleNamespace(calls=[], states=[], n_plots=0, change=lambda settings, numbers: None)

    def plot_search(*arguments):
        fake.n_plots += 1

    monkeypatch.setattr(search_module, "plot_search", plot_search)

    def run(settings, continued, kept):
        fake.calls.append(settings)
        fake.states.append((continued, kept))
        numbers = {"energy": energy_of(settings), "energy_error": ERROR, "n_iterations": 50 + len(fake.calls)}
        numbers |= {"seconds_training": settings.training.max_seconds, "seconds_compile": 0.1, "n_parameters": 10}
        fake.change(settings, numbers)
        folder = hypermodel.Path(settings.run.run_dir)
        folder.mkdir(parents=True)
        (folder / "result.json").write_text(json.dumps(numbers))
        return RunResult(**{**blank_result(), **numbers})

    monkeypatch.setattr(hypermodel, "run_in_subprocess", run)
    for name in tune.WORKER_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    return fake


@pytest.fixture
def search_in(tmp_path):
    """Reads a search whose folder is the test's own."""

    def read(**overrides):
        (tmp_path / "search.toml").write_text(SEARCH)
        return search_from(tmp_path / "search.toml", {"run_dir": str(tmp_path / "new"), **overrides})

    return read


def do(search):
    """Runs a search and returns its best trial, its rows of trials.csv and its folder."""
    with search_folder(search) as folder:
        best = tuning.run_search(search, folder, "tuner0")
    with open(folder / "trials.csv", newline="") as file:
        return best, list(csv.DictReader(file)), folder


@pytest.mark.parametrize("tuner", ["random", "bayesian"])
def test_every_trial_gets_the_same_seconds_and_values_from_the_space(tuner, fake_run, search_in):
    # One trial in three asks the Gaussian process, which is what takes its time here.
    best, rows, _ = do(search_in(tuner=tuner, random_trials=4))
    assert len(rows) == len(fake_run.calls) == 6
    for settings, row in zip(fake_run.calls, rows, strict=True):
        assert settings.training.max_seconds == 9.0 == float(row["seconds"])
        assert settings.training.iterations > 1000 * 9  # the seconds end a trial, not the iterations
        assert 0.01 <= settings.training.learning_rate == float(row["learning_rate"]) <= 1.0
        assert 4 <= settings.ansatz.n_features == int(row["n_features"]) <= 8
        assert settings.sampling.n_walkers in (16, 32, 64)
        assert settings.system.interaction_strength == 5.0 and settings.training.jit_compile is False
        assert float(row["objective"]) == pytest.approx(energy_of(settings) + 2 * ERROR, rel=1e-12)
    assert len({settings.training.learning_rate for settings in fake_run.calls}) == 6
    assert best.objective == min(float(row["objective"]) for row in rows)
    assert fake_run.n_plots == 1


def test_a_range_of_integers_ends_where_it_says(search_in):
    space = search_in().space | {"decay_iterations": Range(low=50, high=400, scale="log")}
    hyperparameters = keras_tuner.HyperParameters()
    space_module.declare(hyperparameters, space)
    hyperparameters.values["decay_iterations"] = hyperparameters.space[-1].prob_to_value(1.0)
    assert space_module.values_of(hyperparameters, space)["decay_iterations"] == 400


def test_a_search_repeats_itself_and_another_seed_is_another_search(fake_run, search_in, tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        do(search_in(run_dir=str(tmp_path / name), seed=seed))
    rates = np.reshape([settings.training.learning_rate for settings in fake_run.calls], (3, 6))
    assert (rates[0] == rates[1]).all() and not (rates[0] == rates[2]).any()


def test_the_best_is_a_preset_with_the_settings_of_its_trial(fake_run, search_in):
    best, _, folder = do(search_in())
    settings = load_toml(folder / "best.toml")
    trial = min(fake_run.calls, key=energy_of)
    assert settings.training.iterations == best.n_iterations == 51 + fake_run.calls.index(trial)
    assert settings.training.max_seconds is None and settings.run.run_dir is None and not settings.run.quiet
    expected = trial.training.model_copy(update={"iterations": best.n_iterations, "max_seconds": None})
    assert settings.training == expected
    assert (settings.system, settings.ansatz, settings.sampling) == (trial.system, trial.ansatz, trial.sampling)
    assert settings.evaluation.reference_max_seconds > 0 == trial.evaluation.reference_max_seconds


def test_hyperband_counts_seconds_and_continues_the_best(fake_run, search_in):
    best, rows, _ = do(search_in(tuner="hyperband", max_trials=23))
    # Nine units of a second: keras-tuner has 9 trials of 1 s, of which 3 go on to 3 s and 1 to 9 s; 5 of 3 s, of which
    # 2 go on to 9 s; and 3 of 9 s.
    seconds = [float(row["seconds"]) for row in rows]
    assert [seconds.count(total) for total in (1.0, 3.0, 9.0)] == [9, 3 + 5, 1 + 2 + 3]
    assert best.seconds == 9.0
    continued = 0
    for settings, (state, kept), total in zip(fake_run.calls, fake_run.states, seconds, strict=True):
        assert kept.parent == hypermodel.Path(settings.run.run_dir)
        if state is None:
            assert settings.training.max_seconds == total
            continue
        continued += 1
        past = int(state.parent.name)
        assert settings.training.max_seconds == total - seconds[past]
        assert settings.training.learning_rate == fake_run.calls[past].training.learning_rate
    assert continued == 3 + 1 + 2


def test_failed_trials_do_not_end_a_search(fake_run, search_in, capsys, messages):
    def change(settings, numbers):
        count = len(fake_run.calls)
        if count == 2:
            numbers.update(energy=None, energy_error=None)
        if count == 3:
            raise MemoryError("out of memory")

    fake_run.change = change
    search = search_in(max_trials=8)
    space = {**search.space, "proposal_width": search.space["n_walkers"]._replace(choices=(0.5, 1e30))}
    search = type(search)(search.search, space, search.fixed, search.settings)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "tf_nqs.studies.search_folder.check_same_search", lambda *_: None
        )  # the space was changed by hand
        best, rows, _ = do(search)
    reasons = [row["reason"] for row in rows]
    assert reasons.count("no finite energy was left") == 1
    assert reasons.count("MemoryError: out of memory") == 1
    contradictions = [row for row in rows if row["reason"].startswith("proposal_width = 1e+30 contradicts dtype")]
    assert {row["proposal_width"] for row in contradictions} == {"1e+30"}
    assert [row["status"] for row in rows] == ["failed" if reason else "completed" for reason in reasons]
    assert best.status == "completed" and len(rows) == 8
    for row in rows:
        if row["reason"]:
            assert f"trial {row['trial']} failed: {row['reason']}" in messages
            assert row["energy"] == row["objective"] == ""
    assert capsys.readouterr().err.count("Traceback") == 1  # of the error that nobody expected, and of no other


def test_a_search_without_any_energy_says_so(fake_run, search_in, tmp_path, capsys):
    fake_run.change = lambda settings, numbers: numbers.update(energy=None)
    search_in()
    arguments = [f"--config={tmp_path / 'search.toml'}", f"--run_dir={tmp_path / 'new'}"]
    assert tune.main(["tune", *arguments]) == 3
    assert capsys.readouterr().err == "error: no trial has a finite energy\n"
    assert not (tmp_path / "new" / "best.toml").exists() and (tmp_path / "new" / "trials.csv").is_file()


def test_trials_that_cannot_fit_into_memory_are_refused(fake_run, search_in, monkeypatch):
    monkeypatch.setattr(memory_request, "available_bytes", lambda: 2**20)
    fake_run.change = lambda settings, numbers: pytest.fail("was run")
    best, rows, _ = do(search_in(max_trials=2))
    assert best is None
    assert len(rows) == 2 and all(" of memory, only 1 MiB available; must be " in row["reason"] for row in rows)


@pytest.mark.parametrize("tuner", ["random", pytest.param("bayesian", marks=pytest.mark.slow), "hyperband"])
def test_an_interrupted_search_goes_on_where_it_was(tuner, fake_run, search_in, tmp_path, messages):
    settings = {"tuner": tuner, "max_trials": 4, "random_trials": 3}
    whole, rows_of_whole, _ = do(search_in(**settings, run_dir=str(tmp_path / "whole")))
    n_trials = len(rows_of_whole)
    fake_run.calls.clear()

    def interrupt(settings, numbers):
        if len(fake_run.calls) == 3:
            hypermodel.Path(settings.run.run_dir).mkdir(parents=True)  # what the trial has left behind
            raise KeyboardInterrupt

    fake_run.change = interrupt
    with pytest.raises(KeyboardInterrupt):
        do(search_in(**settings))
    with open(tmp_path / "new" / "trials.csv", newline="") as file:
        statuses = [row["status"] for row in csv.DictReader(file)]
    assert statuses == ["completed", "completed", "unfinished"]
    assert (tmp_path / "new" / "best.toml").is_file()
    messages.clear()
    best, rows, _ = do(search_in(**settings))
    assert messages[0] == "resuming a search of 3 trials"
    # Two finished trials are kept, the interrupted one starts again; nothing is run twice.
    assert len(fake_run.calls) == n_trials + 1
    assert [row["status"] for row in rows] == ["completed"] * n_trials
    if tuner != "bayesian":  # its random state is not kept by keras-tuner
        assert [row["learning_rate"] for row in rows] == [row["learning_rate"] for row in rows_of_whole]
        assert best.values == whole.values
    done = len(fake_run.calls)
    assert do(search_in(**settings))[0] == best and len(fake_run.calls) == done


@pytest.mark.parametrize(
    "content",
    ["{", '"text"', "[1]", '{"energy": "low"}', '{"energy": null}', '{"n_iterations": 1000000000000}', "\udcff"],
)
def test_a_trial_whose_result_was_damaged_since_has_failed(content, fake_run, search_in, messages):
    best, _, folder = do(search_in())
    result = folder / "trials" / best.trial / "result.json"
    numbers = json.loads(result.read_text())
    if content.startswith('{"'):
        content = json.dumps(numbers | json.loads(content))
    result.write_bytes(content.encode(errors="surrogateescape"))
    second, rows, _ = do(search_in())
    damaged = next(row for row in rows if row["trial"] == best.trial)
    assert second.trial != best.trial and damaged["status"] == "failed"
    assert f"trial {best.trial} failed: its result.json cannot be used" in "\n".join(messages)


def test_a_trial_that_keras_tuner_has_lost_is_folder_errors(fake_run, search_in):
    _, _, folder = do(search_in())
    shutil.rmtree(folder / "tuner" / "trial_0")
    with pytest.raises(RunFolderError, match=r"cannot be read \(LookupError: trial 0 is not there\)"):
        do(search_in())


@pytest.mark.parametrize("text", ['{"trials": ', "{}"])
def test_what_keras_tuner_had_half_written_is_refused_in_one_line(text, fake_run, search_in):
    with search_folder(search_in()) as folder:
        (folder / "tuner").mkdir()
        (folder / "tuner/oracle.json").write_text(text)
        for take_up in (tuning.run_search, tuning.run_worker):
            with pytest.raises(RunFolderError, match=r"keras-tuner in it cannot be read \(.*must be a new folder"):
                take_up(search_in(), folder, "tuner0")


def test_a_disk_too_full_for_keras_tuner_is_folder_errors(fake_run, search_in, largest_file):
    """Its files are TensorFlow's, and so are its errors; a search that was begun goes on when there is room."""
    line = r"^run_dir = '.*new': cannot be written \(File too large\); the same command continues once it can$"
    with pytest.raises(RunFolderError, match=line), search_folder(search_in()) as folder, largest_file(200):
        tuning.run_search(search_in(), folder, "tuner0")
    _, rows, _ = do(search_in())
    assert [row["status"] for row in rows] == ["completed"] * 6


@pytest.mark.parametrize("name", ["write_csv", "plot_search", "write_best"])
def test_a_disk_too_full_for_its_table_is_folder_errors(name, fake_run, search_in, tmp_path, monkeypatch, capsys):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(search_module, name, full)
        search_in()
        assert tune.main(["tune", f"--config={tmp_path / 'search.toml'}", f"--run_dir={tmp_path / 'new'}"]) == 2
    line = capsys.readouterr().err
    assert line.startswith("error: run_dir = ") and line.count("\n") == 1
    assert "cannot be written (No space left on device); the same command continues once it can" in line
    assert do(search_in())[1] and len(fake_run.calls) == 6


@pytest.mark.parametrize("tuner", ["random", "hyperband"])
def test_a_finished_search_can_be_given_more_trials(tuner, fake_run, search_in):
    _, rows, _ = do(search_in(tuner=tuner))
    assert len(rows) == len(fake_run.calls) == 6
    best, more, folder = do(search_in(tuner=tuner, max_trials=12))
    assert len(more) == len(fake_run.calls) == 12 and more[:6] == rows
    assert [int(row["trial"]) for row in more] == [*range(12)]  # in the order of their start
    longest = [float(row["objective"]) for row in more if float(row["seconds"]) == best.seconds]
    assert best.objective == min(longest)
    assert search_from(folder / "search.toml").search.max_trials == 12
    with pytest.raises(RunFolderError, match=r"max_trials: was 12, is 6"):
        do(search_in(tuner=tuner))


def test_a_failed_training_is_a_failed_trial_and_never_the_best(fake_run, search_in):
    """Its energy is that of its last good state, and may be the lowest."""

    def change(settings, numbers):
        if len(fake_run.calls) == 2:
            numbers.update(energy=0.1, stop_reason="failed", stop_explanation="energy not finite")

    fake_run.change = change
    best, rows, folder = do(search_in())
    assert [row["status"] for row in rows] == ["completed", "failed", *["completed"] * 4]
    assert (rows[1]["energy"], rows[1]["reason"]) == ("", "energy not finite")
    assert best.trial != "1" and best.energy > 2
    # In a search that was begun by a version that took it for completed.
    (folder / "trials" / "1" / "failure.txt").unlink()
    state = folder / "tuner" / "trial_1" / "trial.json"
    state.write_text(json.dumps(json.loads(state.read_text()) | {"status": "COMPLETED", "score": 0.1}))
    again, rows, _ = do(search_in())
    assert again == best and rows[1]["status"] == "failed"


def test_the_folder_of_a_search_may_be_named_like_a_pattern(fake_run, search_in, tmp_path, messages):
    folder = str(tmp_path / "V0=[5]")
    do(search_in(run_dir=folder, max_trials=2))
    messages.clear()
    _, rows, _ = do(search_in(run_dir=folder, max_trials=3))
    assert messages[0] == "resuming a search of 2 trials" and len(rows) == len(fake_run.calls) == 3


def test_no_trial_starts_after_search_seconds(fake_run, search_in):
    _, rows, _ = do(search_in(search_seconds=1e-6))
    assert len(rows) == 1


# --- table and plot ---------------------------------------------------------------------------------------------


def records_of(search, objectives):
    """Trials of these objectives, None for failed ones."""
    rng = np.random.default_rng(0)
    return [
        summary.TrialRecord(
            trial=f"{index:02d}",
            status="failed" if objective is None else "completed",
            objective=objective,
            energy=objective and objective - 2 * ERROR,
            energy_error=objective and ERROR,
            seconds=9.0,
            n_iterations=objective and 100,
            seconds_training=objective and 9.1,
            seconds_compile=objective and 2.0,
            n_parameters=objective and 50,
            reason="no finite energy was left" if objective is None else "",
            values={"learning_rate": rng.uniform(0.01, 1), "n_features": 4 + index % 5, "n_walkers": 16},
        )
        for index, objective in enumerate(objectives)
    ]


def test_table_ranks_and_names_failures(search_in):
    records = records_of(search_in(), [2.5, None, 2.3, 2.4])
    table = summary.trials_table(records, Reference(2.29, "relative_coordinate", 0.0))
    lines = table.splitlines()
    assert [line.split()[1] for line in lines if line[2:4].isdigit()] == ["02", "03", "00", "01"]
    assert "2.2980(10)" in table and "+8.00e-03" in table
    assert lines[-1] == "trial 01 failed: no finite energy was left"
    assert "reference" not in summary.trials_table(records, Reference(None, "none", None))


def test_a_search_without_a_reference_computes_none(search_in, monkeypatch):
    monkeypatch.setattr(search_module, "find_reference", lambda settings: pytest.fail("a reference was computed"))
    assert search_module.reference_of_search(search_in(reference="none")).energy is None


def test_hyperbands_short_trials_cannot_be_the_best(search_in):
    records = records_of(search_in(), [2.3, 2.5, 2.4])
    records[0] = records[0]._replace(seconds=1.0)  # e.g. by luck of its measurement
    assert summary.best_record(records).trial == "02"


@pytest.mark.parametrize("reference", [Reference(2.29, "relative_coordinate", 0.0), Reference(None, "none", None)])
def test_plot_shows_every_trial_and_setting(reference, search_in):
    search = search_in()
    records = records_of(search, [2.5, None, 2.3, 2.4, 2.35, 900.0])
    figure = plots.search_figure(search, records, reference, "title")
    labels = [panel.get_xlabel() for panel in figure.axes]
    assert labels == ["trial", "learning_rate", "n_features", "n_walkers"]
    assert all("(ħω)" in figure.axes[index].get_ylabel() for index in (0, 1))
    words = {text.get_text() for text in figure.axes[0].get_legend().get_texts()}
    assert words >= {"trial", "failed", "best: trial 02", "lowest so far"}
    low, high = figure.axes[0].get_ylim()
    shown = [np.abs(one.objective - (reference.energy or 0)) for one in records if one.objective]
    assert sum(low <= height <= high for height in shown) + ("above the panel" in words) == len(shown)
    assert figure.axes[1].get_xscale() == "log"
