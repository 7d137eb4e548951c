"""JastrowAnsatz: symmetry, start, parameters, serialisation, and what the rest of the package asks of it."""

from __future__ import annotations

import itertools
import math

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_nqs
from tf_nqs.ansatz import JastrowAnsatz
from tf_nqs.ansatz.check import is_from_package
from tf_nqs.ansatz.derivatives import choose_laplacian
from tf_nqs.training import make_optimizer

SMALL = {"n_features": 4, "n_pair_features": 4}


def make_ansatz(n_particles=3, dtype="float64", seed=0, **arguments):
    """All weights random, the heads too, which start at zero."""
    keras.utils.set_random_seed(seed)
    ansatz = JastrowAnsatz(n_particles, **{**SMALL, **arguments}, dtype=dtype)
    random = np.random.default_rng(seed)
    ansatz.set_weights([weight + 0.2 * random.normal(size=weight.shape) for weight in ansatz.get_weights()])
    return ansatz


def random_positions(n_walkers, n_particles, seed=1):
    return np.random.default_rng(seed).normal(size=(n_walkers, n_particles))


@pytest.mark.parametrize("contact_exponent", [1.0, 1.8])
def test_any_permutation_has_its_parity(contact_exponent):
    ansatz = make_ansatz(5, contact_exponent=contact_exponent)
    positions = random_positions(1, 5)
    sign, log_abs = ansatz(positions)
    permutations = list(itertools.permutations(range(5)))
    signs, logs = ansatz(np.concatenate([positions[:, p] for p in permutations]))
    parities = [round(np.linalg.det(np.eye(5)[list(p)])) for p in permutations]
    np.testing.assert_array_equal(signs, sign * parities)
    np.testing.assert_allclose(logs, np.full(120, log_abs[0]), atol=1e-12)


@pytest.mark.parametrize("n_particles", [1, 2, 4])
def test_at_the_start_it_is_the_normalised_ground_state_of_free_fermions(n_particles):
    ansatz = JastrowAnsatz(n_particles, dtype="float64")
    positions = random_positions(20, n_particles)
    sign, log_abs = ansatz(positions)
    free_sign, free_log = ansatz.vandermonde(positions)
    np.testing.assert_array_equal(sign, free_sign)
    np.testing.assert_allclose(log_abs, free_log - 0.5 * np.sum(positions**2, axis=1), atol=1e-13)


def test_value_is_the_formula():
    """Two particles by hand: one factor, pairs (1, 2) and (2, 1), and the particles' layers."""
    ansatz = make_ansatz(2)
    x = random_positions(6, 2)
    r = x[:, 0] - x[:, 1]
    pairs = np.stack([ansatz.pair_network(sign * r) for sign in (1, -1)], axis=1)
    features = np.concatenate([x[..., None], pairs], axis=-1)
    for layer in ansatz.particle_layers:
        features = np.asarray(layer(features))
    network = np.sum(pairs, axis=1) @ ansatz.pair_head.kernel + np.sum(features, axis=1) @ ansatz.particle_head.kernel
    w, u = ansatz.gaussian.inverse_width, ansatz.gaussian.pair_stiffness
    expected = np.log(np.abs(r)) + network - 0.5 * w**2 * np.sum(x**2, axis=1) - 0.5 * u * r**2
    # The norm of r exp(-(x^2 + y^2)/2) is the root of pi/2 * ... = integral of r^2: pi.
    np.testing.assert_allclose(ansatz(x).log_abs_psi, expected - 0.5 * math.log(math.pi), atol=1e-12)


@pytest.mark.parametrize("n_particles", [1, 4, 24])
def test_no_weight_depends_on_the_number_of_particles(n_particles):
    """What the transfer of all weights between numbers of particles rests on."""
    ansatz = JastrowAnsatz(n_particles)
    assert ansatz.count_params() == 1492
    assert [weight.shape for weight in ansatz.weights] == [weight.shape for weight in JastrowAnsatz(2).weights]
    assert all(weight.trainable for weight in ansatz.weights)


def test_freezing_leaves_heads_and_gaussian():
    ansatz = JastrowAnsatz(4)
    for layer in ansatz.equivariant_layers:
        layer.trainable = False
    left = {weight.path.partition("/")[2] for weight in ansatz.trainable_variables}
    assert left == {
        "gaussian/inverse_width",
        "gaussian/pair_stiffness",
        "pair_head/kernel",
        "particle_head/kernel",
    }
    assert sum(math.prod(weight.shape) for weight in ansatz.trainable_variables) == 36


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_config_round_trip(dtype):
    arguments = {"n_layers": 3, "n_pair_layers": 1, "length": 0.5, "contact_exponent": 1.5}
    ansatz = make_ansatz(3, dtype, **arguments)
    copy = JastrowAnsatz.from_config(ansatz.get_config())
    assert copy.get_config() == ansatz.get_config()
    assert {name: copy.get_config()[name] for name in arguments} == arguments
    assert copy.compute_dtype == dtype
    assert {weight.dtype for weight in copy.weights} == {dtype}
    copy.set_weights(ansatz.get_weights())
    positions = random_positions(4, 3)
    for one, other in zip(copy(positions), ansatz(positions), strict=True):
        assert one.dtype.name == dtype
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("how", ["keras", "weights"])
def test_files_are_bit_equal(how, tmp_path):
    ansatz = make_ansatz(3)
    if how == "keras":
        ansatz.save(tmp_path / "ansatz.keras")
        loaded = keras.models.load_model(tmp_path / "ansatz.keras")
        assert type(loaded) is JastrowAnsatz
    else:
        ansatz.save_weights(tmp_path / "ansatz.weights.h5")
        loaded = make_ansatz(3, seed=7)
        loaded.load_weights(tmp_path / "ansatz.weights.h5")
    positions = random_positions(4, 3)
    for one, other in zip(loaded(positions), ansatz(positions), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("value", [0, -1])
@pytest.mark.parametrize(
    "name",
    ["n_particles", "n_features", "n_layers", "n_pair_features", "n_pair_layers", "length", "contact_exponent"],
)
def test_wrong_arguments_are_named(name, value):
    pattern = r"\w+ = [-\d.]+: must be (an integer of |positive|finite|)"
    with pytest.raises(ValueError, match=pattern) as raised:
        JastrowAnsatz(**{"n_particles": 2, name: value})
    wanted = name.removeprefix("n_pair_") if name.startswith("n_pair_") else name
    assert wanted in str(raised.value)


@pytest.mark.parametrize("shape", [(5, 3), (5, 5), (4,), (2, 4, 1)])
def test_wrong_shape_of_positions_is_named(shape):
    for method in (JastrowAnsatz(4, **SMALL), JastrowAnsatz(4, **SMALL).forward_laplacian):
        with pytest.raises(ValueError, match=r"positions.*n_walkers, 4"):
            method(tf.zeros(shape))


def test_less_than_float32_is_refused():
    with pytest.raises(ValueError, match="dtype = 'float16': must be float32 or float64"):
        JastrowAnsatz(2, dtype="float16")


def test_its_forward_laplacian_is_taken():
    ansatz = JastrowAnsatz(2, **SMALL)
    assert is_from_package(ansatz)
    assert [choose_laplacian(ansatz, choice, 2) for choice in ("auto", "forward", "nested")] == [
        "forward",
        "forward",
        "nested",
    ]


def test_trainer_trains_it_and_samples_it_in_another_precision():
    """Free fermions: nothing to learn, and no noise at all."""
    ansatz = JastrowAnsatz(2, **SMALL, dtype="float64")
    sampler = tf_nqs.MetropolisHastings(n_walkers=16, n_steps=2, n_burn_in=4)
    vmc = tf_nqs.VariationalMonteCarlo(ansatz, tf_nqs.TrappedFermions(2), sampler, sampling_dtype="float32")
    vmc.compile(**make_optimizer("spring"), jit_compile=False)
    vmc.fit(2)
    assert vmc.laplacian == "forward"
    np.testing.assert_allclose(vmc.recent_iterations()["energy"], 2.0, rtol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("laplacian", ["forward", "nested"])
def test_training_compiled_by_xla_finds_the_exact_energy(laplacian):
    """Harmonic pairs, in closed form: 1/2 + Omega (A^2 - 1)/2 with Omega = sqrt(1 + A kappa)."""
    keras.utils.set_random_seed(0)
    system = tf_nqs.TrappedFermions(3, pair_potential=lambda r: 0.35 * r**2)
    vmc = tf_nqs.VariationalMonteCarlo(JastrowAnsatz(3), system, laplacian=laplacian)
    vmc.compile(**make_optimizer("spring", ansatz="jastrow"))
    vmc.fit(60)
    exact = 0.5 + 4 * math.sqrt(1 + 3 * 0.7)
    assert abs(np.mean(vmc.recent_iterations()["energy"]) - exact) < 1e-3
    measured = vmc.evaluate_energy(target_error=1e-4, max_seconds=20, relations=False)
    assert abs(measured.energy - exact) < 1e-3
