"""Whole numbers of any type count, everywhere alike, and everything else is named."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_nqs import layers
from tf_nqs.ansatz import FermionAnsatz
from tf_nqs.callbacks import EnergyEarlyStopping, RepairTraining
from tf_nqs.config import SettingsError, settings_from
from tf_nqs.physics.hamiltonian import TrappedFermions
from tf_nqs.sampling.metropolis import MetropolisHastings
from tf_nqs.training import VariationalMonteCarlo
from tf_nqs.whole_numbers import whole_number


@pytest.mark.parametrize(
    "value", [2, 2.0, np.int64(2), np.uint8(2), np.float32(2.0), np.array(2), Fraction(2), tf.constant(2)]
)
def test_whole_numbers_of_any_type(value):
    found = whole_number("n_walkers", value, 1)
    assert type(found) is int
    assert found == 2


@pytest.mark.parametrize(
    "value", [1, 2.5, np.float64(2.5), np.inf, np.nan, True, np.True_, "2", None, [2], np.array([2, 3]), 2 + 0j]
)
def test_everything_else_is_named(value):
    with pytest.raises(ValueError, match=r"^n_walkers = .*: must be an integer of at least 2$"):
        whole_number("n_walkers", value, 2)


def test_an_array_is_shown_in_one_line():
    with pytest.raises(ValueError, match=r"^iterations = <ndarray>: must be an integer of at least 0$"):
        whole_number("iterations", np.zeros((30, 30)))


@pytest.mark.parametrize("kind", [float, np.int64, np.float32])
def test_a_trainer_of_other_numbers_is_the_same(kind):
    """Weights, walkers and everything that counts; `fit` and the files of Keras see ints."""

    def trained(number):
        keras.utils.set_random_seed(0)
        ansatz = FermionAnsatz(number(1), number(2), number(1), number(1))
        system, sampler = TrappedFermions(number(1)), MetropolisHastings(number(4), number(1), number(2))
        seed = number(3) if number is np.int64 else 3
        return VariationalMonteCarlo(ansatz, system, sampler, iterations_per_call=number(2), seed=seed)

    expected, found = trained(int), trained(kind)
    assert found.ansatz.get_config() | {"name": 0} == expected.ansatz.get_config() | {"name": 0}
    for one, other in zip(found.variables, expected.variables, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    assert type(EnergyEarlyStopping(window=kind(100)).call_period) is int
    assert type(RepairTraining(kind(2)).max_repairs) is int


@pytest.mark.parametrize(
    "make",
    [
        lambda: FermionAnsatz(2, n_features=0.5),
        lambda: FermionAnsatz(2, n_determinants=0),
        lambda: layers.OrbitalLayer("2"),
        lambda: layers.LogEnvelope(None),
        lambda: layers.EquivariantLayer(2.5),
        lambda: TrappedFermions("2"),
        lambda: MetropolisHastings(n_walkers="many"),
        lambda: EnergyEarlyStopping(window=100.5),
    ],
)
def test_what_is_no_whole_number_is_refused(make):
    with pytest.raises(ValueError, match=r"= .*: must be an integer of at least [12]$"):
        make()


def test_settings_of_numpy_and_paths():
    given = {
        "n_particles": np.int64(2),
        "n_walkers": np.int32(64),
        "interaction_strength": np.float32(0.5),
        "trap": np.True_,
        "run_dir": Path("runs") / "a",
    }
    plain = {"n_particles": 2, "n_walkers": 64, "interaction_strength": 0.5, "trap": True, "run_dir": "runs/a"}
    assert settings_from(None, given) == settings_from(None, plain)


@pytest.mark.parametrize("value", [np.float64(64.5), np.array([64]), "64"])
def test_settings_of_anything_else_are_refused(value):
    with pytest.raises(SettingsError, match=r"n_walkers = .*: must be an integer from 2 to"):
        settings_from(None, {"n_particles": 2, "n_walkers": value})
