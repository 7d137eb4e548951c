"""MALA's drift: half the variance of a move times the gradient of ln|Psi|^2, bounded, never NaN."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tf_nqs.ansatz import FermionAnsatz
from tf_nqs.physics.oscillator import free_fermions
from tf_nqs.sampling.langevin import MetropolisAdjustedLangevin
from tf_nqs.sampling.metropolis import MetropolisHastings
from tf_nqs.sampling.sampling_call import sampling_call


def drift(log_probability, positions, width):
    """Returns what TFP adds to the positions beside the noise."""
    kernel = MetropolisAdjustedLangevin().kernel(log_probability, tf.constant(width, tf.float64), None)
    return kernel.bootstrap_results(tf.constant(positions, tf.float64)).accepted_results.diffusion_drift[0].numpy()


@pytest.mark.parametrize("width", [0.1, 0.5, 2.0])
def test_it_follows_the_gradient_up_to_one_width(width):
    positions = np.random.default_rng(0).normal(size=(50, 3))
    expected = np.clip(-(width**2) * positions, -width, width)
    found = drift(lambda x: -tf.reduce_sum(x**2, axis=1), positions, width)
    np.testing.assert_allclose(found, expected, rtol=1e-14)  # a few roundings
    assert np.any(np.abs(found) < width)


def test_it_is_finite_at_nodes():
    """On the node, and 1e-300 beside it, where the gradient overflows."""
    positions = [[0.0, 0.0], [1e-300, 0.0], [0.3, 0.3], [0.5, -0.5]]
    found = drift(lambda x: 2 * free_fermions(x).log_abs_psi, positions, 0.5)
    assert np.all(np.abs(found) <= 0.5)
    # ln|Psi|^2 = 2 ln|x1 - x2| - x1^2 - x2^2 + const: at (0.5, -0.5) its gradient is (1, -1), times 0.5^2/2.
    np.testing.assert_allclose(found[3], [0.125, -0.125], rtol=1e-12)


@pytest.mark.parametrize("jit_compile", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_walkers_do_not_stick_to_a_node(jit_compile):
    """Next to it the gradient is 2e6; without a bound such walkers jump out of reach and are all rejected."""
    sampler = MetropolisAdjustedLangevin(500, n_steps=5, proposal_width=0.5)
    state = sampler.initial_state(2, tf.constant([0, 0]), "float64")
    positions = tf.stack([state.positions[:, 0], state.positions[:, 0] + 1e-6], axis=1)

    @tf.function(jit_compile=jit_compile, autograph=False)
    def sample(state):
        return sampler.sample(lambda x: free_fermions(x).log_abs_psi, state)

    after, acceptance = sample(state._replace(positions=positions))
    assert np.mean(after.positions[:, 0] == positions[:, 0]) < 0.02
    assert acceptance > 0.4


def test_far_walkers_of_the_ansatz_become_no_nan():
    """Float32, positions where ln|Psi| = -inf or its gradient overflows, and widths from tiny to huge."""
    ansatz = FermionAnsatz(3, 8)
    sampler = MetropolisAdjustedLangevin(4, n_steps=20)
    sample = tf.function(lambda state: sampler.sample(ansatz.log_abs_psi, state), autograph=False)
    state = sampler.initial_state(3, tf.constant([0, 0]))
    far = [[0.3, -1.0, 0.9], [1e4, 0.3, -0.2], [1e18, -1e18, 0.0], [12.0, -12.0, 12.0]]
    state = state._replace(positions=tf.constant(far))
    for width in (1e-15, 1e15, 1.0):
        state, acceptance = sample(state._replace(proposal_width=tf.constant(width)))
        assert 0.0 <= acceptance <= 1.0
        assert np.all(np.isfinite(state.positions))
    assert np.all(np.isfinite(ansatz(state.positions[:1]).log_abs_psi))
    assert acceptance > 0.1


@pytest.mark.parametrize(("kind", "is_traced_once"), [(MetropolisHastings, True), (MetropolisAdjustedLangevin, False)])
def test_no_gradient_of_a_traced_function_is_taken(kind, is_traced_once):
    """TensorFlow would split it into a forward and a backward function, and XLA compile anew for every width.

    A sampler without gradients shares one traced function between its calls of the wave function.
    """
    ansatz, sampler = FermionAnsatz(3, 4, n_layers=1), kind(4, n_steps=2)
    sample = tf.function(sampling_call(sampler, lambda: lambda x: ansatz(x)[1], "float32"), autograph=False)
    graph = sample.get_concrete_function(sampler.initial_state(3, tf.constant([0, 0]))).graph
    names = [function.signature.name for function in graph.as_graph_def().library.function]
    assert not any("_forward_" in name or "_backward_" in name for name in names), names
    assert any(name.startswith("__inference_") for name in names) == is_traced_once
