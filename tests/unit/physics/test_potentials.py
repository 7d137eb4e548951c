"""Traps and pair potentials of one's own are tried when a system is made, not after a minute of compiling."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tf_nqs.ansatz import FermionAnsatz
from tf_nqs.physics.contact_zone import contact_zone
from tf_nqs.physics.hamiltonian import TrappedFermions
from tf_nqs.physics.relations import is_even
from tf_nqs.physics.steps import has_steps
from tf_nqs.sampling.metropolis import MetropolisHastings
from tf_nqs.training.vmc import VariationalMonteCarlo

A = 3


@pytest.mark.parametrize(
    ("potentials", "error", "words"),
    [
        (
            {"trap": "triple_well"},
            ValueError,
            "trap = 'triple_well': must be one of harmonic, none, double_well, quartic",
        ),
        ({"trap": None}, TypeError, "trap = None: must be a name, True, False or a function"),
        ({"pair_potential": 5.0}, TypeError, "pair_potential = 5.0: must be None or a function"),
        (
            {"trap": lambda x: x**2},
            ValueError,
            "trap returns shape (2, 3) for an argument of shape (2, 3): must be (2,)",
        ),
        ({"pair_potential": lambda r: tf.reduce_sum(r, 1)}, ValueError, "pair_potential returns shape (2,)"),
        ({"pair_potential": lambda r: 1.0}, ValueError, "pair_potential returns shape ()"),
        ({"trap": lambda x: np.sum(np.cosh(x), axis=1)}, TypeError, "not NumPy functions"),
        ({"pair_potential": lambda r: np.exp(-(r**2))}, TypeError, "not NumPy functions"),
        ({"pair_potential": lambda r: tf.cast(r, tf.int32)}, TypeError, "returns int32 for float32"),
        ({"trap": lambda x, y: x}, TypeError, "missing 1 required positional argument"),
    ],
)
def test_wrong_potentials_are_refused_in_one_line(potentials, error, words):
    with pytest.raises(error) as caught:
        TrappedFermions(A, **potentials)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


@pytest.mark.parametrize(
    "potentials",
    [
        {"trap": lambda x: tf.reduce_sum(tf.cosh(x), axis=1), "pair_potential": lambda r: 1.0 + tf.cos(r)},
        {"pair_potential": lambda r: tf.where(tf.abs(r) < 0.5, np.inf, 0.0)},
        {"trap": lambda x: tf.reduce_sum(tf.constant([1.0, 2.0, 3.0]) * x**2, axis=1)},
        {"trap": lambda x: tf.reduce_sum(tf.constant([1.0, 2.0, 3.0], tf.float64) * x**2, axis=1)},
        {"trap": tf.function(lambda x: tf.reduce_sum(x**4, axis=1))},
    ],
    ids=["both", "infinite", "float32 only", "float64 only", "graph"],
)
def test_what_works_in_one_dtype_is_taken(potentials):
    TrappedFermions(A, **potentials)


def test_one_particle_has_no_pairs():
    TrappedFermions(1, pair_potential=lambda r: tf.exp(-(r**2)))


def test_a_trainer_tries_them_in_its_own_dtype():
    system = TrappedFermions(2, pair_potential=lambda r: tf.where(tf.abs(r) < 0.5, 1.0, 0.0))
    sampler = MetropolisHastings(n_walkers=4)
    VariationalMonteCarlo(FermionAnsatz(2, 2), system, sampler)
    with pytest.raises(TypeError, match="pair_potential returns float32 for float64: must keep the dtype"):
        VariationalMonteCarlo(FermionAnsatz(2, 2, dtype="float64"), system, sampler)


def test_a_potential_of_float32_alone_is_looked_at_all_the_same():
    """And one that takes distances apart by walkers and pairs."""
    height = tf.Variable(20.0)

    def rod(distances):
        return tf.concat(
            [tf.where(tf.abs(part) < 0.5, height, 0.0) for part in (distances[:, :1], distances[:, 1:])], 1
        )

    system = TrappedFermions(3, trap=lambda x: height * tf.reduce_sum(x**2, axis=1), pair_potential=rod)
    assert contact_zone(system) is None
    assert has_steps(system) and is_even(system)
    assert contact_zone(TrappedFermions(3, pair_potential=lambda r: height * tf.exp(-((100.0 * r) ** 2)))) is not None
