"""The ansatz: antisymmetry, parameters, serialisation, and its value against numpy."""

from __future__ import annotations

import itertools
import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_nqs.ansatz import FermionAnsatz

SHAPES = [
    n if isinstance(n, tuple) else pytest.param(*n, marks=pytest.mark.slow)
    for n in [(1, 1, 1), (2, 2, 1), (3, 1, 3), (4, 4, 2), (6, 2, 1), (12, 3, 1), (24, 1, 1)]
]


def make_ansatz(n_particles=3, n_layers=2, n_determinants=1, n_features=8, dtype="float64", seed=0):
    """Random weights, and an envelope with a different width for every orbital."""
    keras.utils.set_random_seed(seed)
    ansatz = FermionAnsatz(n_particles, n_features, n_layers, n_determinants, dtype=dtype)
    ansatz.envelope.inverse_width.assign(np.random.default_rng(seed).uniform(0.5, 1.0, (n_determinants, n_particles)))
    return ansatz


def random_positions(n_walkers, n_particles, seed=1):
    return np.random.default_rng(seed).normal(size=(n_walkers, n_particles))


@pytest.mark.parametrize("n_determinants", [1, 3])
def test_swapping_two_particles_turns_the_sign(n_determinants):
    ansatz = make_ansatz(4, n_determinants=n_determinants)
    positions = random_positions(50, 4)
    sign, log_abs = ansatz(positions)
    assert set(np.unique(sign)) == {-1.0, 1.0}
    for i, j in itertools.combinations(range(4), 2):
        swapped = positions.copy()
        swapped[:, [i, j]] = positions[:, [j, i]]
        other_sign, other = ansatz(swapped)
        np.testing.assert_array_equal(other_sign, -sign)
        # Sums run in another order: eps times the condition number of the orbitals, up to about 1e4.
        np.testing.assert_allclose(other, log_abs, atol=1e-10)


@pytest.mark.parametrize("n_determinants", [1, 3])
def test_any_permutation_has_its_parity(n_determinants):
    ansatz = make_ansatz(5, n_determinants=n_determinants)
    positions = random_positions(1, 5)
    sign, log_abs = ansatz(positions)
    permutations = list(itertools.permutations(range(5)))
    signs, logs = ansatz(np.concatenate([positions[:, p] for p in permutations]))
    parities = [np.linalg.det(np.eye(5)[list(p)]) for p in permutations]
    np.testing.assert_allclose(signs, sign * parities, atol=1e-14)
    np.testing.assert_allclose(logs, np.full(120, log_abs[0]), atol=1e-9)


def test_equal_positions_are_a_node():
    """Two particles at one place: Psi vanishes up to rounding, or exactly."""
    ansatz = make_ansatz(3)
    apart = ansatz(np.array([[0.3, -0.8, 1.2]])).log_abs_psi
    together = ansatz(np.array([[0.3, 0.3, 1.2]])).log_abs_psi
    assert together < apart - 25.0


@pytest.mark.parametrize(
    ("arguments", "n_parameters"), [({"n_particles": 4}, 8712), ({"n_particles": 6}, 8844), ({"n_particles": 1}, 8514)]
)
def test_count_of_parameters(arguments, n_parameters):
    """4H + 2A + 2H^2 + HA for H = 64, L = 2, D = 1."""
    ansatz = FermionAnsatz(**arguments)
    assert ansatz.count_params() == n_parameters
    assert all(weight.trainable for weight in ansatz.weights)


def test_freezing_the_equivariant_layers_leaves_264():
    ansatz = FermionAnsatz(4)
    for layer in ansatz.equivariant_layers:
        layer.trainable = False
    assert sum(math.prod(v.shape) for v in ansatz.trainable_variables) == 264
    assert sum(math.prod(v.shape) for v in ansatz.non_trainable_variables) == 8448


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("n_particles", "n_layers", "n_determinants"), SHAPES)
def test_value_is_the_determinant_of_the_orbitals(n_particles, n_layers, n_determinants, dtype):
    """(A!)^(-1/2) sum_d det(phi_d) from numpy, in float64."""
    ansatz = make_ansatz(n_particles, n_layers, n_determinants, dtype=dtype)
    positions = random_positions(4, n_particles)
    sign, log_abs = ansatz(positions.astype(dtype))
    assert sign.dtype.name == log_abs.dtype.name == dtype
    assert {weight.dtype for weight in ansatz.weights} == {dtype}
    orbitals = np.asarray(ansatz.orbitals(tf.constant(positions, dtype)), np.float64)
    assert orbitals.shape == (4, n_determinants, n_particles, n_particles)
    signs, logs = np.linalg.slogdet(orbitals)
    total = np.sum(signs * np.exp(logs), axis=1)
    # Relative error of Psi: eps times the row-scaled condition number (what multiplies a row cancels), with a factor of
    # 100; where it reaches 1, as for many particles in float32, neither sign nor logarithm are determined.
    rows = orbitals / np.linalg.norm(orbitals, axis=-1, keepdims=True)
    amplified = np.sum(np.exp(logs) * np.linalg.cond(rows), axis=1) / np.abs(total)
    tolerance = 100 * np.finfo(dtype).eps * amplified
    known = tolerance < 0.5
    assert np.any(known) or (n_particles >= 6 and dtype == "float32") or n_particles == 24
    np.testing.assert_array_equal(sign[known], np.sign(total)[known])
    error = np.abs(log_abs - np.log(np.abs(total)) + 0.5 * math.lgamma(n_particles + 1))
    assert np.all((error <= tolerance + 1e-14 * np.abs(log_abs) + 10 * np.finfo(dtype).eps)[known])


@pytest.mark.slow
@pytest.mark.parametrize("n_particles", range(1, 25))
def test_every_size_builds_and_is_finite(n_particles):
    for n_layers, n_determinants, dtype in itertools.product((1, 2, 3, 4), (1, 2, 3), ("float32", "float64")):
        ansatz = FermionAnsatz(n_particles, 4, n_layers, n_determinants, dtype=dtype)
        psi = ansatz(random_positions(3, n_particles))
        assert psi.log_abs_psi.dtype.name == dtype
        assert not np.any(np.isnan(psi.log_abs_psi))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_config_round_trip(dtype):
    ansatz = make_ansatz(3, 3, 2, dtype=dtype)
    copy = FermionAnsatz.from_config(ansatz.get_config())
    assert copy.get_config() == ansatz.get_config()
    assert (copy.n_particles, copy.n_features, copy.n_layers, copy.n_determinants) == (3, 8, 3, 2)
    assert copy.compute_dtype == dtype
    copy.set_weights(ansatz.get_weights())
    positions = random_positions(4, 3)
    for one, other in zip(copy(positions), ansatz(positions), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("how", ["keras", "weights"])
def test_files_are_bit_equal(how, tmp_path):
    ansatz = make_ansatz(3, 3, 2)
    if how == "keras":
        ansatz.save(tmp_path / "ansatz.keras")
        loaded = keras.models.load_model(tmp_path / "ansatz.keras")
        assert type(loaded) is FermionAnsatz
    else:
        ansatz.save_weights(tmp_path / "ansatz.weights.h5")
        loaded = make_ansatz(3, 3, 2, seed=7)
        loaded.load_weights(tmp_path / "ansatz.weights.h5")
    for one, other in zip(loaded.get_weights(), ansatz.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    positions = random_positions(4, 3)
    for one, other in zip(loaded(positions), ansatz(positions), strict=True):
        np.testing.assert_array_equal(one, other)


def test_equivariant_layers_do_not_depend_on_the_number_of_particles():
    """What the transfer between numbers of particles rests on."""
    few, many = make_ansatz(2), make_ansatz(6, seed=1)
    for source, target in zip(few.equivariant_layers, many.equivariant_layers, strict=True):
        target.set_weights(source.get_weights())


@pytest.mark.parametrize("value", [0, -1])
@pytest.mark.parametrize("name", ["n_particles", "n_features", "n_layers", "n_determinants"])
def test_wrong_arguments_are_named(name, value):
    with pytest.raises(ValueError, match=rf"{name} = {value}: must be (an integer of )?at least 1"):
        FermionAnsatz(**{"n_particles": 2, name: value})


@pytest.mark.parametrize("shape", [(5, 3), (4, 3), (5, 5), (4,), (2, 4, 1)])
def test_wrong_shape_of_positions_is_named(shape):
    """One line that tells the shape, not an error from inside a reshape."""
    with pytest.raises(ValueError, match=r"positions.*n_walkers, 4"):
        make_ansatz(4)(tf.zeros(shape, tf.float64))


def test_seeds_differ_and_repeat():
    one, same, other = (make_ansatz(2, seed=seed).get_weights()[0] for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert np.all(one != other)
    layers = make_ansatz(2, n_layers=3).equivariant_layers
    assert np.all(layers[1].kernel != layers[2].kernel)


def test_floatx_of_keras_counts_even_after_the_first_layer():
    """Keras fixes its policy when the first layer is made; one given counts more, and a policy of float64 as well."""
    keras.layers.Dense(1)
    floatx, policy = keras.config.floatx(), keras.config.dtype_policy()
    try:
        keras.config.set_floatx("float64")
        assert FermionAnsatz(2, 2).compute_dtype == FermionAnsatz(2, 2).weights[0].dtype == "float64"
        assert FermionAnsatz(2, 2, dtype="float32").compute_dtype == "float32"
        keras.config.set_floatx("float32")
        keras.config.set_dtype_policy("float64")
        assert FermionAnsatz(2, 2).compute_dtype == "float64"
        keras.config.set_dtype_policy("mixed_float16")
        with pytest.raises(ValueError, match="dtype = 'mixed_float16': must be float32 or float64"):
            FermionAnsatz(2, 2)
    finally:
        keras.config.set_floatx(floatx)
        keras.config.set_dtype_policy(policy)


@pytest.mark.parametrize("dtype", ["mixed_float16", "float16", "bfloat16", keras.DTypePolicy("mixed_bfloat16")])
def test_less_than_float32_is_refused(dtype):
    with pytest.raises(ValueError, match=r"dtype = '\w+': must be float32 or float64"):
        FermionAnsatz(2, 2, dtype=dtype)
