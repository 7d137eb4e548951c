"""JastrowAnsatz in a whole run: everything that works with determinants works with it."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import tensorflow as tf

import tf_nqs
from tf_nqs import evaluate, observe
from tf_nqs.analysis import read_metrics
from tf_nqs.commands import export, train
from tf_nqs.commands.command import main
from tf_nqs.config import load_toml, settings_from
from tf_nqs.experiment.run import run
from tf_nqs.storage.checkpoints import newest_checkpoint

SMALL = {
    "ansatz": "jastrow",
    "n_particles": 2,
    "interaction_strength": 10.0,
    "n_features": 4,
    "n_pair_features": 4,
    "n_walkers": 32,
    "n_steps": 2,
    "n_burn_in": 10,
    "iterations": 24,
    "iterations_per_call": 4,
    "checkpoint_iterations": 6,
    "target_error": 1.0,
    "evaluation_max_seconds": 1e6,  # a measurement that is ended by time depends on the load
    "reference_max_seconds": 0.0,
    "jit_compile": False,
    "quiet": True,
}
SHORT = {
    "n_layers": 1,
    "n_pair_layers": 1,
    "iterations": 4,
    "iterations_per_call": 2,
    "checkpoint_iterations": 2,
    "resampling": "guarded",
    "longest_wait": 3,
}
EVERYTHING = {
    "resampling": "guarded",
    "longest_wait": 3,
    "freeze_equivariant": True,
    "release_at": 7,
    "early_stopping": "thesis",
    "window": 10,
    "restore_best": True,
    "profile": True,
}


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """A run of four iterations, some of which re-weight the samples of those before."""
    folder = tmp_path_factory.mktemp("jastrow") / "begun"
    run(settings_from(None, {**SMALL, **SHORT, "run_dir": str(folder)}))
    return folder


def test_a_short_run(begun):
    system, ansatz, settings = tf_nqs.load(begun)
    assert isinstance(ansatz, tf_nqs.JastrowAnsatz) and system.n_particles == 2
    assert (settings.ansatz.ansatz, settings.ansatz.n_features) == ("jastrow", 4)
    assert load_toml(begun / "config.toml") == settings == settings.filled()
    assert any(np.any(weight) for weight in ansatz.pair_head.get_weights())  # it starts at zero


def test_a_short_run_reweights_and_is_resumed_bit_by_bit(begun, tmp_path):
    """From the checkpoint in the middle, as those of its end are damaged."""
    shutil.copytree(begun, folder := tmp_path / "resumed")
    while (newest := newest_checkpoint(folder / "checkpoints")).facts["iteration"] > 2:
        newest.path.with_suffix(".index").write_bytes(b"damaged")
    before = json.loads((begun / "result.json").read_text())
    assert before["n_samplings"] < before["n_iterations"] == 4
    resumed = run(settings_from(None, {**SMALL, **SHORT, "run_dir": str(folder)}), resume=True)
    assert_same_runs(begun, folder)
    assert (resumed.energy, resumed.n_samplings) == (before["energy"], before["n_samplings"])


def assert_same_runs(*folders):
    """All rows in all columns but `seconds`, and every bit of every weight."""
    before, after = (read_metrics(one / "metrics.csv") for one in folders)
    for name in before.keys() - {"seconds"}:
        np.testing.assert_array_equal(before[name], after[name])
    for old, new in zip(*(tf_nqs.load(one).ansatz.get_weights() for one in folders), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run with everything that has a state: reused samples, released layers, windows, the best weights."""
    folder = tmp_path_factory.mktemp("jastrow") / "whole"
    result = run(settings_from(None, {**SMALL, **EVERYTHING, "run_dir": str(folder)}))
    return folder, result


@pytest.mark.slow
def test_a_whole_run(whole):
    folder, result = whole
    assert result.stop_reason == "iterations" and result.released_iteration == 7
    assert result.n_parameters == result.n_trainable_parameters == tf_nqs.load(folder).ansatz.count_params()
    assert {"profile.csv", "energy.png", "walkers.npz"} <= {path.name for path in folder.iterdir()}


@pytest.mark.slow
def test_a_run_that_is_resumed_is_the_same(whole, tmp_path):
    folder, result = whole
    settings = {**SMALL, **EVERYTHING, "profile": False, "run_dir": str(tmp_path / "resumed")}
    run(settings_from(None, {**settings, "iterations": 12}))
    resumed = run(settings_from(None, settings), resume=True)
    assert_same_runs(folder, tmp_path / "resumed")
    assert (resumed.energy, resumed.released_iteration) == (result.energy, 7)


@pytest.mark.slow
def test_it_is_measured_again_and_observed(whole, capsys):
    folder, _ = whole
    assert main(evaluate.COMMAND, ["", f"--run_dir={folder}", "--evaluation_max_seconds=2", "--quiet"]) == 0
    assert json.loads((folder / "evaluation.json").read_text())["energy_error"] > 0
    assert main(observe.COMMAND, ["", f"--run_dir={folder}", "--evaluation_max_seconds=2", "--quiet"]) == 0
    with np.load(folder / "observables.npz") as file:
        assert file["occupations"].sum() + file["occupations_left_out"] == pytest.approx(2, abs=1e-3)
        assert len(file["natural_orbitals"]) == len(file["occupations"])


@pytest.mark.slow
def test_an_export_has_no_orbitals_and_says_so(begun, tmp_path):
    folder = begun
    assert export.main(["", f"--run_dir={folder}", f"--output={tmp_path / 'exported'}"]) == 0
    loaded = tf.saved_model.load(str(tmp_path / "exported" / "1"))
    signatures = {"log_psi", "psi", "local_energy", "gradient_and_laplacian", "sample", "serving_default"}
    assert set(loaded.signatures) == signatures
    x = np.random.default_rng(0).normal(size=(5, 2)).astype("float32")
    found = loaded.signatures["log_psi"](positions=tf.constant(x))["log_abs_psi"]
    np.testing.assert_allclose(found, tf_nqs.load(folder).ansatz(x).log_abs_psi, rtol=1e-5, atol=1e-5)
    text = (tmp_path / "exported" / "README.md").read_text()
    assert "There is no signature `orbitals`: this wave function is not made of determinants" in text
    assert "number of determinants" not in text


@pytest.mark.slow
def test_a_chain_takes_all_weights_to_more_particles(tmp_path, capsys):
    config, quick = tmp_path / "chain.toml", {**SMALL, "iterations": 4, "n_particles": 2}
    lines = [f"{leaf} = {json.dumps(value)}" for leaf, value in quick.items() if leaf != "quiet"]
    config.write_text("\n".join([*lines, "[[stage]]", "[[stage]]", "n_particles = 4", "freeze_equivariant = true"]))
    assert train.main(["", f"--config={config}", f"--run_dir={tmp_path / 'chain'}", "--quiet"]) == 0
    report = json.loads((tmp_path / "chain" / "stage_2" / "result.json").read_text())["transfer"]
    assert (report["kind"], report["drawn"], report["walkers"]) == ("particle", {}, "new, burnt in")
    ansatz = tf_nqs.load(tmp_path / "chain" / "stage_2").ansatz
    assert sum(report["copied"].values()) == ansatz.count_params()
    assert {name.partition("/")[0] for name in report["frozen"]} == {"pair_network", "equivariant_1", "equivariant_2"}


def test_a_transfer_between_kinds_is_refused_before_anything_is_written(begun, tmp_path, capsys):
    folder = begun
    flags = [f"--transfer_from={folder}", f"--run_dir={tmp_path / 'new'}", "--n_particles=2"]
    assert train.main(["", *flags]) == 2
    line = f"error: transfer_from = '{folder}': has ansatz = jastrow, the run ansatz = slater; must be the same\n"
    assert capsys.readouterr().err == line
    assert not (tmp_path / "new").exists()


@pytest.mark.slow
def test_an_interaction_transfer_carries_weights_and_walkers(whole, tmp_path):
    folder, _ = whole
    places = {
        "transfer_from": str(folder),
        "run_dir": str(tmp_path / "new"),
        "interaction_range": 0.25,
        "iterations": 2,
    }
    result = run(settings_from(None, {**SMALL, **places}))
    assert (result.transfer["kind"], result.transfer["walkers"]) == ("interaction", "carried over")
    assert tf_nqs.load(tmp_path / "new").ansatz.pair_network.length == 0.5


def test_a_class_that_cannot_be_imported_is_bad_input(tmp_path, capsys):
    assert train.main(["", "--ansatz=nowhere:Own", "--n_particles=2", f"--run_dir={tmp_path / 'new'}"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ansatz = 'nowhere:Own': cannot be imported (No module named 'nowhere')")
    assert error.count("\n") == 1 and not (tmp_path / "new").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "system",
    [
        {"interaction_strength": -20.0, "interaction_range": 0.25},
        {"interaction_strength": -10.0, "trap": "none"},
        {"interaction_strength": -100.0, "interaction_range": 0.1, "iterations": 100},
    ],
)
def test_bound_pairs_train_without_faults(system, tmp_path):
    """Of a narrow well, and without a trap: energies are finite, and fall towards the exact one."""
    from tf_nqs.exact import bound_pair_energy, two_particle_energy

    iterations = {"iterations": 30, "n_walkers": 256, "n_steps": 5, "n_burn_in": 100, "n_features": 16}
    settings = settings_from(
        None, {**SMALL, "n_pair_features": 16, **iterations, **system, "run_dir": str(tmp_path / "run")}
    )
    result = run(settings)
    strength, width = system["interaction_strength"], settings.resolved()["interaction_range"]
    exact = (bound_pair_energy if "trap" in system else two_particle_energy)(strength, width)
    exact = exact[0] if isinstance(exact, tuple) else exact
    assert (result.non_finite_share_training, result.n_repairs, result.n_rejected) == (0, 0, 0)
    assert result.energy == pytest.approx(exact, abs=max(0.1, 0.02 * abs(exact)))


@pytest.mark.slow
@pytest.mark.parametrize(("strength", "width", "seed"), [(17.7, 0.36, 2058188731), (7.992, 0.225, 685506823)])
def test_a_hard_core_stays_learned(strength, width, seed, tmp_path):
    """Walkers are rare in the core, and far off there: momentum once multiplied them until the energy came apart."""
    system = {"n_particles": 2, "interaction_strength": strength, "interaction_range": width}
    rest = {"ansatz": "jastrow", "iterations": 300, "target_error": 2.5e-4, "quiet": True}
    found = run(settings_from(None, {**system, **rest, "seed": seed, "run_dir": str(tmp_path / "core")}))
    assert found.variance < 1e-2
    assert abs(found.energy - found.reference_energy) < 1e-3
