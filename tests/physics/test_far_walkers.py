"""Particles far out, where the envelope underflows: no NaN reaches the weights or the walkers."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_nqs.ansatz import FermionAnsatz
from tf_nqs.layers.condition_shift import NO_SHIFTS
from tf_nqs.physics.energy import clip_local_energy, mask_non_finite
from tf_nqs.physics.hamiltonian import TrappedFermions
from tf_nqs.physics.laplacian import nested_tapes
from tf_nqs.sampling.metropolis import MetropolisHastings
from tf_nqs.training.loss import surrogate_loss

A = 3
FINE = np.random.default_rng(0).normal(size=(6, A))
FAR = {
    "two_far": [20.0, -19.0, 0.3],
    "all_far": [20.0, -20.0, 15.0],
    "at_200": [200.0, -200.0, 201.0],
    "at_10000": [1e4, -1e4, 3e3],
    "same_place_far": [300.0, 300.0, -300.0],
    "one_at_1e9": [1e9, 0.0, 1.0],
}


def make_ansatz(dtype="float32", n_determinants=1, spread=True):
    """Envelopes of different widths, whose ratios underflow far out."""
    keras.utils.set_random_seed(1)
    ansatz = FermionAnsatz(A, 8, 2, n_determinants, dtype=dtype)
    if spread:
        ansatz.envelope.inverse_width.assign(np.linspace(0.5, 1.0, n_determinants * A).reshape(n_determinants, A))
    return ansatz


@pytest.mark.parametrize("spread", [False, True])
@pytest.mark.parametrize("n_determinants", [1, 2])
@pytest.mark.parametrize("position", [-40.0, 40.0])
def test_one_particle_at_40(position, n_determinants, spread):
    """exp(-800) is no float32, ln|Psi| is; equal to float64's."""
    single, double = make_ansatz("float32", n_determinants, spread), make_ansatz("float64", n_determinants, spread)
    double.set_weights(single.get_weights())
    positions = FINE.copy()
    positions[:, 1] = position
    positions = positions.astype(np.float32).astype(np.float64)
    log_abs, exact = (np.asarray(ansatz(positions).log_abs_psi, np.float64) for ansatz in (single, double))
    assert np.all(np.isfinite(log_abs))
    eps = np.finfo(np.float32).eps
    # The orbitals themselves underflow in float64 too, not so their envelopes' ratios.
    log_envelope = double.envelope(positions).numpy()
    ratios = np.exp(log_envelope - log_envelope.max(axis=-1, keepdims=True))
    rows = double._orbitals_without_envelope(tf.constant(positions), NO_SHIFTS).numpy() * ratios
    rows = rows / np.linalg.norm(rows, axis=-1, keepdims=True)
    # Envelopes of up to 1600 as sums of few terms: 10 eps; Psi itself: 100 eps cond(phi), rows scaled to length one.
    tolerance = 10 * eps * np.abs(exact) + 100 * eps * np.max(np.linalg.cond(rows), axis=1)
    assert np.all(np.abs(log_abs - exact) <= tolerance)
    assert np.median(tolerance) < 0.1


@pytest.mark.parametrize("n_determinants", [1, 3])
@pytest.mark.parametrize("position", [1e3, 1e4, 1e6])
def test_derivatives_keep_their_digits_far_out(position, n_determinants):
    """There float32 gives ln|Psi| no digit behind the point, so nothing may be divided by exp(ln|Psi|)."""
    single, double = make_ansatz("float32", n_determinants), make_ansatz("float64", n_determinants)
    double.set_weights(single.get_weights())
    positions = np.array([[0.5, position, -0.75]])
    found, exact = (ansatz.forward_laplacian(positions)[1] for ansatz in (single, double))
    np.testing.assert_allclose(found.gradient, exact.gradient, rtol=1e-5)
    np.testing.assert_allclose(found.laplacian, exact.laplacian, rtol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", pytest.param("float64", marks=pytest.mark.slow)])
@pytest.mark.parametrize("n_determinants", [1, 2])
@pytest.mark.parametrize("case", FAR)
def test_several_far_out(case, n_determinants, dtype):
    """ln|Psi| may be -inf, never NaN; derivatives by the positions are finite, or the walker is left out."""
    ansatz = make_ansatz(dtype, n_determinants)
    far = tf.constant([FAR[case]], dtype)
    log_abs = ansatz(far).log_abs_psi
    assert not np.isnan(log_abs)
    for derivatives in (ansatz.forward_laplacian(far)[1], nested_tapes(ansatz.log_abs_psi, far)):
        energy = TrappedFermions(A, 1.0).local_energy(far, derivatives)
        weight = mask_non_finite(energy, tf.ones(1, dtype))
        assert np.all(np.isfinite(derivatives.gradient)) or weight == 0.0


@pytest.mark.parametrize("laplacian", ["forward", "nested"])
@pytest.mark.parametrize("n_determinants", [pytest.param(1, marks=pytest.mark.slow), 2])
@pytest.mark.parametrize("case", FAR)
def test_the_gradient_by_the_weights_stays_finite(case, n_determinants, laplacian):
    """One far walker among six good ones, through energy, mask, clipping and loss, as the training step does it."""
    ansatz = make_ansatz("float32", n_determinants)
    positions = tf.constant(np.concatenate([FINE, [FAR[case]]]), tf.float32)
    if laplacian == "forward":
        derivatives = ansatz.forward_laplacian(positions)[1]
    else:
        derivatives = nested_tapes(ansatz.log_abs_psi, positions)
    energy = TrappedFermions(A, 1.0).local_energy(positions, derivatives)
    for weights in (mask_non_finite(energy, tf.ones(7)), tf.constant([1.0] * 6 + [0.0])):
        clipped = clip_local_energy(energy.total, weights, 5.0)
        with tf.GradientTape() as tape:
            loss = surrogate_loss(ansatz.log_abs_psi(positions), clipped, weights)
        gradients = tape.gradient(loss, ansatz.trainable_variables)
        assert all(np.all(np.isfinite(gradient)) for gradient in gradients)


@pytest.mark.parametrize("position", [[7.0, -8.0, 9.0], [8.5, -9.0, 9.5], [10.5, 0.3, -10.0]])
def test_derivatives_far_out_agree_with_float64(position):
    """Envelopes' ratios down to 1e-30: float32 still holds ln|Psi|, and all derivatives belong to it."""
    single, double = make_ansatz("float32"), make_ansatz("float64")
    double.set_weights(single.get_weights())
    _, exact = double.forward_laplacian(tf.constant([position], tf.float64))
    exact_log_abs = double(np.array([position])).log_abs_psi
    far = tf.constant([position], tf.float32)
    psi, forward = single.forward_laplacian(far)
    # Graded matrices lose no more than well-scaled ones, and elimination keeps them graded: 1e-3 is 1e4 eps.
    np.testing.assert_allclose(psi.log_abs_psi, exact_log_abs, rtol=1e-3)
    for derivatives in (forward, nested_tapes(single.log_abs_psi, far)):
        scale = np.sum(exact.gradient**2)
        np.testing.assert_allclose(derivatives.gradient / scale**0.5, exact.gradient / scale**0.5, atol=1e-3)
        np.testing.assert_allclose(derivatives.laplacian / scale, exact.laplacian / scale, atol=1e-3)


def test_the_sampler_rejects_what_is_too_far():
    """Huge proposals: walkers that start fine stay at finite ln|Psi|; those that start at Psi = 0 become no NaN."""
    ansatz = make_ansatz("float32")
    sampler = MetropolisHastings(n_walkers=7, n_steps=20, proposal_width=1000.0)
    state = sampler.initial_state(A, tf.constant([0, 0]))
    state = state._replace(positions=tf.constant(np.concatenate([FINE, [FAR["at_10000"]]]), tf.float32))
    sample = tf.function(lambda state: sampler.sample(ansatz.log_abs_psi, state), autograph=False)
    for width in (1000.0, 1e30, 1.0):
        state, acceptance = sample(state._replace(proposal_width=tf.constant(width)))
        assert 0.0 <= acceptance <= 1.0
        assert np.all(np.isfinite(state.positions))
        assert np.all(np.isfinite(ansatz(state.positions[:6]).log_abs_psi))
    assert acceptance > 0.1
