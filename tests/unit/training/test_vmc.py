"""The trainer: every path takes steps, each iteration is recorded once, and results depend on the seed only."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_nqs.ansatz import FermionAnsatz
from tf_nqs.physics.hamiltonian import TrappedFermions
from tf_nqs.sampling.metropolis import MetropolisHastings
from tf_nqs.training.vmc import COLUMNS, VariationalMonteCarlo

A = 2


def make_vmc(laplacian="auto", dtype="float32", iterations_per_call=10, seed=0, jit_compile=False, **arguments):
    keras.utils.set_random_seed(0)
    ansatz = FermionAnsatz(A, 4, 1, dtype=dtype)
    sampler = MetropolisHastings(n_walkers=32, n_steps=2, n_burn_in=10)
    vmc = VariationalMonteCarlo(
        ansatz,
        TrappedFermions(A, interaction_strength=2.0),
        sampler,
        laplacian=laplacian,
        iterations_per_call=iterations_per_call,
        seed=seed,
        **arguments,
    )
    vmc.compile(keras.optimizers.Adam(1e-2), jit_compile=jit_compile)
    return vmc


class Recorder(keras.callbacks.Callback):
    """Collects what every call of the training step leaves behind."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def on_train_batch_end(self, batch, logs=None):
        self.calls.append(self.model.recent_iterations())

    def column(self, name):
        return np.concatenate([call[name] for call in self.calls])


def trained(iterations=25, **arguments):
    vmc, recorder = make_vmc(**arguments), Recorder()
    vmc.fit(iterations, callbacks=[recorder])
    return vmc, recorder


@pytest.fixture(scope="module")
def reference():
    """25 iterations, ten at a time."""
    return trained(iterations_per_call=10)


def test_every_iteration_is_recorded_once(reference):
    vmc, recorder = reference
    assert [len(call["iteration"]) for call in recorder.calls] == [10, 10, 5]
    np.testing.assert_array_equal(recorder.column("iteration"), np.arange(1, 26))
    assert set(recorder.calls[0]) == set(COLUMNS)
    for name in COLUMNS:
        assert np.all(np.isfinite(recorder.column(name)))
    parts = sum(recorder.column(name) for name in ("kinetic", "trap", "interaction"))
    # Means in float32 over 32 walkers.
    np.testing.assert_allclose(recorder.column("energy"), parts, rtol=1e-5)
    assert int(vmc.iteration) == 25
    # The width of the next iteration follows the acceptance of this one.
    change, excess = np.diff(recorder.column("proposal_width")), recorder.column("acceptance")[:-1] - 0.5
    np.testing.assert_array_equal(np.sign(change), np.sign(excess))
    assert np.any(change > 0) or np.any(change < 0)


def test_all_weights_move(reference):
    vmc, _ = reference
    for before, after in zip(make_vmc().ansatz.get_weights(), vmc.ansatz.get_weights(), strict=True):
        assert np.all(before != after)


@pytest.mark.parametrize("iterations_per_call", [pytest.param(7, marks=pytest.mark.slow), 10])
def test_results_depend_on_nothing_but_the_seed_and_a_second_fit_goes_on_counting(reference, iterations_per_call):
    """Not on how many iterations run in one call: bit-exact, as the operations are the same. Nor on the process."""
    vmc, recorder = trained(iterations_per_call=iterations_per_call)
    for one, other in zip(vmc.ansatz.get_weights(), reference[0].ansatz.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    for name in COLUMNS:
        np.testing.assert_array_equal(recorder.column(name), reference[1].column(name))
    np.testing.assert_array_equal(vmc.walkers.positions, reference[0].walkers.positions)
    vmc.fit(4, callbacks=[recorder])
    np.testing.assert_array_equal(recorder.column("iteration"), np.arange(1, 30))
    assert int(vmc.optimizer.iterations) == 29


@pytest.mark.slow
def test_another_seed_is_another_run(reference):
    _, recorder = trained(iterations=1, seed=1)
    assert recorder.column("energy")[0] != reference[1].column("energy")[0]


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_forward_and_nested_laplacian_train_alike(dtype):
    runs = [trained(iterations=3, laplacian=laplacian, dtype=dtype) for laplacian in ("forward", "nested")]
    assert [run[0].laplacian for run in runs] == ["forward", "nested"]
    for one, other in zip(*(run[0].ansatz.get_weights() for run in runs), strict=True):
        assert one.dtype.name == dtype
        # Adam divides by the gradient's own size: a rounding of a small gradient becomes a part of the step of 1e-2.
        np.testing.assert_allclose(one, other, atol=1e-4 if dtype == "float32" else 1e-8)
    energies = [run[1].column("energy") for run in runs]
    np.testing.assert_allclose(*energies, rtol=1e-3 if dtype == "float32" else 1e-8)
    assert runs[0][0].positions.dtype == dtype


def test_one_step_is_sampling_energy_and_the_gradient_of_the_loss():
    """SGD of one iteration against the parts called by hand."""
    vmc = make_vmc(dtype="float64", clip_deviations=0.0)
    vmc.compile(keras.optimizers.SGD(0.1), jit_compile=False)
    vmc.walkers = vmc.sampler.burn_in(vmc.phases.sample, vmc.walkers)
    vmc.sampler.n_burn_in = 0
    before, width = vmc.ansatz.get_weights(), float(vmc.proposal_width)
    walkers, acceptance = vmc.phases.sample(vmc.walkers)
    energy = vmc.system.local_energy(walkers.positions, vmc.ansatz.forward_laplacian(walkers.positions)[1]).total
    with tf.GradientTape() as tape:
        log_abs = vmc.ansatz.log_abs_psi(walkers.positions)
        loss = 2 * tf.reduce_mean((energy - tf.reduce_mean(energy)) * log_abs)
    gradient = tape.gradient(loss, vmc.ansatz.trainable_variables)
    vmc.fit(1)
    row = vmc.recent_iterations()
    assert row["energy"][0] == pytest.approx(np.mean(energy), rel=1e-12)
    assert row["variance"][0] == pytest.approx(np.var(energy), rel=1e-10)
    assert row["acceptance"][0] == pytest.approx(float(acceptance))
    assert row["proposal_width"][0] == pytest.approx(width)  # the one these walkers were moved with
    np.testing.assert_array_equal(vmc.walkers.positions, walkers.positions)
    for old, step, new in zip(before, gradient, vmc.ansatz.get_weights(), strict=True):
        # The learning rate is kept in float32.
        np.testing.assert_allclose(new, old - 0.1 * step, atol=1e-7 * (1 + np.max(np.abs(step))))


def test_evaluation_changes_neither_weights_nor_width(reference):
    vmc, _ = reference
    before, width = vmc.ansatz.get_weights(), float(vmc.proposal_width)
    state, iteration = [v.numpy() for v in vmc.optimizer.variables], int(vmc.iteration)
    measurement = vmc.evaluate_energy(target_error=0.05, max_seconds=20.0)
    assert measurement.energy_error <= 0.05
    for one, other in zip(before, vmc.ansatz.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    for one, other in zip(state, vmc.optimizer.variables, strict=True):
        np.testing.assert_array_equal(one, other)
    assert float(vmc.proposal_width) == width
    assert int(vmc.iteration) == iteration
    assert set(vmc.evaluate(target_error=0.5)) == set(measurement._fields)


@pytest.mark.slow
def test_xla_trains():
    """The compiled phases lower the energy to that of free fermions, A^2/2 = 2, within 5 error bars above it."""
    keras.utils.set_random_seed(0)
    ansatz = FermionAnsatz(A, 8)
    sampler = MetropolisHastings(n_walkers=256, n_steps=5, n_burn_in=100)
    vmc = VariationalMonteCarlo(ansatz, TrappedFermions(A), sampler, iterations_per_call=50)
    vmc.compile(keras.optimizers.Adam(1e-2), jit_compile=True)
    recorder = Recorder()
    vmc.fit(300, callbacks=[recorder])
    energies, errors = recorder.column("energy"), recorder.column("energy_error")
    assert energies[0] > 2.2
    assert np.all(energies[-20:] > 2.0 - 8 * errors[-20:] - 1e-3)  # variational; 8: correlated walkers, 20 numbers
    assert np.mean(energies[-20:]) < 2.0 + 0.05


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"laplacian": "backward"}, "laplacian = 'backward': must be one of auto, forward, nested"),
        ({"iterations_per_call": 0}, "iterations_per_call = 0"),
        ({"clip_deviations": -1.0}, "clip_deviations = -1.0"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        make_vmc(**arguments)


def test_forward_laplacian_of_an_ansatz_without_it():
    ansatz = keras.Sequential([keras.Input((A,)), keras.layers.Dense(1)])
    with pytest.raises(ValueError, match="laplacian = 'forward': Sequential has no forward_laplacian"):
        VariationalMonteCarlo(ansatz, TrappedFermions(A), laplacian="forward")


def test_ansatz_and_system_must_agree():
    with pytest.raises(ValueError, match="n_particles"):
        VariationalMonteCarlo(FermionAnsatz(3, 4), TrappedFermions(2))


@pytest.mark.parametrize("iterations", [0, -1])
def test_number_of_iterations(reference, iterations):
    with pytest.raises(ValueError, match=f"iterations = {iterations}"):
        reference[0].fit(iterations)
