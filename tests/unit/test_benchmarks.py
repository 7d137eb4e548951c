"""What the benchmarks judge by, on numbers made by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks import (
    deviations,
    family_starts,
    judge,
    random_systems,
    references,
    reweighting,
    scaling,
    single_runs,
    soak,
    time_to_solution,
    transfer,
)
from tf_nqs.config import settings_from


def turns(*mebibytes, **changes):
    """Records of turns with this memory in their last thirds, and nothing else to be said against them."""
    return [
        {"turn": number, "optimizer": soak.OPTIMIZERS[(number - 1) % 2], "mebibytes_first": one, "mebibytes_last": one}
        | {"seconds_first": 0.01, "seconds_last": 0.01}
        | changes
        for number, one in enumerate(mebibytes, start=1)
    ]


def test_memory_may_not_grow():
    """Flat within each turn, and over them; the fourth turn is two after the second."""
    assert soak.failures(turns(1000, 1100, 1040, 1100)) == []
    assert soak.growth_of(turns(1000, 1100, 1040, 1100), "spring") == 20.0
    assert soak.failures(turns(1000, 1100, 1000, 1150)) == [
        "adam: memory has grown by 25 MiB a turn from its first turn to its last"
    ]
    assert soak.growth_of(turns(1000, 1100), "adam") is None


@pytest.mark.parametrize("name", ["mebibytes_first", "mebibytes_last", "seconds_first", "seconds_last"])
def test_a_reading_that_is_no_number_meets_nothing(name):
    assert soak.failures(turns(1000, 1000, 1000, 1000)) == []
    assert len(soak.failures(turns(1000, 1000, 1000, 1000, **{name: math.nan}))) >= 4


def arm(mode, share=1.0, sampling=0.030, forward=0.0):
    met = {"energy": 1.0, "energy_error": 1e-3, "reference_energy": 1.0, "dip": 0.0}
    return met | {"mode": mode, "share": share, "sampling": sampling, "forward": forward}


@pytest.mark.parametrize(("sampling", "is_met"), [(0.003, True), (0.010, False), (0.0, False)])
def test_the_factor_of_reweighting_is_that_of_measured_seconds(sampling, is_met):
    """Whatever the counts say, here twenty; a profile that no sampling fell into has measured nothing."""
    fresh, reusing = arm("every_iteration"), arm("thesis", share=0.05, sampling=sampling, forward=0.003)
    found = reweighting.factors(reusing, fresh)
    assert found["counted"] == 20.0
    assert found["measured"] == pytest.approx(0.030 / sampling if sampling else math.nan, nan_ok=True)
    assert found["with_forward"] == pytest.approx(0.030 / (sampling + 0.003))
    assert reweighting.factors(fresh, fresh) == {"counted": 1.0, "measured": 1.0, "with_forward": 1.0}
    assert (reweighting.failures([fresh, reusing]) == []) == is_met


def run(system, ansatz, seed, iteration):
    reached = iteration and {"iteration": iteration, "seconds": iteration / 10}
    return {"system": system, "ansatz": ansatz, "arm": "spring", "seed": seed, "reached": {"0.001": reached}}


def test_ratios_are_medians_of_those_within_a_seed():
    """Both wave functions in one call; a run that never arrives is infinitely long."""
    times = {"slater": (100, 150, None), "jastrow": (50, 30, 60)}
    runs = [run("4:10", ansatz, seed, time) for ansatz, all_of in times.items() for seed, time in enumerate(all_of)]
    (found,) = time_to_solution.ratios(runs)
    assert (found["system"], found["ansatze"], found["n_seeds"]) == ("4:10", ["slater", "jastrow"], 3)
    assert found["iteration"] == pytest.approx([150.0, 50.0, 0.2])
    assert found["seconds"] == pytest.approx([15.0, 5.0, 0.2])
    assert time_to_solution.ratios(runs[:3]) == []
    failed = {"system": "6:10", "ansatz": "jastrow", "arm": "spring", "seed": 0, "missing": "out of memory"}
    assert time_to_solution.ratios([*runs, failed]) == [found]


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--interaction_range=0.3"], {"interaction_range": 0.3, "ansatz": "slater"}),
        (["--ansatz", "jastrow", "--systems", "3:0.5", "--interaction=coth"], {"interaction": "coth"}),
        (["--ansatz", "jastrow", "--systems", "3:2", "--trap=quartic"], {"trap": "quartic", "n_features": None}),
    ],
)
def test_flags_of_the_system_reach_the_settings_of_a_run(flags, expected):
    parsed = time_to_solution.parse(["--arms", "spring", "--systems", "3:5", *flags])
    ((ansatz, arm),) = time_to_solution.combinations(parsed)
    settings = time_to_solution.settings_of(parsed.systems[0], ansatz, parsed)
    _, job = time_to_solution.job_of(arm, settings, 7, {}, parsed)
    leaves = settings_from(None, job["settings"])
    found = leaves.system.model_dump() | leaves.ansatz.model_dump()
    assert {name: found[name] for name in expected} == expected
    assert (leaves.system.n_particles, leaves.run.seed) == (3, 7)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--arms", "spring", "--interaction=nothing"], "interaction = 'nothing'"),
        (["--arms", "spring", "--ansatz", "slate"], "ansatz = 'slate'"),
        (["--arms", "spring", "--interaction=coth", "--interaction_range=1"], "interaction_range"),
        (["--arms", "spring", "--systems", "four"], "systems = four: must be A:STRENGTH"),
        (["--interaction=coth"], "netket_spring"),
    ],
)
def test_a_benchmark_refuses_what_train_py_refuses(capsys, flags, message):
    """In one line, with status 2, before anything is compiled."""
    parsed = time_to_solution.parse(["--systems", "2:1", *flags])
    with pytest.raises(SystemExit) as ended:
        time_to_solution.measure(parsed)
    error = capsys.readouterr().err
    assert ended.value.code == 2
    assert error.startswith("error: ") and message in error and error.count("\n") == 1


def test_source_of_a_transfer_has_its_own_particles_and_strength():
    def systems(*flags):
        pair = transfer.settings_of(transfer.parse(["--output=x", "--ansatz=jastrow", *flags]))
        return [(one.system.n_particles, one.system.interaction_strength, one.ansatz.ansatz) for one in pair]

    assert systems() == [(4, 5.0, "jastrow"), (4, 10.0, "jastrow")]
    assert systems("--n_particles=6", "--source_particles=4") == [(4, 10.0, "jastrow"), (6, 10.0, "jastrow")]
    assert transfer.arms_of(None) == ("random", "pretrained", "transfer")
    assert transfer.arms_of("jastrow") == ("random", "transfer")


def test_a_run_without_error_is_neither_below_nor_finite_without_energy():
    """Of `random_systems` by train.py: an unknown error rules nothing out, an unknown energy is a failure."""
    result = {"energy": 1.0, "energy_error": None, "variance": 0.1, "non_finite_share": 0.0}
    result |= {"n_rejected": 0, "n_repairs": 1}
    reference = {"reference": 1.2, "reference_uncertainty": 0.0}
    record = random_systems.of_result(result, np.ones(3)) | reference
    assert random_systems.judge(record) == {"is_finite": True, "is_below": False, "is_close": False, "is_within": False}
    lost = random_systems.of_result(result | {"energy": None}, np.ones(3)) | reference
    assert random_systems.judge(lost)["is_finite"] is False
    assert random_systems.of_result(result, np.array([1.0, math.nan]))["n_not_finite"] == 1


def test_scaling_takes_a_system_with_a_name():
    flags = scaling.parse(["--ansatz=jastrow", "--interaction=harmonic", "--interaction_strength=0.2"])
    leaves = scaling.settings_of(scaling.Size(24, 512), flags)
    assert (leaves["interaction"], leaves["interaction_strength"], leaves["ansatz"]) == ("harmonic", 0.2, "jastrow")
    assert scaling.settings_of(scaling.Size(4, 512), scaling.parse([]))["interaction_strength"] == 10.0


def row(strength, n_particles=4):
    return references.Row(n_particles, strength, 0.5, 8.0, 1e-5, "diagonalisation")


def test_a_warm_chain_goes_outwards_from_the_weakest_interaction():
    order = single_runs.outwards([row(strength) for strength in (3.0, -8.0, -1.0, 20.0, -20.0)])
    steps = [(one.interaction_strength, source and source.interaction_strength) for one, source in order]
    assert steps == [(-1.0, None), (3.0, -1.0), (20.0, 3.0), (-8.0, -1.0), (-20.0, -8.0)]


def test_starts_are_looked_at_from_one_end_of_the_strengths_to_the_other():
    rows = [row(strength, a) for a in (3, 2) for strength in range(9)]
    found = [(one.n_particles, one.interaction_strength) for one in family_starts.chosen(rows, 3)]
    assert found == [(2, 0), (2, 4), (2, 8), (3, 0), (3, 4), (3, 8)]
    assert len(family_starts.chosen(rows, 100)) == 18


def test_a_judge_may_be_satisfied_before_the_first_iteration():
    """An error of a quarter of the tolerance decides; before that, a coarse one that rules nothing out is refined."""
    wanted = []

    def measure(target_error):
        wanted.append(target_error)
        return 8.0005, target_error

    found = judge.Judge(8.0, 0.0, [1e-3], 20, 0, math.inf, measure)
    assert found.record([]) and wanted == [1e-2, 1e-3, 2.5e-4]
    assert found.verdict()["reached"]["0.001"]["iteration"] == 0
    later = judge.Judge(8.1, 0.0, [1e-3], 20, 0, math.inf, measure)
    assert not later.record([]) and later.verdict()["reached"]["0.001"] is None


def test_the_table_of_ways_has_a_row_for_each_number_of_particles(capsys):
    found = [deviations.Deviation(a, 1.0, 0.5, off, 1e-5, 0.0, 1e-3, 0.1, 1.0) for a, off in ((2, 1e-4), (4, 2e-3))]
    deviations.show_arms([deviations.Arm(0, "jastrow, family", 60.0, 100, found)])
    printed = capsys.readouterr().out
    assert "1 of 1 (0.001)" in printed and "0 of 1 (0.001)" in printed and "+2.0e-03(1e-05)" in printed


def test_the_sets_of_references_are_what_they_are_said_to_be():
    grid = {system.interaction_strength for system in references.paper()}
    assert (len(references.paper()), len(grid), len(set(references.paper()))) == (205, 41, 205)
    assert len(references.off_grid()) == 19
    assert not grid & {system.interaction_strength for system in references.off_grid()}
    assert not set(references.plane()) & set(references.card())
    for system in (*references.off_grid(), *references.plane(), *references.card()):
        assert -20.0 <= system.interaction_strength <= 20.0
        assert 0.25 <= system.interaction_range <= 1.0
    assert [sum(system.n_particles == a for system in references.card()) for a in range(2, 7)] == [10] * 5
    assert references.radical_inverse(6, 2) == 3 / 8


@pytest.mark.parametrize("name", references.SETS)
def test_the_kept_references_are_of_their_set_and_small_systems_are_computed_anew(name):
    rows = references.read_rows(name)
    assert {row.system for row in rows} <= set(references.SETS[name]())
    for row in rows:
        if row.n_particles == 2:
            anew = references.compute(row.system, max_seconds=60.0)
            assert anew.reference_energy == pytest.approx(row.reference_energy, abs=1e-9)  # another BLAS


def test_references_that_a_file_holds_are_not_computed_again(tmp_path, monkeypatch):
    pair = references.System(2, 3.0, 0.5)
    free = references.System(2, 0.0, 0.5)
    monkeypatch.setitem(references.SETS, "paper", lambda: [free, pair])
    known = references.Row(*pair, 1.0, 0.0, "relative_coordinate")
    references.write_rows("paper", [known], tmp_path)
    assert references.missing(["paper"], tmp_path) == [("paper", free)]
    references.main(["--sets", "paper"], tmp_path)
    assert references.read_rows("paper", tmp_path) == [references.Row(*free, 2.0, 0.0, "free_fermions"), known]


def test_a_reference_without_an_energy_is_tried_again(tmp_path):
    system = references.paper()[0]
    references.write_rows("paper", [references.Row(*system, math.nan, math.nan, "none")], tmp_path)
    assert references.missing(["paper"], tmp_path)[0] == ("paper", system)
