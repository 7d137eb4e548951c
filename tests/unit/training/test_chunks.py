"""Phases in chunks: the same numbers, each walker counted once, memory below the bound."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_nqs.ansatz import FermionAnsatz
from tf_nqs.execution.chunks import phase_of_rows, phase_of_sums, walkers_per_chunk
from tf_nqs.execution.compilation import compiled_phase
from tf_nqs.execution.memory import peak_bytes
from tf_nqs.physics.hamiltonian import TrappedFermions
from tf_nqs.sampling.metropolis import MetropolisHastings
from tf_nqs.trainer import Compilation
from tf_nqs.training.gradients import make_gradient, scores_phase
from tf_nqs.training.natural_gradient import NaturalGradient
from tf_nqs.training.phases import make_phases
from tf_nqs.training.vmc import VariationalMonteCarlo
from tf_nqs.types import LocalEnergy

RANDOM = np.random.default_rng(5)
A, N = 2, 37
KIBIBYTE = 1 / 1024
EVERYTHING = 1024.0
"""Bounds in MiB: the second one lets all walkers through at once."""


class Spy:
    """A function of walkers that remembers on how many it was traced."""

    def __init__(self, function):
        self.function = function
        self.sizes = []

    def __call__(self, *rows):
        self.sizes.append(rows[0].shape[0])
        return self.function(*rows)


def rows_of(x):
    return LocalEnergy(tf.reduce_sum(x, axis=1), 2 * x, {"outer": x[:, None, :] * x[:, :, None]})


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("bound", [0.25 * KIBIBYTE, KIBIBYTE, 1.5 * KIBIBYTE, EVERYTHING])
def test_rows_come_back_in_order(bound, jit_compile):
    spy, positions = Spy(rows_of), tf.constant(RANDOM.normal(size=(N, A)))
    result = phase_of_rows(spy, jit_compile, bound)(positions)
    assert isinstance(result, LocalEnergy)
    tf.nest.map_structure(np.testing.assert_array_equal, result, rows_of(positions))
    assert spy.sizes[0] == N  # traced, to learn the memory
    assert len(spy.sizes) == (1 if bound == EVERYTHING else 2)


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("bound", [0.25 * KIBIBYTE, 0.5 * KIBIBYTE, EVERYTHING])
def test_sums_count_every_walker_once(bound, jit_compile):
    """Integers: sums are exact in any order."""
    positions = RANDOM.integers(-50, 50, (N, A)).astype(float)
    coefficients = RANDOM.integers(-50, 50, N).astype(float)
    spy = Spy(lambda x, c: [tf.einsum("na,n->a", x**2, c), tf.reduce_sum(c)])
    sums = phase_of_sums(spy, jit_compile, bound)(tf.constant(positions), tf.constant(coefficients))
    np.testing.assert_array_equal(sums[0], coefficients @ positions**2)
    assert sums[1] == np.sum(coefficients)
    assert len(spy.sizes) == (1 if bound == EVERYTHING else 2)


def test_chunks_stay_below_the_bound_and_are_no_more_than_needed():
    ansatz = FermionAnsatz(A, 8)
    compiled = compiled_phase(lambda x: ansatz.forward_laplacian(x)[1], False)
    rows = (tf.TensorSpec((1000, A), tf.float32),)

    def estimate(n_walkers):
        spec = tf.TensorSpec((n_walkers, A), tf.float32)
        return peak_bytes(compiled.get_concrete_function(spec).graph, 4)

    bound = 0.3 * estimate(1000)
    size = walkers_per_chunk(compiled, rows, bound)
    assert size == 250  # four even chunks; three would need a third of the memory
    # The weights, read by every chunk, and the rounding up to whole walkers.
    assert estimate(size) < 1.02 * bound
    assert walkers_per_chunk(compiled, rows, 1.0) == 1
    assert walkers_per_chunk(compiled, rows, estimate(1000)) == 1000


def test_without_xla_half_the_memory_counts():
    spies = [Spy(rows_of), Spy(rows_of)]
    positions = tf.zeros((500, A))
    trace = tf.function(rows_of, autograph=False).get_concrete_function(positions)
    bound = 1.5 * peak_bytes(trace.graph, 4) / 2**20
    for spy, jit_compile in zip(spies, (False, True), strict=True):
        phase_of_rows(spy, jit_compile, bound)(positions)
    assert [spy.sizes for spy in spies] == [[500, 250], [500]]


def make_vmc(chunk_mebibytes, natural_gradient=False, jit_compile=False):
    keras.utils.set_random_seed(0)
    ansatz = FermionAnsatz(A, 4, 1, dtype="float64")
    sampler = MetropolisHastings(N, n_steps=2, n_burn_in=10)
    vmc = VariationalMonteCarlo(ansatz, TrappedFermions(A, interaction_strength=2.0), sampler, clip_deviations=2.0)
    vmc.compile(
        keras.optimizers.SGD(0.05),
        NaturalGradient() if natural_gradient else None,
        jit_compile=jit_compile,
        chunk_mebibytes=chunk_mebibytes,
    )
    return vmc


@pytest.mark.parametrize(
    ("laplacian", "jit_compile"),
    [
        ("forward", False),
        pytest.param("forward", True, marks=pytest.mark.slow),
        pytest.param("nested", False, marks=pytest.mark.slow),
    ],
)
def test_phases_do_not_depend_on_chunks(laplacian, jit_compile):
    """To the rounding of float64; one walker has no weight and no finite local energy."""
    keras.utils.set_random_seed(0)
    ansatz = FermionAnsatz(A, 4, 1, n_determinants=2, dtype="float64")
    system = TrappedFermions(A, interaction_strength=2.0)
    positions = tf.constant(RANDOM.normal(size=(N, A)))
    energies, weights = tf.constant(RANDOM.normal(size=N)), tf.constant(np.r_[0.0, RANDOM.uniform(0.5, 2, N - 1)])
    results = []
    for bound in (EVERYTHING, 20 * KIBIBYTE):
        compilation = Compilation(jit_compile, bound)
        gradient = make_gradient(ansatz, None, None, None, compilation)
        parts = ansatz, system, MetropolisHastings(N), laplacian, "ansatz"
        phases = make_phases(*parts, compilation, gradient)
        scores = scores_phase(ansatz, compilation)
        derivatives = [phase(positions, energies, weights) for phase in (phases.derivatives, scores)]
        results.append((phases.local_energy(positions), *derivatives))
    for one, other in zip(*map(tf.nest.flatten, results), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-11, atol=1e-12 * np.max(np.abs(one)))


@pytest.mark.slow
@pytest.mark.parametrize("natural_gradient", [False, True])
def test_training_and_measuring_do_not_depend_on_chunks(natural_gradient):
    """Clipping, means and the kernel see all walkers: only rounding differs."""
    runs = [make_vmc(bound, natural_gradient) for bound in (EVERYTHING, 20 * KIBIBYTE)]
    for vmc in runs:
        vmc.fit(5)
    # Five steps, each a few hundred eps, times the condition of the damped kernel, 1/damping = 1e3.
    for one, other in zip(*(vmc.ansatz.get_weights() for vmc in runs), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-9)
    rows = [vmc.recent_iterations() for vmc in runs]
    for name in rows[0]:
        np.testing.assert_allclose(rows[0][name], rows[1][name], rtol=1e-8, atol=1e-9, err_msg=name)
    if not natural_gradient:
        energies = [vmc.evaluate_energy(target_error=1.0, max_seconds=0.0).energy for vmc in runs]
        assert energies[0] == pytest.approx(energies[1], rel=1e-9)


@pytest.mark.parametrize("bound", [0.0, -1.0])
def test_bound_must_be_positive(bound):
    with pytest.raises(ValueError, match=rf"chunk_mebibytes = {bound}: must be above 0"):
        make_vmc(bound)
