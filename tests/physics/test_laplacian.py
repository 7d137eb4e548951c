"""(lap Psi)/Psi of the ansatz, by the forward Laplacian and by nested tapes, against 50 digits of mpmath.

The oracle knows the formulas of the thesis and the weights, nothing of the package: no log domain, no elimination, no
differentiation rule, only second differences of Psi.
"""

from __future__ import annotations

import itertools

import keras
import mpmath
import numpy as np
import pytest
import tensorflow as tf

from tf_nqs.ansatz import FermionAnsatz
from tf_nqs.physics.laplacian import nested_tapes

STEP = mpmath.mpf(10) ** -14
"""Of central differences with 50 digits: truncation 1e-28, cancellation 1e-22."""

# (A, L, D): each number of layers and of determinants with few and with many particles.
SOME = [(1, 1, 1), (1, 4, 3), (2, 2, 1), (2, 1, 2), (3, 3, 1), (3, 2, 3), (4, 2, 1), (4, 4, 2), (5, 1, 3), (6, 2, 1)]
SOME += [(8, 3, 1), (12, 2, 2)]
CASES = [
    case if case in SOME else pytest.param(*case, marks=pytest.mark.slow)
    for case in itertools.product(range(1, 13), range(1, 5), range(1, 4))
]


@pytest.fixture(autouse=True)
def fifty_digits():
    with mpmath.workdps(50):
        yield


exact = np.vectorize(mpmath.mpf, otypes=[object])
exact_tanh = np.vectorize(mpmath.tanh, otypes=[object])
exact_exp = np.vectorize(mpmath.exp, otypes=[object])


def exact_determinants(weights, n_layers, positions):
    """det(phi_d), d = 1..D, up to the constant (A!)^(-1/2); thesis, Eqs. 4-10."""
    features = positions[:, None]
    for layer in range(n_layers):
        kernel, bias = weights[2 * layer : 2 * layer + 2]
        mean = np.broadcast_to(features.sum(axis=0) / len(positions), features.shape)
        output = exact_tanh(np.concatenate([features, mean], axis=1) @ kernel + bias)
        features = output + features if layer else output
    kernel, bias, inverse_width = weights[-3:]
    orbitals = (features @ kernel + bias).reshape(len(positions), *inverse_width.shape)
    orbitals = orbitals * exact_exp(-((positions[:, None, None] * inverse_width) ** 2))
    return np.array([mpmath.det(mpmath.matrix(orbitals[:, d].tolist())) for d in range(len(inverse_width))])


def exact_derivatives(ansatz, positions):
    """Psi up to its constant, gradient and Laplacian of one walker over Psi."""
    # Keras' order: kernel and bias of every equivariant layer, of the orbitals, then the envelope.
    weights = [exact(weight.astype(np.float64)) for weight in ansatz.get_weights()]
    positions = exact(positions)

    def psi(positions):
        return sum(exact_determinants(weights, ansatz.n_layers, positions))

    centre, first, second = psi(positions), [], mpmath.mpf(0)
    for i in range(len(positions)):
        move = exact(np.eye(len(positions))[i]) * STEP
        below, above = psi(positions - move), psi(positions + move)
        first.append(float((above - below) / (2 * STEP * centre)))
        second += (above - 2 * centre + below) / (STEP**2 * centre)
    return centre, np.array(first), float(second)


def relative_tolerances(ansatz, positions):
    """1e-10, and 100 eps times the condition of Psi: sum_d |det_d| cond(phi_d)/|Psi|, rows scaled to length one.

    Random features of few layers are nearly dependent functions: for A = 12 the condition number reaches 1e12, and then
    no float64 algorithm that starts from the rounded orbitals can know more.
    """
    orbitals = np.asarray(ansatz.orbitals(positions))
    signs, logs = np.linalg.slogdet(orbitals)
    conditions = np.linalg.cond(orbitals / np.linalg.norm(orbitals, axis=-1, keepdims=True))
    psi = np.abs(np.sum(signs * np.exp(logs), axis=1))
    return 1e-10 + 100 * np.finfo(float).eps * np.sum(np.exp(logs) * conditions, axis=1) / psi


@pytest.mark.parametrize(("n_particles", "n_layers", "n_determinants"), CASES)
def test_laplacian(n_particles, n_layers, n_determinants):
    """Both ways, random weights, three random walkers, one of them near a node."""
    keras.utils.set_random_seed(n_particles + 100 * n_layers + 1000 * n_determinants)
    random = np.random.default_rng(n_particles)
    ansatz = FermionAnsatz(n_particles, 6, n_layers, n_determinants, dtype="float64")
    ansatz.envelope.inverse_width.assign(random.uniform(0.5, 1.0, (n_determinants, n_particles)))
    positions = random.normal(size=(3, n_particles))
    if n_particles > 1:
        positions[2, 1] = positions[2, 0] + 1e-3
    psi, forward = ansatz.forward_laplacian(tf.constant(positions))
    nested = nested_tapes(ansatz.log_abs_psi, positions)
    for one, other in zip(psi, ansatz(positions), strict=True):
        tolerance = relative_tolerances(ansatz, positions)
        assert np.all(np.abs(one - other) <= tolerance)
    for walker, tolerance in enumerate(relative_tolerances(ansatz, tf.constant(positions))):
        value, gradient, laplacian = exact_derivatives(ansatz, positions[walker])
        assert psi.sign[walker] == int(mpmath.sign(value)) or tolerance > 0.1
        # The terms that are summed: near a node each of them is large, and their sum need not be.
        scale = 1 + np.sum(gradient**2) + abs(laplacian)
        for result in (forward, nested):
            assert np.max(np.abs(result.gradient[walker] - gradient)) <= tolerance * scale**0.5
            assert abs(result.laplacian[walker] - laplacian) <= tolerance * scale
        assert abs(forward.laplacian[walker] - nested.laplacian[walker]) <= tolerance * scale


def test_the_default_cases_are_well_conditioned():
    """Otherwise the tolerance above would prove nothing: most cases keep nine digits."""
    for n_particles, n_layers, n_determinants in [(2, 2, 1), (3, 3, 1), (3, 2, 3), (4, 2, 1)]:
        keras.utils.set_random_seed(n_particles + 100 * n_layers + 1000 * n_determinants)
        ansatz = FermionAnsatz(n_particles, 6, n_layers, n_determinants, dtype="float64")
        positions = np.random.default_rng(n_particles).normal(size=(2, n_particles))
        assert np.min(relative_tolerances(ansatz, positions)) < 1e-8


@pytest.mark.parametrize(
    ("log_abs_psi", "expected"),
    [
        (lambda x: -0.5 * tf.reduce_sum(x**2, axis=1), lambda x, y: x**2 + y**2 - 2),
        (lambda x: tf.math.log(1 + x[:, 0] ** 2 * x[:, 1] ** 2), lambda x, y: 2 * (x**2 + y**2) / (1 + x**2 * y**2)),
        (lambda x: tf.zeros_like(x[:, 0]), lambda x, y: 0 * x),
        (lambda x: 3 * x[:, 0], lambda x, y: 9 + 0 * x),
    ],
)
def test_nested_tapes_on_closed_forms(log_abs_psi, expected):
    """A Gaussian, a polynomial with a mixed term, a constant, an exponential."""
    positions = np.random.default_rng(0).normal(size=(5, 2))
    # A handful of operations: tens of eps.
    laplacian = nested_tapes(log_abs_psi, positions).laplacian
    np.testing.assert_allclose(laplacian, expected(*positions.T), rtol=1e-13, atol=1e-13)


def test_nested_tapes_take_numpy_and_variables():
    x = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    ansatz = FermionAnsatz(3, 4)
    one, other = nested_tapes(ansatz.log_abs_psi, x), nested_tapes(ansatz.log_abs_psi, tf.Variable(x))
    np.testing.assert_array_equal(one.laplacian, other.laplacian)
    assert one.laplacian.dtype == tf.float32
