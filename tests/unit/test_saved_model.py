"""The exported model: its numbers, its derivatives, its sampler, and that an export never costs anything older."""

from __future__ import annotations

import errno
import json
import os

import keras
import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

import tf_nqs
from tf_nqs.ansatz import FermionAnsatz
from tf_nqs.config.errors import SettingsError
from tf_nqs.physics import TrappedFermions
from tf_nqs.saved_model import content
from tf_nqs.saved_model import export as saved_model
from tf_nqs.saved_model.content import Compared
from tf_nqs.saved_model.graphs import portable
from tf_nqs.saved_model.readme import readme
from tf_nqs.saved_model.signatures import OUTPUTS, functions_of_positions
from tf_nqs.storage.export_folder import check_output

A, WIDTH = 2, 0.1
SYSTEM = TrappedFermions(A, interaction_strength=10.0)


class Gaussian(keras.Model):
    """One particle in the ground state of a stiff trap, exp(-x^2/(2 WIDTH^2)); has neither orbitals nor a Laplacian."""

    n_particles, width = 1, WIDTH

    def call(self, positions):
        return tf.ones_like(positions[:, 0]), -0.5 * positions[:, 0] ** 2 / self.width**2


class Wider(Gaussian):
    """That of a trap which is not as stiff."""

    width = 2 * WIDTH


def make_ansatz(seed=0):
    """Two determinants of orbitals with random weights."""
    keras.utils.set_random_seed(seed)
    return FermionAnsatz(A, n_features=4, n_layers=2, n_determinants=2, dtype="float64")


@pytest.fixture(scope="module")
def ansatz():
    return make_ansatz()


@pytest.fixture(scope="module")
def exported(ansatz, tmp_path_factory):
    """The folder of an export."""
    folder = tmp_path_factory.mktemp("exports") / "pair"
    assets = {"config.toml": "n_particles = 2\n", "result.json": '{"energy": 2.4256, "energy_error": 0.001}'}
    deviations = tf_nqs.export(ansatz, SYSTEM, folder, assets=assets)
    assert set(deviations) == set(OUTPUTS) - {"sample"}
    assert max(deviations.values()) <= 1e-10
    return folder


@pytest.fixture(scope="module")
def loaded(exported):
    return tf.saved_model.load(str(exported / "1"))


def positions_of(n_walkers, n_particles=A, seed=1):
    return tf.constant(np.random.default_rng(seed).normal(size=(n_walkers, n_particles)))


def draw(loaded, n_walkers, n_steps, seed=0):
    numbers = {"seed": [0, seed], "n_walkers": n_walkers, "n_steps": n_steps}
    tensors = {name: tf.constant(number) for name, number in numbers.items()}
    return loaded.signatures["sample"](**tensors)["positions"].numpy()


def assert_same(found, wanted):
    """The same operations in the same order: only the compiler's rounding of orbitals that are not near a node."""
    np.testing.assert_allclose(found, wanted, rtol=1e-11, atol=1e-12)


def folder_contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("n_walkers", [0, 1, 7, 100])
def test_signatures_give_the_numbers_of_the_ansatz(ansatz, loaded, n_walkers):
    x = positions_of(n_walkers)
    sign, log_abs_psi = ansatz(x)
    energy = SYSTEM.local_energy_of(ansatz.log_abs_psi, x)
    derivatives = ansatz.forward_laplacian(x)[1]
    found = {name: loaded.signatures[name](positions=x) for name in set(OUTPUTS) - {"sample"}}
    assert {name: set(outputs) for name, outputs in found.items()} == {name: set(OUTPUTS[name]) for name in found}
    np.testing.assert_array_equal(found["log_psi"]["sign"], sign)
    assert_same(found["log_psi"]["log_abs_psi"], log_abs_psi)
    assert_same(found["psi"]["psi"], sign * tf.exp(log_abs_psi))
    assert_same(found["orbitals"]["orbitals"], ansatz.orbitals(x))
    assert_same(found["gradient_and_laplacian"]["gradient"], derivatives.gradient)
    # Near a node the two terms of the Laplacian are large and of opposite sign.
    scale = 1 + np.sum(derivatives.gradient**2, axis=1)
    wanted = derivatives.laplacian - tf.reduce_sum(derivatives.gradient**2, axis=1)
    assert_same(found["gradient_and_laplacian"]["laplacian"] / scale, wanted / scale)
    for name in ("total", "kinetic", "trap", "interaction"):
        # Two ways to the Laplacian, whose rounding errors grow like the terms that cancel in it.
        np.testing.assert_allclose(found["local_energy"][name] / scale, getattr(energy, name) / scale, atol=1e-11)


def test_serving_default_is_log_psi(loaded):
    x = positions_of(5)
    default, named = (loaded.signatures[name](positions=x) for name in ("serving_default", "log_psi"))
    assert set(default) == {"sign", "log_abs_psi"}
    np.testing.assert_array_equal(default["log_abs_psi"], named["log_abs_psi"])


def test_derivatives_go_through_the_loaded_log_psi(loaded):
    x = positions_of(20)
    columns = tf.unstack(x, axis=1)
    with tf.GradientTape(persistent=True) as outer:
        outer.watch(columns)
        stacked = tf.stack(columns, axis=1)
        with tf.GradientTape() as inner:
            inner.watch(stacked)
            value = loaded.signatures["log_psi"](positions=stacked)["log_abs_psi"]
        gradient = inner.gradient(value, stacked)
        components = tf.unstack(gradient, axis=1)
    laplacian = sum(outer.gradient(g, c) for g, c in zip(components, columns, strict=True))
    wanted = loaded.signatures["gradient_and_laplacian"](positions=x)
    assert_same(gradient, wanted["gradient"])
    scale = 1 + np.sum(gradient**2, axis=1)  # of the terms that cancel near a node
    np.testing.assert_allclose(laplacian / scale, wanted["laplacian"] / scale, atol=1e-11)


def test_nested_custom_gradients_become_differentiable_operations():
    """x^3, whose custom gradient uses a function with a custom gradient in turn."""

    @tf.custom_gradient
    def square(x):
        return x**2, lambda upstream: upstream * 2 * x

    @tf.custom_gradient
    def cube(x):
        return x**3, lambda upstream: upstream * 3 * square(x)

    function = portable(lambda x: {"cube": cube(x)}, tf.TensorSpec((None,), tf.float64))
    graph = function.get_concrete_function().graph
    assert not any("_gradient_op_type" in node.attr for node in graph.as_graph_def().node)
    x = tf.constant([0.5, 2.0], tf.float64)
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as inner:
            inner.watch(x)
            value = function(x)["cube"]
        first = inner.gradient(value, x)
    np.testing.assert_allclose(first, 3 * x**2, rtol=1e-15)
    np.testing.assert_allclose(outer.gradient(first, x), 6 * x, rtol=1e-15)


def test_a_model_of_ones_own_and_the_distribution_of_its_samples(tmp_path):
    """The first proposals are five times too wide: without adaptation few would be accepted."""
    system = TrappedFermions(1, trap=lambda x: 0.5 * x[:, 0] ** 2 / WIDTH**4)
    tf_nqs.export(Gaussian(dtype="float64"), system, tmp_path / "gaussian")
    loaded = tf.saved_model.load(str(tmp_path / "gaussian/1"))
    assert "orbitals" not in loaded.signatures
    text = (tmp_path / "gaussian" / "README.md").read_text(encoding="utf-8")
    assert "There is no signature `orbitals`" in text and "number of determinants" not in text
    energy = loaded.signatures["local_energy"](positions=positions_of(50, 1))["total"]
    np.testing.assert_allclose(energy, np.full(50, 0.5 / WIDTH**2), rtol=1e-12)
    walkers = draw(loaded, 2000, 400)[:, 0]
    assert scipy.stats.kstest(walkers, "norm", (0, WIDTH / np.sqrt(2))).pvalue > 1e-3  # a false alarm in a thousand
    np.testing.assert_array_equal(draw(loaded, 2000, 400)[:, 0], walkers)
    assert np.all(draw(loaded, 2000, 400, seed=1)[:, 0] != walkers)
    start = draw(loaded, 2000, 0)[:, 0]
    assert scipy.stats.kstest(start, "norm").pvalue > 1e-3


@pytest.mark.parametrize(
    ("n_walkers", "n_steps", "message"),
    [(0, 10, "n_walkers must be at least 1"), (5, -1, "n_steps must not be negative")],
)
def test_sample_refuses_impossible_numbers(loaded, n_walkers, n_steps, message):
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        draw(loaded, n_walkers, n_steps)


def test_the_folder_describes_itself(exported):
    assert {path.name for path in exported.iterdir()} == {"1", "README.md"}
    assert (exported / "1/saved_model.pb").is_file()
    text = (exported / "README.md").read_text()
    for signature, outputs in OUTPUTS.items():
        for output in outputs:
            assert f"| `{signature}` |" in text and f"| `{output}` |" in text
    assert "2.4256(10)" in text and "float64" in text and f"tensorflow {tf.__version__}" in text
    assert (exported / "1/assets/config.toml").read_text() == "n_particles = 2\n"
    assert json.loads((exported / "1/assets/export.json").read_text())["versions"]["tf_nqs"] == tf_nqs.__version__
    assert (exported / "1/assets/result.json").is_file()


def test_readme_without_a_measured_energy():
    summary = {"n_particles": 1, "dtype": "float32", "n_parameters": 5, "trap": False, "versions": {}}
    custom = {"interaction": "custom", "interaction_strength": None, "interaction_range": None}
    text = readme("x", ["log_psi"], summary | custom, {})
    assert "- energy: not measured" in text and "no trap, a custom interaction" in text


@pytest.mark.parametrize(
    ("system", "words"),
    [
        (TrappedFermions(4, 10.0), "A = 4, harmonic trap, Gaussian interaction, V0 = 10 ħω a_ho, range 0.5 a_ho"),
        (
            TrappedFermions(4, 10.0, 0.3, trap="quartic", trap_quartic=0.2, pair_stiffness=0.1),
            "A = 4, quartic trap x²/2 + 0.2 x⁴, Gaussian interaction, V0 = 10 ħω a_ho, range 0.3 a_ho, "
            "pair stiffness 0.1",
        ),
        (
            TrappedFermions(2, 0.2, trap="double_well", trap_separation=2.5, interaction="harmonic"),
            "A = 2, double well with minima at ±2.5 a_ho, harmonic interaction, strength = 0.2",
        ),
        (TrappedFermions(3, interaction="none"), "A = 3, harmonic trap, no interaction"),
        (TrappedFermions(3, interaction="none", pair_stiffness=0.5), "A = 3, harmonic trap, pair stiffness 0.5"),
        (TrappedFermions(3, pair_potential=lambda r: r**2), "A = 3, harmonic trap, a custom interaction"),
        (TrappedFermions(1, trap=lambda x: x[:, 0] ** 4, interaction="none"), "A = 1, a custom trap, no interaction"),
    ],
)
def test_the_readme_says_all_of_the_system(system, words, monkeypatch):
    monkeypatch.setattr(content, "functions_of_positions", lambda *_: {})
    summary = content.content_of_system(Gaussian(), system, "auto").summary
    assert f"- system: {words}\n" in readme("x", ["log_psi"], json.loads(json.dumps(summary)), {})


def test_an_export_is_replaced_only_when_asked_for(ansatz, tmp_path):
    folder, x = tmp_path / "pair", tf.cast(positions_of(3, 1), tf.float32)
    tf_nqs.export(Gaussian(), TrappedFermions(1), folder)
    before = folder_contents(folder)
    with pytest.raises(SettingsError, match="holds an export already"):
        tf_nqs.export(ansatz, SYSTEM, folder)
    assert folder_contents(folder) == before
    tf_nqs.export(Wider(), TrappedFermions(1), folder, overwrite=True)
    found = tf.saved_model.load(str(folder / "1")).signatures["log_psi"](positions=x)["log_abs_psi"]
    np.testing.assert_allclose(found, Wider()(x)[1], rtol=1e-5)
    assert [path.name for path in tmp_path.iterdir()] == ["pair"]


def test_a_failed_export_leaves_what_was_there(exported, monkeypatch):
    """Of another wave function, which takes less time."""

    def fail(*_):
        raise saved_model.ExportError("wrong")

    monkeypatch.setattr(saved_model, "_compare", fail)
    before, neighbours = folder_contents(exported), set(exported.parent.iterdir())
    with pytest.raises(saved_model.ExportError):
        tf_nqs.export(Gaussian(), TrappedFermions(1), exported, overwrite=True)
    with pytest.raises(saved_model.ExportError):
        tf_nqs.export(Gaussian(), TrappedFermions(1), exported.parent / "other")
    assert folder_contents(exported) == before
    assert set(exported.parent.iterdir()) == neighbours


@pytest.mark.parametrize("n_bytes", [64, 10_000])
def test_a_full_disk_is_folder_errors(n_bytes, exported, tmp_path, largest_file):
    """The system refuses the texts, or the model, which TensorFlow writes; that of a single particle is larger too."""
    before, neighbours = folder_contents(exported), set(exported.parent.iterdir())
    line = r"^output = '.*': cannot be written \(File too large\); must be a new or an empty folder on a disk with room"
    with largest_file(n_bytes):
        for folder, overwrite in ((exported, True), (tmp_path / "new/parents/export", False)):
            with pytest.raises(SettingsError, match=line):
                tf_nqs.export(Gaussian(), TrappedFermions(1), folder, overwrite=overwrite)
    assert folder_contents(exported) == before
    assert set(exported.parent.iterdir()) == neighbours and not list(tmp_path.iterdir())


def test_an_export_that_cannot_be_put_in_place_leaves_what_was_there(exported, monkeypatch):
    rename = os.replace

    def refuse(source, target):
        if target == exported and source.name == "new":
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        rename(source, target)

    monkeypatch.setattr(saved_model.os, "replace", refuse)
    before = folder_contents(exported)
    with pytest.raises(SettingsError, match=r"cannot be written \(Read-only file system\)"):
        with saved_model._written_beside(exported, exported):
            pass
    assert folder_contents(exported) == before


def test_wrong_numbers_are_found(exported):
    other = functions_of_positions(make_ansatz(seed=1), SYSTEM)
    with pytest.raises(saved_model.ExportError, match="after reloading"):
        saved_model._compare([Compared(other)], exported)


@pytest.mark.parametrize(
    ("signature", "output", "n_spoilt", "fault"),
    [
        ("log_psi", "log_abs_psi", 7, "off by more than 1e-12 after reloading for 7 of 64 walkers"),
        ("local_energy", "kinetic", 7, "off by more than 1e-11 after reloading for 7 of 64 walkers"),
        ("log_psi", "sign", 64, "off by more than"),
        ("local_energy", "total", 6, None),  # next to nodes, perhaps
    ],
)
def test_a_tenth_of_the_walkers_may_be_off(ansatz, exported, signature, output, n_spoilt, fault):
    functions = functions_of_positions(ansatz, SYSTEM)

    def spoilt(positions):
        numbers = functions[signature](positions)
        return numbers | {output: numbers[output] + np.where(np.arange(64) < n_spoilt, 1e-6, 0.0)}

    compare = [Compared({signature: spoilt})]
    if fault is None:
        assert saved_model._compare(compare, exported)[signature] > 1e-7
        return
    with pytest.raises(saved_model.ExportError, match=f"{output} of {signature}: {fault}"):
        saved_model._compare(compare, exported)


def test_bounds_stay_below_what_a_wrong_export_is_off():
    assert saved_model._bound("log_psi", 4, "float32") == 1e-5 and saved_model._bound("log_psi", 1, "float64") == 1e-12
    assert saved_model._bound("local_energy", 6, "float32") == pytest.approx(9e-3)
    assert saved_model._bound("local_energy", 10_000, "float64") == 0.1


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_a_model_without_finite_numbers_is_not_exported(tmp_path, value):
    """Reloaded, it gives the very same, and yet nothing agrees."""

    class Nowhere(Gaussian):
        def call(self, positions):
            return tf.ones_like(positions[:, 0]), tf.zeros_like(positions[:, 0]) + value

    with pytest.raises(saved_model.ExportError, match="log_abs_psi of log_psi: not finite for 64 of 64 walkers"):
        tf_nqs.export(Nowhere(), TrappedFermions(1), tmp_path / "new/parents/export")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("overwrite", [False, True])
def test_other_files_are_never_replaced(exported, tmp_path, overwrite):
    (tmp_path / "energy.csv").write_text("precious")
    with pytest.raises(SettingsError, match="holds files that do not belong to an export"):
        check_output(tmp_path, overwrite)
    with pytest.raises(SettingsError, match="is a file"):
        check_output(tmp_path / "energy.csv", overwrite)
    with pytest.raises(SettingsError, match="no usable path"):
        check_output("x" * 300, overwrite)
    with pytest.raises(SettingsError, match="no usable path"):
        check_output("zero\0byte", overwrite)
    with pytest.raises(SettingsError, match="no usable path"):
        check_output("no unicode\udcff", overwrite)
    for name in ("V0=[5]", "a\\b"):
        with pytest.raises(SettingsError, match=r"TensorFlow loads no model from a path with \[ or \\; must be a new"):
            check_output(tmp_path / name / "export", overwrite)
    with pytest.raises(SettingsError, match=r"energy\.csv is a file"):
        check_output(tmp_path / "energy.csv" / "below", overwrite)


def test_ansatz_and_system_must_match(ansatz, tmp_path):
    with pytest.raises(ValueError, match="n_particles = 2 of the ansatz: the system has 3"):
        tf_nqs.export(ansatz, TrappedFermions(3), tmp_path / "x")
    assert not list(tmp_path.iterdir())
