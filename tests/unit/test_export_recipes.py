"""The recipes for those who receive an export: each gives the right number, with the code as the README prints it."""

from __future__ import annotations

import math
import re
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_nqs
from tf_nqs.ansatz import FermionAnsatz
from tf_nqs.physics import TrappedFermions
from tf_nqs.saved_model.recipes import RECIPES

ROOT = Path(__file__).parents[2]
A = 2


class Gaussian(keras.Model):
    """One particle, exp(-(steepness x)^2/2), with one trainable number; its ground state has steepness 1."""

    n_particles = 1

    def __init__(self, steepness, **kwargs):
        super().__init__(**kwargs)
        self.steepness = self.add_weight(shape=(), initializer=keras.initializers.Constant(steepness))

    def call(self, positions):
        return tf.ones_like(positions[:, 0]), -0.5 * (self.steepness * positions[:, 0]) ** 2


def gaussian(steepness, folder):
    """Returns an export of one particle, loaded."""
    tf_nqs.export(Gaussian(steepness, dtype="float64"), TrappedFermions(1), folder)
    return tf.saved_model.load(str(folder / "1"))


def code_blocks(text):
    return re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """Two fermions with random weights: folder of the export, and the ansatz."""
    folder = tmp_path_factory.mktemp("exports") / "pair"
    keras.utils.set_random_seed(1)
    ansatz = FermionAnsatz(A, n_features=4, n_layers=1)
    tf_nqs.export(ansatz, TrappedFermions(A, interaction_strength=10.0), folder)
    return folder, ansatz


@pytest.fixture(scope="module")
def names(pair):
    """What the code of the README of an export defines, run as it stands there, TensorFlow Lite left out."""
    folder, _ = pair
    blocks = code_blocks((folder / "README.md").read_text(encoding="utf-8").replace('"pair/1"', repr(f"{folder}/1")))
    assert len(blocks) == 7 and "tf.lite" in blocks[-1]
    defined = {}
    for block in blocks[:-1]:
        exec(block, defined)
    return defined | {"lite": blocks[-1]}


def test_both_readmes_have_the_recipes(pair):
    for text in ((ROOT / "export/README.md").read_text("utf-8"), (pair[0] / "README.md").read_text("utf-8")):
        assert RECIPES in text


def test_methods_are_the_signatures(pair, names):
    _, ansatz = pair
    sign, log_abs_psi = ansatz(names["positions"])
    np.testing.assert_array_equal(names["sign"], sign)
    assert np.median(np.abs(names["log_abs_psi"] - log_abs_psi)) < 1e-5  # some roundings of float32
    assert names["walkers"].shape == (100, A)
    assert [value.shape for value in names["model"].parameters] == [value.shape for value in ansatz.variables]
    plain = names["model"].log_psi([[0.5, -1.0]])
    np.testing.assert_array_equal(plain["sign"], ansatz(np.array([[0.5, -1.0]]))[0])


@pytest.mark.parametrize("shape", [(4, 3), (4, 4), (4, 1), (A,), (4, A, 1), ()])
def test_positions_of_another_shape_are_refused_in_words(pair, names, shape):
    """Four coordinates used to be computed with, silently or not; a walker without its first axis ended in op names."""
    model, x = names["model"], tf.ones(shape)
    for function in (model.log_psi, model.local_energy, lambda x: model.signatures["log_psi"](positions=x)):
        with pytest.raises(tf.errors.InvalidArgumentError) as refusal:
            function(x)
        assert "positions must have shape (n, 2): n walkers of 2 particles each; the shape was" in str(refusal.value)


def test_fine_tuning_finds_the_ground_state_and_can_be_saved(tmp_path, names):
    model = gaussian(0.8, tmp_path / "start")
    history = names["fine_tune"](model, 40, learning_rate=0.5, n_walkers=4000, n_steps=100)
    # <H> = (s^2 + 1/s^2)/4; the exact state has no statistical error at all, so descent must end there
    assert history[0] == pytest.approx((0.8**2 + 0.8**-2) / 4, abs=0.02)
    assert history[-1] == pytest.approx(0.5, abs=1e-6)
    assert abs(float(model.parameters[0])) == pytest.approx(1.0, abs=1e-4)
    network = Gaussian(0.8, dtype="float64")
    for variable, value in zip(network.variables, model.parameters, strict=True):
        variable.assign(value)
    assert float(network.steepness) == float(model.parameters[0])
    names["save_again"](model, str(tmp_path / "tuned"))
    again = tf.saved_model.load(str(tmp_path / "tuned"))
    assert set(again.signatures) == set(model.signatures) and float(again.parameters[0]) == float(model.parameters[0])
    x = tf.constant([[0.3], [-1.2]], tf.float64)
    for name in ("log_psi", "local_energy", "psi"):
        for output, value in again.signatures[name](positions=x).items():
            np.testing.assert_array_equal(value, model.signatures[name](positions=x)[output])
            np.testing.assert_array_equal(value, getattr(again, name)(x)[output])
    with pytest.raises(tf.errors.InvalidArgumentError, match=re.escape("positions must have shape (n, 1)")):
        again.signatures["log_psi"](positions=tf.ones((3, 2), tf.float64))


def test_overlap_and_norm_of_gaussians(tmp_path, names):
    one, other = gaussian(1.0, tmp_path / "one"), gaussian(1.5, tmp_path / "other")
    exact = 2 * 1.0 * 1.5 / (1.0**2 + 1.5**2)
    value, error = names["overlap"](one, other, 4000, 200)
    assert 0 < error < 0.02 and abs(value - exact) < 4 * error
    assert names["overlap"](one, one, 100, 20) == pytest.approx((1.0, 0.0), abs=1e-12)
    value, error = names["log_norm"](other, 20_000)
    assert 0 < error < 0.01 and abs(value - math.log(math.sqrt(math.pi) / 1.5)) < 4 * error


@pytest.mark.slow
def test_overlap_and_norm_of_fermions(tmp_path, names, pair):
    """Against sums over a grid, on which smooth functions that vanish at its ends are integrated almost exactly."""
    keras.utils.set_random_seed(2)
    tf_nqs.export(FermionAnsatz(A, n_features=4, n_layers=1), TrappedFermions(A), tmp_path / "other")
    models = names["model"], tf.saved_model.load(str(tmp_path / "other/1"))
    x = np.linspace(-7.0, 7.0, 141)
    grid = np.stack(np.meshgrid(x, x), axis=-1).reshape(-1, A).astype(np.float32)
    one, other = (model.psi(grid)["psi"].numpy().astype(np.float64) for model in models)
    value, error = names["overlap"](*models)
    exact = np.sum(one * other) ** 2 / (np.sum(one**2) * np.sum(other**2))
    assert 0 < error < 0.05 and abs(value - exact) < 4 * error
    value, error = names["log_norm"](models[0])
    assert 0 < error < 0.02 and abs(value - math.log(np.sum(one**2) * 0.1**2)) < 4 * error


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated:UserWarning")
def test_tensorflow_lite_gives_the_same_numbers(names):
    defined = dict(names)
    exec(names["lite"], defined)
    assert set(defined["lite_values"]) == {"sign", "log_abs_psi"}
    x = defined["positions"].numpy()
    for signature in ("log_psi", "psi", "local_energy", "gradient_and_laplacian"):
        content = defined["to_lite"](defined["folder"], signature)
        found = tf.lite.Interpreter(model_content=content).get_signature_runner(signature)(positions=x)
        for output, wanted in getattr(defined["model"], signature)(x).items():
            off = np.abs(found[output] - wanted) / np.maximum(1, np.abs(wanted))
            assert np.quantile(off, 0.9) < 1e-3, output  # as for an export: near a node no digit is left
