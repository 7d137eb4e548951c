"""Derivatives of JastrowAnsatz: against nested tapes, mpmath, and local energies that are known on every walker."""

from __future__ import annotations

import itertools
import math

import keras
import mpmath
import numpy as np
import pytest
import tensorflow as tf

from tf_nqs.ansatz import JastrowAnsatz
from tf_nqs.physics import TrappedFermions
from tf_nqs.physics.laplacian import nested_tapes

EPS = {dtype: float(np.finfo(dtype).eps) for dtype in ("float32", "float64")}
SMALL = {"n_features": 4, "n_pair_features": 4, "length": 0.7}


def make_ansatz(n_particles, dtype="float64", seed=0, **arguments):
    """Random weights, the same in both precisions."""
    arguments = {**SMALL, **arguments}
    keras.utils.set_random_seed(seed)
    start = JastrowAnsatz(n_particles, **arguments, dtype="float32").get_weights()
    ansatz = JastrowAnsatz(n_particles, **arguments, dtype=dtype)
    random = np.random.default_rng(seed)
    ansatz.set_weights([np.float32(weight + 0.2 * random.normal(size=weight.shape)) for weight in start])
    return ansatz


def spread_positions(n_walkers, n_particles, seed=1):
    """Walkers as free fermions stand, roughly: about evenly in the trap; float32 holds them exactly."""
    random = np.random.default_rng(seed)
    even = np.linspace(-1, 1, n_particles) * math.sqrt(2 * n_particles)
    x = even + 0.2 * random.normal(size=(n_walkers, n_particles))
    return random.permuted(np.float32(x), axis=1)


def with_close_pair(positions, distance):
    """The same walkers with the first two particles so far apart, as near as float32 has it."""
    x = positions.copy()
    x[:, 0] = np.float32(0.4)
    x[:, 1] = x[:, 0] + np.float32(distance)
    return x


def as_nested(ansatz, positions):
    return nested_tapes(lambda x: ansatz(x)[1], tf.constant(positions, ansatz.compute_dtype))


@pytest.mark.parametrize("contact_exponent", [1.0, 1.8])
@pytest.mark.parametrize("n_particles", [1, 2, 3, 8, *(pytest.param(n, marks=pytest.mark.slow) for n in (24, 50))])
def test_forward_laplacian_equals_nested_tapes(n_particles, contact_exponent):
    ansatz = make_ansatz(n_particles, contact_exponent=contact_exponent, n_layers=3)
    positions = spread_positions(5, n_particles)
    psi, forward = ansatz.forward_laplacian(tf.constant(positions, tf.float64))
    for one, other in zip(psi, ansatz(positions), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-13)
    nested = as_nested(ansatz, positions)
    # Rounding errors of float64, amplified by 1/r and 1/r^2 of the nearest pairs.
    np.testing.assert_allclose(forward.gradient, nested.gradient, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(forward.laplacian, nested.laplacian, rtol=1e-9)


def exact_laplacian(ansatz, positions):
    """(lap Psi)/Psi of one walker with 60 digits, by second differences of Psi."""
    mp = mpmath.mp
    tanh = np.vectorize(mpmath.tanh, otypes=[object])
    number = np.vectorize(mpmath.mpf, otypes=[object])
    weights = {weight.path.partition("/")[2]: number(weight.numpy()) for weight in ansatz.weights}
    length, n_particles = mpmath.mpf(ansatz.pair_network.length), ansatz.n_particles

    def pair_features(r):
        s = r / length
        t = tanh(s * weights["pair_network/scale"] + weights["pair_network/bias_1"])
        t = t + tanh(t @ weights["pair_network/kernel_2"] + weights["pair_network/bias_2"])
        return np.concatenate([t, [mpmath.log(1 + s**2) / 2, mpmath.sqrt(1 + s**2) - 1]])

    def psi(x):
        messages = np.array([sum(pair_features(a - b) for j, b in enumerate(x) if j != i) for i, a in enumerate(x)])
        exponent = np.sum(messages, axis=0) @ weights["pair_head/kernel"]
        h = np.concatenate([np.array(x, object)[:, None], messages], axis=1)
        for layer in (1, 2):
            mean = np.sum(h, axis=0) / mpmath.mpf(n_particles)
            inputs = np.concatenate([h, np.tile(mean, (n_particles, 1))], axis=1)
            kernel, bias = (weights[f"equivariant_{layer}/{name}"] for name in ("kernel", "bias"))
            h = tanh(inputs @ kernel + bias) + (h if layer == 2 else 0)
        exponent += np.sum(h, axis=0) @ weights["particle_head/kernel"]
        w, u = weights["gaussian/inverse_width"].item(), weights["gaussian/pair_stiffness"].item()
        pairs = [a - b for a, b in itertools.combinations(x, 2)]
        exponent -= w**2 / 2 * sum(a**2 for a in x) + u / n_particles * sum(r**2 for r in pairs)
        return mpmath.fprod(pairs) * mpmath.exp(exponent)

    with mp.workdps(60):
        x, step = [mpmath.mpf(float(value)) for value in positions], mpmath.mpf("1e-15")
        centre, total = psi(x), mpmath.mpf(0)
        for i in range(n_particles):
            shifted = [[*x[:i], x[i] + change, *x[i + 1 :]] for change in (-step, step)]
            total += sum(map(psi, shifted)) - 2 * centre
        return float(total / step**2 / centre)


@pytest.mark.parametrize("distance", [1e-6, 1e-3, 0.02])
@pytest.mark.parametrize("n_particles", [2, 3, pytest.param(8, marks=pytest.mark.slow)])
def test_close_pairs_keep_their_digits(n_particles, distance):
    """Both precisions against mpmath, on both sides of the distance at which the quotient's form changes.

    Rounding by a few hundred eps of the sums that the Laplacian is made of; without the form for close pairs the
    error at 1e-6 was 0.7 to 5 in float32. Farther off, the plain quotient has eps |J'|/r.
    """
    positions = with_close_pair(spread_positions(1, n_particles, seed=3), distance)
    expected = exact_laplacian(make_ansatz(n_particles), positions[0])
    for dtype, eps in EPS.items():
        ansatz = make_ansatz(n_particles, dtype)
        found = float(ansatz.forward_laplacian(tf.constant(positions, dtype))[1].laplacian[0])
        kinetic_scale = abs(expected) + float(tf.reduce_sum(tf.cast(positions, dtype) ** 2)) + n_particles**2
        assert abs(found - expected) < 100 * eps * kinetic_scale + (1e-11 if dtype == "float64" else 0), dtype


def test_pair_that_has_met_has_a_finite_laplacian():
    """Psi is zero there, but (lap Psi)/Psi has a limit for l = 1."""
    ansatz = make_ansatz(3)
    met, close = (with_close_pair(spread_positions(1, 3), distance) for distance in (0.0, 1e-5))
    found, near = (ansatz.forward_laplacian(tf.constant(x, tf.float64))[1].laplacian for x in (met, close))
    np.testing.assert_allclose(found, near, rtol=1e-3)


@pytest.mark.parametrize("n_particles", [2, 3, 8, 24, pytest.param(50, marks=pytest.mark.slow)])
def test_float32_is_as_good_as_its_rounding_for_many_and_far_particles(n_particles):
    """Against float64, one particle as far out as 1000 a_ho, where kinetic and trap energy are 5e5."""
    positions = spread_positions(6, n_particles)
    for walker, far in enumerate((10.0, 100.0, -1000.0)):
        positions[walker, 0] = far
    exact = make_ansatz(n_particles).forward_laplacian(tf.constant(positions, tf.float64))[1].laplacian
    found = make_ansatz(n_particles, "float32").forward_laplacian(tf.constant(positions))[1].laplacian
    assert np.all(np.isfinite(found))
    error = np.abs(np.asarray(found, np.float64) - exact)
    # The gradient's rounding is magnified by 1/r of the nearest pair, about 0.1 here.
    size = np.abs(exact) + np.sum(positions.astype(np.float64) ** 2, axis=1) + n_particles**2
    assert np.all(error < 100 * EPS["float32"] * size)


@pytest.mark.parametrize("dtype", EPS)
@pytest.mark.parametrize("n_particles", [1, 2, 5, 24, 64])
def test_at_the_start_every_walker_has_the_energy_of_free_fermions(n_particles, dtype):
    """A^2/2, walkers next to a node and far out included."""
    ansatz = JastrowAnsatz(n_particles, **SMALL, dtype=dtype)
    positions = np.random.default_rng(0).normal(size=(8, n_particles)).astype(dtype)
    positions[0] *= 100
    positions[1, -1] = positions[1, 0] + 1e-6
    derivatives = ansatz.forward_laplacian(tf.constant(positions))[1]
    local_energy = TrappedFermions(n_particles).local_energy(positions, derivatives)
    size = np.sum(positions.astype(np.float64) ** 2, axis=1) + n_particles**2
    assert np.all(np.abs(np.asarray(local_energy.total, np.float64) - n_particles**2 / 2) < 4 * EPS[dtype] * size)


@pytest.mark.parametrize("n_particles", [2, 3, 5, 8, 24])
def test_calogero_with_harmonic_pairs_has_a_constant_local_energy(n_particles):
    """Psi = prod abs(x_ij)^l sign(x_ij) exp(-Omega sum (x - X)^2/2 - A X^2/2), in closed form for any l and kappa.

    The whole (lap Psi)/Psi differs from the regular one by what the interaction l (l - 1)/r^2 cancels.
    """
    exponent, kappa = 1.8, 0.7
    frequency = math.sqrt(1 + n_particles * kappa)
    ansatz = JastrowAnsatz(n_particles, **SMALL, contact_exponent=exponent, dtype="float64")
    ansatz.gaussian.pair_stiffness.assign((frequency - 1) / 2)
    positions = with_close_pair(spread_positions(5, n_particles), 1e-3)
    system = TrappedFermions(n_particles, pair_potential=lambda r: 0.5 * kappa * r**2)
    derivatives = ansatz.regular_derivatives(tf.constant(positions, tf.float64))[1]
    regular = system.local_energy(tf.constant(positions, tf.float64), derivatives).total
    n_pairs = n_particles * (n_particles - 1) / 2
    exact = 0.5 + frequency * ((n_particles - 1) / 2 + exponent * n_pairs)
    np.testing.assert_allclose(regular, np.full(5, exact), rtol=1e-11)
    first, second = np.triu_indices(n_particles, 1)
    r = positions[:, first].astype(np.float64) - positions[:, second]
    repulsion = np.sum(exponent * (exponent - 1) / r**2, axis=1)
    whole = ansatz.forward_laplacian(tf.constant(positions, tf.float64))[1].laplacian
    np.testing.assert_allclose((whole - derivatives.laplacian) / 2, repulsion, rtol=1e-9)
