"""The exported model of a family: one model, with the parameters of the systems beside the positions."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_nqs
from tf_nqs.saved_model import content
from tf_nqs.saved_model.family import check_family, places_to_check
from tf_nqs.saved_model.family_readme import family_readme
from tf_nqs.saved_model.recipes import FAMILY_RECIPES

FAMILY = tf_nqs.FermionFamily([2, 3], (-20.0, 20.0), (0.25, 1.0))
SUMMARY = {
    "n_particles": [4],
    "interaction_strength": [-20.0, 20.0],
    "interaction_range": [0.5, 0.5],
    "interaction": "gaussian",
    "trap": "harmonic",
    "dtype": "float32",
    "n_parameters": 1234,
    "n_iterations": 10,
    "is_extrapolated": False,
    "versions": {},
}


def make_ansatz(kind, dtype):
    keras.utils.set_random_seed(1)
    if kind == "jastrow":
        sizes = {"n_features": 4, "n_layers": 1, "n_pair_features": 4, "n_pair_layers": 1}
        return tf_nqs.JastrowAnsatz(3, **sizes, conditions=FAMILY.conditions, dtype=dtype)
    return tf_nqs.FermionAnsatz(3, n_features=4, n_layers=2, conditions=FAMILY.conditions, dtype=dtype)


def walkers(n_particles, n_walkers=8):
    return tf.constant(np.random.default_rng(n_particles).normal(size=(n_walkers, n_particles)))


def test_members_to_check_reach_both_ends_of_all_ranges():
    space = tf_nqs.FermionFamily([2, 4, 5, 6], (-0.3, 0.1), (0.3, 0.7)).conditions
    places = list(places_to_check(tf_nqs.FermionFamily([2, 4, 5, 6], (-0.3, 0.1), (0.3, 0.7))))
    assert [number for number, *_ in places] == [2, 4, 5, 6]
    assert places[0][1:] == pytest.approx((-0.3, 0.7)) and places[-1][1:] == pytest.approx((0.1, 0.3))
    for place in places:
        space.values_of_member(*place)
    assert len(list(places_to_check(tf_nqs.FermionFamily(4, (-20.0, 20.0))))) == 3


def test_the_ansatz_must_be_that_of_the_family(tmp_path):
    ansatz = make_ansatz("jastrow", "float64")
    with pytest.raises(ValueError, match="conditions of the ansatz: must be those of the family"):
        tf_nqs.export(ansatz, tf_nqs.FermionFamily([2, 3], (-10.0, 20.0)), tmp_path / "new")
    with pytest.raises(ValueError, match="conditions of the ansatz: need a FermionFamily as system"):
        tf_nqs.export(ansatz, tf_nqs.TrappedFermions(3), tmp_path / "new")
    assert not list(tmp_path.iterdir())


def test_a_family_with_the_scales_of_another_one_is_exported_as_itself():
    """What a training makes that started from the weights of another family; see `build_ansatz`."""
    source = tf_nqs.FermionFamily([2, 3], (-10.0, 10.0), (0.25, 0.5)).conditions
    scaled = SimpleNamespace(conditions=FAMILY.conditions.scaled_as(source))
    assert scaled.conditions != FAMILY.conditions
    check_family(scaled, FAMILY)
    with pytest.raises(ValueError, match="conditions of the ansatz: must be those of the family"):
        check_family(SimpleNamespace(conditions=source), FAMILY)
    with pytest.raises(ValueError, match="conditions of the ansatz: must be those of the family"):
        check_family(SimpleNamespace(), FAMILY)


@pytest.mark.parametrize(
    ("trap", "name", "quartic"),
    [(lambda x: tf.reduce_sum(x**4, axis=1), "custom", None), (True, "harmonic", None), ("quartic", "quartic", 0.3)],
)
def test_the_summary_of_a_family_names_its_trap(trap, name, quartic, monkeypatch):
    monkeypatch.setattr(content.families, "make_graphs", lambda *_: SimpleNamespace(names=["log_psi"]))
    monkeypatch.setattr(content, "functions_of_positions", lambda *_: {})
    ansatz = SimpleNamespace(member=lambda *_: None, compute_dtype="float64", count_params=lambda: 5)
    family = tf_nqs.FermionFamily(2, (-20.0, 20.0), trap=trap, **({"trap_quartic": quartic} if quartic else {}))
    summary = json.loads(json.dumps(content.content_of_family(ansatz, family, "auto", True).summary))
    assert (summary["trap"], summary["trap_quartic"], summary["trap_separation"]) == (name, quartic, None)


def test_readme_of_a_family():
    text = family_readme("a4", ["log_psi", "orbitals"], SUMMARY, {"curve.csv": ""})
    assert "- `interaction_strength`: -20 to 20" in text and "- `interaction_range`: 0.5 a_ho" in text
    assert "- system: harmonic trap, Gaussian interaction\n" in text
    assert "refused" in text and "`1/assets/curve.csv`: the measured energies" in text and FAMILY_RECIPES in text
    assert "n_particles, interaction_strength, interaction_range = 4, 0.0, 0.5" in text
    without = family_readme("a4", ["log_psi"], SUMMARY | {"interaction_range": None, "is_extrapolated": True}, {})
    assert "not refused" in without and "`interaction_range`" not in without


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exports") / "family"
    ansatz = make_ansatz("jastrow", "float64")
    assets = {"curve.csv": "n_particles,energy\n2,2.17\n"}
    deviations = tf_nqs.export(ansatz, FAMILY, folder, assets=assets)
    assert max(deviations.values()) <= 1e-10
    return folder, ansatz, tf.saved_model.load(str(folder / "1"))


@pytest.mark.slow
@pytest.mark.parametrize("place", [(2, -20.0, 0.25), (3, 7.3, 0.5)])
def test_methods_give_the_numbers_of_a_member(exported, place):
    _, ansatz, model = exported
    number, *parameters = place
    x, member, system = walkers(number), ansatz.member(*place), FAMILY.member(*place)
    derivatives = member.forward_laplacian(x)[1]
    np.testing.assert_allclose(model.log_psi(x, *parameters)["log_abs_psi"], member(x)[1], rtol=1e-11, atol=1e-12)
    energy = model.local_energy(x, *parameters)
    np.testing.assert_allclose(energy["total"], system.local_energy(x, derivatives).total, rtol=1e-10)
    strength, width = tf.constant(place[1], x.dtype), tf.fill((len(x),), tf.constant(place[2], x.dtype))
    signature = model.signatures["gradient_and_laplacian"]
    found = signature(positions=x, interaction_strength=strength, interaction_range=width)
    np.testing.assert_allclose(found["gradient"], derivatives.gradient, rtol=1e-10)


@pytest.mark.slow
def test_derivatives_by_positions_and_parameters_go_through_the_model_in_a_graph(exported):
    _, _, model = exported
    x, strength = walkers(3), tf.constant(7.3, tf.float64)

    @tf.function(autograph=False)
    def derivatives(x, strength):
        columns = tf.unstack(x, axis=1)
        with tf.GradientTape(persistent=True) as outer:
            outer.watch([*columns, strength])
            stacked = tf.stack(columns, axis=1)
            with tf.GradientTape() as inner:
                inner.watch(stacked)
                value = model.log_psi(stacked, strength, 0.5)["log_abs_psi"]
            gradient = tf.ensure_shape(inner.gradient(value, stacked), stacked.shape)
            components = tf.unstack(gradient, axis=1)
        laplacian = tf.add_n([outer.gradient(one, column) for one, column in zip(components, columns, strict=True)])
        return gradient, laplacian, outer.gradient(value, strength)

    gradient, laplacian, slope = derivatives(x, strength)
    wanted = model.gradient_and_laplacian(x, strength, 0.5)
    np.testing.assert_allclose(gradient, wanted["gradient"], rtol=1e-10)
    scale = 1 + np.sum(gradient**2, axis=1)  # of the terms that cancel near a node
    np.testing.assert_allclose(laplacian / scale, wanted["laplacian"] / scale, atol=1e-11)
    above, below = (tf.reduce_sum(model.log_psi(x, strength + h, 0.5)["log_abs_psi"]) for h in (1e-4, -1e-4))
    np.testing.assert_allclose(slope, (above - below) / 2e-4, rtol=1e-6)


@pytest.mark.slow
def test_what_does_not_fit_is_refused_in_words(exported):
    _, _, model = exported
    x = walkers(3)
    for call, message in (
        (lambda: model.log_psi(x[:, :1], 1.0, 0.5), "positions must have shape (n, 2) or (n, 3)"),
        (lambda: model.log_psi(x[0], 1.0, 0.5), "positions must have shape (n, 2) or (n, 3)"),
        (lambda: model.log_psi(x, [1.0, 2.0], 0.5), "interaction_strength must be a number, or have shape (n,)"),
        (lambda: model.log_psi(x, 20.5, 0.5), "interaction_strength must be from -20 to 20, as trained; it was"),
        (lambda: model.local_energy(x, 1.0, float("nan")), "interaction_range must be from 0.25 to 1, as trained"),
        (lambda: model.sample([0, 1], 5, 10, 4, 1.0, 0.5), "n_particles must be 2 or 3, as trained; it was"),
    ):
        with pytest.raises(tf.errors.InvalidArgumentError, match=re.escape(message)):
            call()


@pytest.mark.slow
def test_the_recipes_of_the_readme_run(exported):
    folder, _, model = exported
    text = (folder / "README.md").read_text(encoding="utf-8").replace('"family/1"', repr(f"{folder}/1"))
    defined = {}
    for block in re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        exec(block, defined)
    assert json.loads((folder / "1/assets/export.json").read_text())["n_particles"] == [2, 3]
    assert defined["values"]["sign"].shape == (1000,)
    energies, errors = defined["curve"](model, [-1.0, 1.0], 2, 0.5, n_walkers=100, n_steps=50)
    assert np.all(np.isfinite(energies)) and np.all(errors > 0)
    assert defined["measured_curve"](f"{folder}/1") == [{"n_particles": "2", "energy": "2.17"}]
    one, other = (defined["Member"](model, 2, strength, 0.5) for strength in (-1.0, 1.0))
    value, error = defined["overlap"](one, other, 200, 50)
    assert 0.5 < value < 1 + 4 * error


@pytest.mark.slow
def test_a_family_of_slater_in_float32_exported_beyond_its_ranges(tmp_path):
    ansatz = make_ansatz("slater", "float32")
    tf_nqs.export(ansatz, FAMILY, tmp_path / "family", extrapolate=True)
    model = tf.saved_model.load(str(tmp_path / "family/1"))
    x = tf.cast(walkers(2), tf.float32)
    member = ansatz.member(2, 25.0, 0.5, extrapolate=True)
    # Two ways to the same biases: some roundings of float32.
    assert np.median(np.abs(model.log_psi(x, 25.0, 0.5)["log_abs_psi"] - member(x)[1])) < 1e-5
    assert model.orbitals(x, 25.0, 0.5)["orbitals"].shape == (8, 1, 2, 2)
