"""Sign, logarithm and derivatives of sums of determinants, against 60 digits of mpmath.

The tolerance is a backward error: a result counts as right if a matrix within delta = 100 eps ||phi|| of the given one
has it. Changing the singular values s by at most delta changes the k-th differential of the determinant along dphi by
at most k! ||dphi||^k [e_(A-k)(s + delta) - e_(A-k)(s)], with the elementary symmetric polynomials e_m. To first order
this is 100 eps cond(phi) relative to the differential's norm; it needs no division, so it covers singular matrices too.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import mpmath
import numpy as np
import pytest
import tensorflow as tf

from tf_nqs.physics.determinant import signed_log_sum_of_determinants, sum_of_determinants_derivatives

STEP = mpmath.mpf(10) ** -16
"""Of central differences with 60 digits: truncation 1e-32, cancellation in second differences 1e-28, both relative."""

SOME_SIZES, ALL_SIZES = (1, 2, 3, 4, 6, 8, 12, 24), range(1, 25)
SIZES_AND_DETERMINANTS = [
    # mpmath takes seconds for each three determinants of size 24.
    (n, d) if n in SOME_SIZES and d in (1, 3) and n * d < 40 else pytest.param(n, d, marks=pytest.mark.slow)
    for n in ALL_SIZES
    for d in (1, 2, 3)
]
DTYPES = ["float32", "float64"]


@pytest.fixture(autouse=True)
def sixty_digits():
    with mpmath.workdps(60):
        yield


class Differentials(NamedTuple):
    """Psi and its first and second differential, each with its tolerance, as multiples of |Psi|."""

    sign: int
    log_abs: float
    first: float
    second: float
    tolerances: tuple[float, float, float]

    @property
    def second_of_log(self) -> tuple[float, float]:
        """d^2 ln|Psi| = d^2 Psi/Psi - (d Psi/Psi)^2 and its tolerance."""
        zeroth, first, second = self.tolerances
        tolerance = second + abs(self.second) * zeroth + 2 * abs(self.first) * (first + abs(self.first) * zeroth)
        return self.second - self.first**2, tolerance


def to_mpmath(matrix):
    return mpmath.matrix(np.asarray(matrix, np.float64).tolist())


def tolerances_of_determinant(matrix, direction, eps):
    """The bounds at the head of this file for k = 0, 1, 2; rounding of the sums themselves in the last term."""
    singular_values = np.linalg.svd(np.asarray(matrix, np.float64), compute_uv=False)
    size, length = len(singular_values), np.linalg.norm(np.asarray(direction, np.float64))
    exact = np.poly(-singular_values)
    changed = np.poly(-singular_values - 100 * eps * singular_values[0])
    bounds = []
    for k in range(3):
        change = changed[size - k] - (1 - 100 * eps) * exact[size - k] if k <= size else 0.0
        bounds.append(math.factorial(k) * length**k * change)
    return np.array(bounds)


def differentials(matrices, log_scales, direction, curvature=None):
    """Psi(t) = sum_d exp(s_d) det(phi_d + t dphi_d + t^2 ddphi_d/2) at t = 0, with derivatives, from mpmath."""
    eps = float(np.finfo(matrices.dtype).eps)
    curvature = np.zeros_like(matrices) if curvature is None else curvature
    psi, bounds = [mpmath.mpf(0)] * 3, np.zeros(3)
    for matrix, log_scale, change, second in zip(matrices, log_scales, direction, curvature, strict=True):
        scale = mpmath.exp(mpmath.mpf(float(log_scale)))
        phi, dphi, ddphi = to_mpmath(matrix), to_mpmath(change), to_mpmath(second)
        below, at, above = (mpmath.det(phi + t * dphi + t**2 / 2 * ddphi) for t in (-STEP, mpmath.mpf(0), STEP))
        values = (at, (above - below) / (2 * STEP), (above - 2 * at + below) / STEP**2)
        psi = [total + scale * value for total, value in zip(psi, values, strict=True)]
        bound = tolerances_of_determinant(matrix, change, eps)
        bound[2] += tolerances_of_determinant(matrix, second, eps)[1]
        bounds += float(scale) * bound
    size = abs(psi[0])
    return Differentials(
        int(mpmath.sign(psi[0])),
        float(mpmath.log(size)),
        float(psi[1] / psi[0]),
        float(psi[2] / psi[0]),
        tuple(bounds / float(size)),
    )


def exact_gradient(matrices, log_scales):
    """d ln|Psi| / d phi_d from mpmath: cofactors as the mean of those of phi + h E and phi - h E, E random."""
    random = np.random.default_rng(5)
    psi, cofactors = mpmath.mpf(0), []
    for matrix, log_scale in zip(matrices, log_scales, strict=True):
        scale, phi = mpmath.exp(mpmath.mpf(float(log_scale))), to_mpmath(matrix)
        psi += scale * mpmath.det(phi)
        other = STEP * to_mpmath(random.normal(size=matrix.shape))
        cofactors.append(
            scale / 2 * sum((mpmath.det(m) * mpmath.inverse(m).T for m in (phi + other, phi - other)), 0 * phi)
        )
    return np.array([np.array((cofactor / psi).tolist(), np.float64) for cofactor in cofactors])


def random_matrix(random, size):
    return random.normal(size=(size, size))


def nearly_singular(random, size, dtype):
    """Smallest singular value 1e-3 (float32) or 1e-8 (float64) of the largest."""
    left, values, right = np.linalg.svd(random_matrix(random, size))
    values[-1] = values[0] * (1e-3 if dtype == "float32" else 1e-8)
    return left * values @ right


def exactly_singular(random, size, deficiency):
    """Small integers, hence exact in both types; the last rows are sums of the others."""
    rank = max(size - deficiency, 0)
    while True:
        rows = random.integers(-3, 4, size=(rank, size))
        if rank == 0 or np.linalg.matrix_rank(rows) == rank:
            return np.concatenate([rows, random.integers(-1, 2, size=(size - rank, rank)) @ rows]).astype(float)


def hard_cases(size, n_determinants, dtype):
    """One walker per kind of first determinant; the other determinants are random."""
    random = np.random.default_rng(1000 * size + n_determinants)
    first = [random_matrix(random, size), nearly_singular(random, size, dtype)]
    if n_determinants > 1:
        first += [exactly_singular(random, size, 1), exactly_singular(random, size, 2)]
    matrices = np.stack([[m, *(random_matrix(random, size) for _ in range(n_determinants - 1))] for m in first])
    log_scales = random.normal(size=matrices.shape[:2])
    return matrices.astype(dtype), log_scales.astype(dtype), random


def log_derivatives_along(matrices, log_scales, direction):
    """SignedLog, its full gradient, and d/dt, d^2/dt^2 of ln|Psi(phi + t dphi)|, all by tapes."""
    t = tf.zeros(matrices.shape[0], matrices.dtype)
    with tf.GradientTape() as outer:
        outer.watch(t)
        with tf.GradientTape(persistent=True) as inner:
            inner.watch(t)
            moved = matrices + t[:, None, None, None] * direction
            psi = signed_log_sum_of_determinants(moved, log_scales)
        first = inner.gradient(psi.log_abs_psi, t)
    return psi, inner.gradient(psi.log_abs_psi, moved), first, outer.gradient(first, t)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("size", "n_determinants"), SIZES_AND_DETERMINANTS)
def test_value_and_derivatives_by_tapes(size, n_determinants, dtype):
    """Random, nearly singular and, among other determinants, exactly singular matrices."""
    matrices, log_scales, random = hard_cases(size, n_determinants, dtype)
    direction = random.normal(size=matrices.shape).astype(dtype)
    results = log_derivatives_along(*map(tf.constant, (matrices, log_scales, direction)))
    (sign, log_abs), gradient, first, second = tf.nest.map_structure(np.array, results)
    eps = np.finfo(dtype).eps
    for walker in range(len(matrices)):
        exact = differentials(matrices[walker], log_scales[walker], direction[walker])
        zeroth_tolerance, first_tolerance, _ = exact.tolerances
        assert sign[walker] == exact.sign
        # The second term: rounding of a sum of A logarithms and the scale.
        assert abs(log_abs[walker] - exact.log_abs) <= zeroth_tolerance + 10 * eps * (size + abs(exact.log_abs))
        assert abs(first[walker] - exact.first) <= first_tolerance + abs(exact.first) * zeroth_tolerance
        second_exact, second_tolerance = exact.second_of_log
        assert abs(second[walker] - second_exact) <= second_tolerance
        # A gradient's norm is its largest product with a direction of length 1.
        expected = exact_gradient(matrices[walker], log_scales[walker])
        length = min(np.linalg.norm(d) for d in direction[walker])
        tolerance = first_tolerance / length + np.linalg.norm(expected) * zeroth_tolerance
        assert np.linalg.norm(gradient[walker] - expected) <= tolerance


def forward_cases(size, n_determinants, dtype, n_directions=2):
    matrices, log_scales, random = hard_cases(size, n_determinants, dtype)
    shape = matrices.shape
    jacobian = random.normal(size=(*shape[:2], n_directions, *shape[2:])).astype(dtype)
    curvature = random.normal(size=jacobian.shape).astype(dtype)
    return matrices, log_scales, jacobian, curvature


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("size", "n_determinants"), SIZES_AND_DETERMINANTS)
def test_forward_derivatives(size, n_determinants, dtype):
    """`sum_of_determinants_derivatives` of orbitals that curve, for the same matrices."""
    matrices, log_scales, jacobian, curvature = forward_cases(size, n_determinants, dtype)
    # The package is given the sum over directions; its rounding is of the size that the tolerance allows anyway.
    results = sum_of_determinants_derivatives(
        *map(tf.constant, (matrices, jacobian, curvature.sum(axis=2), log_scales))
    )
    (sign, log_abs), gradient, laplacian = tf.nest.map_structure(np.array, results)
    for walker in range(len(matrices)):
        total, total_tolerance = 0.0, 0.0
        for k in range(jacobian.shape[2]):
            exact = differentials(matrices[walker], log_scales[walker], jacobian[walker, :, k], curvature[walker, :, k])
            zeroth_tolerance, first_tolerance, second_tolerance = exact.tolerances
            assert abs(gradient[walker, k] - exact.first) <= first_tolerance + abs(exact.first) * zeroth_tolerance
            total += exact.second
            total_tolerance += second_tolerance + abs(exact.second) * zeroth_tolerance
        if zeroth_tolerance < 1:  # in units of Psi: beyond it, rounding decides its sign
            assert sign[walker] == exact.sign
        log_tolerance = zeroth_tolerance + 10 * np.finfo(dtype).eps * (size + abs(exact.log_abs))
        assert abs(log_abs[walker] - exact.log_abs) <= log_tolerance
        assert abs(laplacian[walker] - total) <= total_tolerance


@pytest.mark.parametrize(("size", "n_determinants"), [(1, 2), (3, 1), (5, 2)])
def test_forward_derivatives_equal_tapes(size, n_determinants):
    """Two independent formulas: differentials in one pass, and the custom gradients."""
    matrices, log_scales, jacobian, curvature = (tf.constant(a) for a in forward_cases(size, n_determinants, "float64"))
    forward = sum_of_determinants_derivatives(matrices, jacobian, tf.reduce_sum(curvature, axis=2), log_scales)
    total = 0.0
    for k in range(jacobian.shape[2]):
        t = tf.zeros(matrices.shape[0], tf.float64)
        with tf.GradientTape() as outer:
            outer.watch(t)
            with tf.GradientTape() as inner:
                inner.watch(t)
                time = t[:, None, None, None]
                moved = matrices + time * jacobian[:, :, k] + time**2 / 2 * curvature[:, :, k]
                log_abs = signed_log_sum_of_determinants(moved, log_scales).log_abs_psi
            first = inner.gradient(log_abs, t)
        # eps cond = 2e-8 for the nearly singular walker, where both terms of the sum are (1e8)^2 for D = 1.
        scale = 1 + np.abs(first) ** 2
        np.testing.assert_allclose(forward.gradient[:, k] / scale**0.5, first / scale**0.5, atol=1e-7)
        total += outer.gradient(first, t) + first**2
        assert np.all(np.isfinite(total))
    scale = 1 + np.sum(forward.gradient**2, axis=1)
    np.testing.assert_allclose(forward.laplacian / scale, total / scale, atol=1e-7)


@pytest.mark.parametrize("size", [1, 2, 5, 8])
def test_permutation_matrices(size):
    """Every pivot search is a tie; the sign is the parity, and the gradient the matrix itself."""
    random = np.random.default_rng(size)
    permutations = [np.arange(size), *(random.permutation(size) for _ in range(20))]
    matrices = np.stack([np.eye(size)[p] for p in permutations])[:, None]
    (sign, log_abs), gradient, _, _ = log_derivatives_along(
        tf.constant(matrices), tf.zeros((21, 1), tf.float64), tf.constant(matrices)
    )
    inversions = [sum(p[i] > p[j] for j in range(size) for i in range(j)) for p in permutations]
    np.testing.assert_array_equal(sign, [(-1) ** n for n in inversions])
    np.testing.assert_array_equal(log_abs, 0.0)
    np.testing.assert_array_equal(gradient, matrices)
    forward = sum_of_determinants_derivatives(
        tf.constant(matrices), tf.constant(matrices[:, :, None]), tf.zeros_like(matrices), tf.zeros((21, 1), tf.float64)
    )
    # det((1 + t) P) = (1 + t)^A det(P).
    np.testing.assert_array_equal(forward.gradient, np.full((21, 1), size))
    np.testing.assert_array_equal(forward.laplacian, np.full(21, size * (size - 1)))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("matrix", [[[0.0]], [[1.0, 2.0], [1.0, 2.0]], [[1.0, 0.0, 2.0]] * 3, np.zeros((4, 4))])
def test_one_singular_determinant(matrix, dtype):
    """Sign 0, ln|.| = -inf, finite derivatives."""
    matrices = tf.constant(matrix, dtype)[None, None]
    direction = tf.ones_like(matrices)
    (sign, log_abs), *derivatives = log_derivatives_along(matrices, tf.ones((1, 1), dtype), direction)
    assert sign == 0.0
    assert log_abs == -np.inf
    assert all(np.all(np.isfinite(derivative)) for derivative in derivatives)
    forward = sum_of_determinants_derivatives(matrices, direction[:, :, None], direction, tf.ones((1, 1), dtype))
    assert forward.psi.sign == 0.0
    assert forward.psi.log_abs_psi == -np.inf
    assert np.all(np.isfinite(forward.gradient)) and np.all(np.isfinite(forward.laplacian))


def test_two_determinants_that_cancel():
    """Psi = 0 although no determinant is: sign 0, finite derivatives."""
    one = np.random.default_rng(0).normal(size=(3, 3))
    matrices = tf.constant(np.stack([one, one[[1, 0, 2]]])[None])
    psi, *derivatives = log_derivatives_along(matrices, tf.zeros((1, 2), tf.float64), tf.ones_like(matrices))
    assert psi.sign == 0.0 and psi.log_abs_psi == -np.inf
    assert all(np.all(np.isfinite(derivative)) for derivative in derivatives)


@pytest.mark.parametrize(
    ("dtype", "scale"), [("float32", 1e-12), ("float32", 1e-25), ("float32", 1e15), ("float64", 1e-200)]
)
def test_derivatives_do_not_depend_on_the_size_of_an_orbital(dtype, scale):
    """A column of phi and dphi times c adds ln c to ln|Psi| and changes no logarithmic derivative.

    Envelopes of different widths make such columns where all particles are far out.
    """
    random = np.random.default_rng(3)
    matrices, direction = random.normal(size=(2, 8, 1, 3, 3)).astype(dtype)
    scales = np.array([1.0, scale, 1.0], dtype)
    log_scales = tf.zeros((8, 1), dtype)
    plain = log_derivatives_along(tf.constant(matrices), log_scales, tf.constant(direction))
    scaled = log_derivatives_along(tf.constant(matrices * scales), log_scales, tf.constant(direction * scales))
    # 1000 eps: the condition number of the unscaled 3 by 3 matrices is below 100, and both results round.
    eps = np.finfo(dtype).eps
    np.testing.assert_array_equal(plain[0].sign, scaled[0].sign)
    expected = plain[0].log_abs_psi + np.log(scale)
    np.testing.assert_allclose(scaled[0].log_abs_psi, expected, atol=1000 * eps * max(1.0, abs(np.log(scale))))
    np.testing.assert_allclose(scaled[2], plain[2], rtol=1000 * eps, atol=1000 * eps)
    np.testing.assert_allclose(scaled[3], plain[3], rtol=1000 * eps, atol=1000 * eps * np.max(plain[2] ** 2))
    forward = sum_of_determinants_derivatives(
        tf.constant(matrices * scales),
        tf.constant((direction * scales)[:, :, None]),
        tf.zeros_like(matrices),
        log_scales,
    )
    np.testing.assert_allclose(forward.psi.log_abs_psi, scaled[0].log_abs_psi, rtol=1000 * eps)
    np.testing.assert_allclose(forward.gradient[:, 0], plain[2], rtol=1000 * eps, atol=1000 * eps)


@pytest.mark.parametrize("function", ["value", "tapes", "forward"])
def test_xla_equals_graph(function):
    """The same numbers compiled and not, D = 2 with one singular determinant."""
    matrices, log_scales, jacobian, curvature = (tf.constant(a) for a in forward_cases(2, 2, "float64"))
    calls = {
        "value": lambda: signed_log_sum_of_determinants(matrices, log_scales),
        "tapes": lambda: log_derivatives_along(matrices, log_scales, jacobian[:, :, 0]),
        "forward": lambda: sum_of_determinants_derivatives(
            matrices, jacobian, tf.reduce_sum(curvature, axis=2), log_scales
        ),
    }
    graph = tf.nest.flatten(tf.function(calls[function], autograph=False)())
    compiled = tf.nest.flatten(tf.function(calls[function], jit_compile=True, autograph=False)())
    for one, other in zip(graph, compiled, strict=True):
        # Only the order of operations differs: 1e-12 leaves room for the condition 1e2 of the random determinants.
        scale = np.max(np.abs(one))
        np.testing.assert_allclose(other, one, rtol=1e-12, atol=1e-12 * scale)
