"""The layers of the Jastrow factor against their formulas, and the layout of pairs."""

from __future__ import annotations

import itertools
import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.special import eval_hermite

from tf_nqs import layers
from tf_nqs.layers.pair_layout import differences_to_others, with_diagonal, without_diagonal

N_WALKERS = 4


def random_positions(n_particles, seed=0):
    return np.random.default_rng(seed).normal(size=(N_WALKERS, n_particles))


@pytest.mark.parametrize("n_particles", [1, 2, 5])
def test_pairs_without_and_with_the_diagonal(n_particles):
    square = np.random.default_rng(0).normal(size=(N_WALKERS, n_particles, n_particles, 3))
    others = without_diagonal(tf.constant(square))
    expected = [[square[:, i, j] for j in range(n_particles) if j != i] for i in range(n_particles)]
    np.testing.assert_array_equal(
        others, np.array(expected).reshape(n_particles, -1, N_WALKERS, 3).transpose(2, 0, 1, 3)
    )
    diagonal = tf.constant(square[:, range(n_particles), range(n_particles)])
    np.testing.assert_array_equal(with_diagonal(others, diagonal), square)


def test_differences_to_others():
    np.testing.assert_array_equal(
        differences_to_others(tf.constant([[1.0, 10.0, 100.0]])), [[[-9.0, -99.0], [9.0, -90.0], [99.0, 90.0]]]
    )


@pytest.mark.parametrize("n_layers", [1, 3])
def test_pair_network_is_its_formula_and_carries_its_derivatives(n_layers):
    network = layers.PairNetwork(5, n_layers, length=0.7, dtype="float64")
    r = np.random.default_rng(1).normal(size=(3, 4))
    value = network(tf.constant(r))
    s = r[..., None] / 0.7
    weights = {weight.name: weight.numpy() for weight in network.weights}
    t = np.tanh(s * weights["scale"] + weights["bias_1"])
    for layer in range(2, n_layers + 1):
        t = t + np.tanh(t @ weights[f"kernel_{layer}"] + weights[f"bias_{layer}"])
    expected = np.concatenate([t, np.log(1 + s**2) / 2, np.sqrt(1 + s**2) - 1], axis=-1)
    np.testing.assert_allclose(value, expected, atol=1e-14)
    jet = network.derivatives(tf.constant(r))
    np.testing.assert_array_equal(jet.value, value)
    step = 1e-4
    before, after = (np.asarray(network(tf.constant(r + change))) for change in (-step, step))
    # Central differences: relative errors of about step^2 times 4^2/length^2, and eps/step^2 for the second one.
    np.testing.assert_allclose(jet.first, (after - before) / (2 * step), atol=1e-5)
    np.testing.assert_allclose(jet.second, (after - 2 * expected + before) / step**2, atol=1e-4)


def test_pair_network_starts_with_several_scales():
    """Sizes are log-uniform from 1/4 to 4, signs alternate, and two networks differ."""
    keras.utils.set_random_seed(0)
    networks = [layers.PairNetwork(400, 1) for _ in range(2)]
    for network in networks:
        network.build((None, 2, 1))
    one, other = (network.scale.numpy() for network in networks)
    assert np.all(one != other)
    np.testing.assert_array_equal(np.sign(one), np.tile([1.0, -1.0], 200))
    exponents = np.log(np.abs(one)) / np.log(4)
    assert np.max(np.abs(exponents)) <= 1.0
    # 5 standard errors of the variance of 400 uniform numbers, 1/3: sqrt(4/45/400).
    assert abs(np.mean(exponents**2) - 1 / 3) < 5 * np.sqrt(4 / 45 / 400)


def test_tails_keep_the_digits_of_small_distances_in_float32():
    r = np.float32([1e-6, 1e-3, 0.1, 1e3])
    tails = layers.PairNetwork(1)(tf.constant(r))[:, 1:]
    s = r.astype(np.float64)
    expected = np.stack([0.5 * np.log1p(s**2), s**2 / (1 + np.sqrt(1 + s**2))], axis=-1)
    np.testing.assert_allclose(tails, expected, rtol=1e-6)


def test_gaussian_is_its_formula():
    factor = layers.GaussianFactor(dtype="float64")
    x = random_positions(4)
    np.testing.assert_allclose(factor(x), -0.5 * np.sum(x**2, axis=1), rtol=1e-14)
    factor.inverse_width.assign(0.8)
    factor.pair_stiffness.assign(0.3)
    pairs = sum((x[:, i] - x[:, j]) ** 2 for i, j in itertools.combinations(range(4), 2))
    np.testing.assert_allclose(factor(x), -0.32 * np.sum(x**2, axis=1) - 0.3 / 4 * pairs, rtol=1e-13)
    (gradient, laplacian), quotient = factor.derivatives(tf.constant(x))
    with tf.GradientTape() as tape:
        variable = tf.Variable(x)
        value = factor(variable)
    np.testing.assert_allclose(gradient, tape.gradient(value, variable), rtol=1e-12)
    np.testing.assert_allclose((gradient[:, 0] - gradient[:, 1]) / (x[:, 0] - x[:, 1]), np.full(4, quotient))
    np.testing.assert_allclose(laplacian, -0.64 * 4 - 0.6 * 3, rtol=1e-13)


@pytest.mark.parametrize("n_particles", [1, 2, 3, 6])
def test_vandermonde_with_the_oscillator_is_the_determinant_of_free_fermions(n_particles):
    """(A!)^(-1/2) det of the normalised oscillator functions, sign and norm included."""
    x = random_positions(n_particles)
    sign, log_abs = layers.VandermondeFactor(dtype="float64")(x)
    orders = np.arange(n_particles)
    norms = [1 / math.sqrt(2.0**n * math.factorial(n) * math.sqrt(math.pi)) for n in orders]
    orbitals = eval_hermite(orders, x[..., None]) * np.exp(-0.5 * x[..., None] ** 2) * norms
    signs, logs = np.linalg.slogdet(orbitals)
    # det of powers x_i^(j-1) is prod_(i<j) (x_j - x_i).
    np.testing.assert_array_equal(sign, signs * (-1) ** (n_particles * (n_particles - 1) // 2))
    found = log_abs - 0.5 * np.sum(x**2, axis=1)
    np.testing.assert_allclose(found, logs - 0.5 * math.lgamma(n_particles + 1), atol=1e-12)


def test_norm_for_any_exponent():
    """Two particles: the integral of r^(2l) exp(-x^2 - y^2), by a sum on a grid."""
    exponent, grid = 1.7, np.linspace(-9.0, 9.0, 1201)
    x, y = np.meshgrid(grid, grid + 0.003)
    positions = np.stack([x.ravel(), y.ravel()], axis=1)
    log_abs = layers.VandermondeFactor(exponent, dtype="float64")(positions).log_abs_psi
    density = np.exp(2 * (np.asarray(log_abs) - 0.5 * np.sum(positions**2, axis=1)))
    np.testing.assert_allclose(np.sum(density) * (grid[1] - grid[0]) ** 2, 1.0, atol=1e-6)


@pytest.mark.parametrize("exponent", [1.0, 1.8])
@pytest.mark.parametrize("n_particles", [1, 2, 64])
def test_vandermonde_of_many_and_far_particles_in_float32(n_particles, exponent):
    """Sign and logarithm are those of numpy's float64, also where the product itself would overflow."""
    x = np.float32(random_positions(n_particles) * 3)
    x[1] *= 1e3
    x[2, 0] = 1e15
    sign, log_abs = layers.VandermondeFactor(exponent, dtype="float32")(x)
    first, second = np.triu_indices(n_particles, 1)
    r = x[:, first].astype(np.float64) - x[:, second]
    reference = layers.VandermondeFactor(exponent, dtype="float64")(x.astype(np.float64))
    np.testing.assert_array_equal(sign, np.prod(np.sign(r), axis=1))
    # Rounding of x and of each logarithm: eps times the sum of their sizes.
    error = np.abs(np.asarray(log_abs, np.float64) - reference.log_abs_psi)
    size = exponent * np.sum(np.abs(np.log(np.abs(r))), axis=1) + np.abs(reference.log_abs_psi)
    assert np.all(error <= 10 * np.finfo(np.float32).eps * (1 + size))


def test_two_particles_at_one_place_are_a_node():
    sign, log_abs = layers.VandermondeFactor()(tf.constant([[0.3, -1.0, 0.3]]))
    assert float(sign[0]) == 0
    assert float(log_abs[0]) == -math.inf
