"""Arms and figures are data: they load, they belong together, and they hold the numbers of the thesis."""

from __future__ import annotations

import pytest

from tf_nqs.studies.figures import SCALES, load_figures, load_runs
from tf_nqs.studies.figures.definitions import runs_needed
from tf_nqs.studies.figures.drawing import COLOURS
from tf_nqs.studies.figures.questions import QUESTIONS
from tf_nqs.studies.figures.report import thesis_energy

TECHNIQUES = (
    "early_stopping",
    "freeze_equivariant",
    "global_moves",
    "interaction_strength",
    "n_features",
    "n_particles",
    "optimizer",
    "pretrain_iterations",
    "resampling",
    "restore_best",
)
"""Settings that decide what a run shows; the others decide how long that takes."""

STATED = {
    ("fig2", "a4v10"): (23022, "10.89(2)"),
    ("fig2", "a4v10_full"): (100_000, "10.892(5)"),
    ("fig3", "a4v10_transfer"): (8007, "10.892(4)"),
    ("fig6", "a4v10_reused"): (15014, "10.89(1)"),
    ("fig11", "a4v10_transfer_reused"): (92091, "10.892(3)"),
    ("fig11", "a4v10_transfer_reused_many"): (19018, "10.8938(7)"),
    ("fig12", "a4v10_frozen"): (None, "10.9(6)"),
    ("fig12", "a4v10_frozen_reused_many"): (None, "10.928(7)"),
    ("fig13", "a4v10_all"): (100_000, "10.917(7)"),
    ("fig13", "a4v10_full"): (None, "10.893(5)"),
}
"""(figure, run) -> iterations and energy, as Secs. 3 and 4 of the thesis print them."""


def leaves(settings):
    return {leaf: value for section in settings.model_dump().values() for leaf, value in section.items()}


@pytest.mark.parametrize("scale", SCALES)
def test_every_arm_has_its_own_folder_and_is_a_run_of_its_own(scale):
    runs = load_runs(scale, "runs")
    all_leaves = [leaves(run.settings) for run in runs.values()]
    assert [one["run_dir"] for one in all_leaves] == [f"runs/{name}" for name in runs]
    runs = [{leaf: value for leaf, value in one.items() if leaf != "run_dir"} for one in all_leaves]
    assert [index for index, run in enumerate(runs) if run in runs[:index]] == []


def test_scales_share_the_techniques():
    laptop, thesis = (load_runs(scale, "runs") for scale in ("laptop", "thesis"))
    for name, run in laptop.items():
        here, there = leaves(run.settings), leaves(thesis[name].settings)
        assert run.source == thesis[name].source and here["transfer_from"] == there["transfer_from"]
        assert {leaf: here[leaf] for leaf in TECHNIQUES} == {leaf: there[leaf] for leaf in TECHNIQUES}
        assert here["pretrain_iterations"] == 0 and not here["global_moves"]


def test_thesis_scale_is_that_of_the_thesis():
    for run in load_runs("thesis", "runs").values():
        training, sampling = run.settings.training, run.settings.sampling
        assert (training.optimizer, training.learning_rate, training.iterations) == ("adam", 1e-4, 100_000)
        many = run.name.endswith(("_many", "_all"))  # Sec. 4.2
        assert (sampling.n_walkers, sampling.n_steps) == ((8000, 60) if many else (4096, 10))
        assert run.settings.stopping.window == 1001  # the stop iterations are of the form 1001 k - 1


def test_an_arm_starts_from_an_earlier_one_that_fits():
    runs = load_runs("thesis", "runs")
    names = list(runs)
    for name, run in runs.items():
        if run.source is None:
            assert run.settings.transfer.transfer_from is None
            continue
        assert names.index(run.source) < names.index(name)
        source = runs[run.source].settings.system
        assert run.settings.transfer.transfer_from == f"runs/{run.source}"
        system = run.settings.system
        same_particles = source.n_particles == system.n_particles
        # Particle transfer keeps the interaction, interaction transfer the number of particles.
        assert same_particles != (source.interaction_strength == system.interaction_strength)


def test_figures_are_those_of_the_thesis_and_use_all_runs():
    figures, runs = load_figures(), load_runs("laptop", "runs")
    assert list(figures) == [f"fig{number}" for number in range(2, 14)]
    shown = {curve.run for figure in figures.values() for curve in figure.curves}
    assert runs_needed(shown, runs) == list(runs)
    for figure in figures.values():
        assert figure.kind in ("energy", "profile", "schedule")
        assert {curve.colour for curve in figure.curves} <= COLOURS.keys()
        if figure.kind == "profile":
            assert all(runs[curve.run].settings.run.profile for curve in figure.curves)
        if figure.kind == "schedule":
            assert [runs[curve.run].settings.reweighting.resampling for curve in figure.curves] == ["thesis"]


def test_numbers_of_the_thesis_stand_beside_the_runs():
    figures = load_figures()
    found = {
        (name, curve.run): (curve.iterations, thesis_energy(curve.energy, curve.energy_error))
        for name, figure in figures.items()
        for curve in figure.curves
        if curve.energy is not None
    }
    assert {key: found[key] for key in STATED} == STATED
    assert all(curve.source for figure in figures.values() for curve in figure.curves if curve.energy is not None)


def test_questions_are_about_arms_that_there_are():
    figures, runs = load_figures(), load_runs("laptop", "runs")
    for question in QUESTIONS:
        assert question.figure in figures and runs.keys() >= set(question.runs)
        drawn = {curve.run for curve in figures[question.figure].curves}
        assert drawn & set(question.runs)
