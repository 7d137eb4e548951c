"""Wave functions by name: from settings to a Keras model, and one line for what cannot be one."""

from __future__ import annotations

import pytest

import tf_nqs
from tf_nqs.ansatz import FermionAnsatz, JastrowAnsatz
from tf_nqs.config import SettingsError, settings_from
from tf_nqs.experiment.build import build_ansatz

OWN = '''
import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("mine")
class Own(keras.Model):
    """Free fermions."""

    def __init__(self, n_particles, n_features=3, **kwargs):
        super().__init__(**kwargs)
        self.n_particles, self.n_features = n_particles, n_features
        self.width = self.add_weight(shape=(), initializer="ones", name="width")

    def call(self, positions):
        i, j = zip(*[(i, j) for i in range(self.n_particles) for j in range(i)])
        pairs = tf.gather(positions, i, axis=1) - tf.gather(positions, j, axis=1)
        log_abs = tf.reduce_sum(tf.math.log(tf.abs(pairs)), axis=1) - tf.reduce_sum(positions**2, axis=1) / 2
        return tf.reduce_prod(tf.sign(pairs), axis=1), log_abs * self.width

    def get_config(self):
        return {**super().get_config(), "n_particles": self.n_particles, "n_features": self.n_features}


class Bosons(Own):
    def call(self, positions):
        sign, log_abs = super().call(positions)
        return tf.ones_like(sign), log_abs


class WithoutArguments(keras.Model):
    def __init__(self):
        super().__init__()


number = 3
'''


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Makes the module `own_ansatze` importable."""
    (tmp_path / "own_ansatze.py").write_text(OWN, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)


def ansatz_of(**overrides):
    return build_ansatz(settings_from(None, {"n_particles": 3} | overrides))


def test_the_named_kinds():
    slater = ansatz_of(n_determinants=2, n_features=4, n_layers=1, dtype="float64")
    assert isinstance(slater, FermionAnsatz) and slater.compute_dtype == "float64"
    assert slater.get_config()["n_determinants"] == 2 and slater.get_config()["n_features"] == 4
    jastrow = ansatz_of(ansatz="jastrow", n_pair_features=5, interaction_range=0.3)
    assert isinstance(jastrow, JastrowAnsatz)
    config = jastrow.get_config()
    assert (config["n_features"], config["n_pair_features"], config["n_pair_layers"]) == (16, 5, 2)
    assert (config["length"], config["contact_exponent"]) == (0.6, 1.0)
    assert ansatz_of(ansatz="jastrow", pair_length=0.25).get_config()["length"] == 0.25


@pytest.mark.parametrize(
    ("ansatz", "of_family", "given", "expected"),
    [
        (FermionAnsatz, False, None, 50),
        (JastrowAnsatz, False, None, 100),
        (JastrowAnsatz, True, None, 50),
        (JastrowAnsatz, False, 0, 0),
    ],
)
def test_a_trainer_clips_by_default_as_suits_its_wave_function(ansatz, of_family, given, expected):
    family = tf_nqs.FermionFamily(2, (-1.0, 1.0)) if of_family else None
    more = {"conditions": family.conditions} if family else {}
    system = family or tf_nqs.TrappedFermions(2)
    vmc = tf_nqs.VariationalMonteCarlo(
        ansatz(2, n_features=2, n_layers=1, **more), system, clip_doubling_iterations=given
    )
    assert vmc.clip.doubling_iterations == expected


def test_the_contact_exponent_is_the_systems():
    ansatz = ansatz_of(ansatz="jastrow", interaction="calogero", interaction_strength=1.8)
    assert (ansatz.contact_exponent, ansatz.get_config()["length"]) == (1.8, 1.0)


def test_a_class_of_ones_own(own):
    ansatz = ansatz_of(ansatz="own_ansatze:Own", dtype="float64")
    assert (type(ansatz).__name__, ansatz.n_particles, ansatz.n_features, ansatz.compute_dtype) == (
        "Own",
        3,
        3,
        "float64",
    )
    assert ansatz_of(ansatz="own_ansatze:Own", n_features=7).n_features == 7


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        ({"ansatz": "nowhere:Own"}, "ansatz = 'nowhere:Own': cannot be imported (No module named 'nowhere'); must be"),
        ({"ansatz": "own_ansatze:Other"}, "ansatz = 'own_ansatze:Other': cannot be imported (module 'own_ansatze'"),
        ({"ansatz": "own_ansatze:number"}, "ansatz = 'own_ansatze:number': int is not a Keras model; must be"),
        ({"ansatz": "own_ansatze:WithoutArguments"}, "cannot be used (WithoutArguments.__init__() got an unexpected"),
        ({"ansatz": "own_ansatze:Bosons"}, "'own_ansatze:Bosons': cannot be used (Bosons is not antisymmetric: on"),
        (
            {"ansatz": "own_ansatze:Own", "n_determinants": 2},
            "n_determinants = 2: has no meaning for ansatz = own_ansatze:Own; must be left out",
        ),
    ],
)
def test_what_is_no_wave_function(overrides, line, own):
    with pytest.raises(SettingsError) as caught:
        ansatz_of(**overrides)
    assert line in str(caught.value)
