"""Sampling in another precision: the same distribution, today's weights, and no trace in the trainer's state."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from tf_nqs.ansatz import FermionAnsatz
from tf_nqs.physics.hamiltonian import TrappedFermions
from tf_nqs.sampling.metropolis import MetropolisHastings
from tf_nqs.sampling.mixed_precision import sampling_in
from tf_nqs.training.vmc import VariationalMonteCarlo

A = 2


def make_ansatz(dtype="float64"):
    keras.utils.set_random_seed(0)
    return FermionAnsatz(A, 4, 1, dtype=dtype)


def equilibrated(ansatz, dtype, n_walkers=2000, seed=0):
    """Returns a compiled sampling function and walkers after 300 steps."""
    sampler = MetropolisHastings(n_walkers, n_steps=30, n_burn_in=300)
    sample = tf.function(sampling_in(dtype, sampler, ansatz, A), autograph=False)
    return sample, sampler.burn_in(sample, sampler.initial_state(A, tf.constant([seed, 7]), ansatz.compute_dtype))


@pytest.mark.parametrize(("own", "sampled"), [("float64", "float32"), ("float32", "float64")])
def test_state_keeps_its_dtype(own, sampled):
    sample, start = equilibrated(make_ansatz(own), sampled, n_walkers=50)
    walkers, acceptance = sample(start)
    assert {walkers.positions.dtype, walkers.proposal_width.dtype, acceptance.dtype} == {tf.as_dtype(own)}
    assert walkers.proposal_width == start.proposal_width
    assert np.any(walkers.seed != start.seed)
    if sampled == "float32":
        np.testing.assert_array_equal(walkers.positions, walkers.positions.numpy().astype("float32"))
    assert 0 < acceptance < 1


def test_distribution_is_the_same():
    """Two samples of 2000 independent walkers; a p-value below 1e-3 would be chance in one of 1000 seeds."""
    ansatz = make_ansatz()
    # Another seed for each: the walkers are independent.
    single, double = (equilibrated(ansatz, dtype, seed=seed)[1] for seed, dtype in enumerate(("float32", "ansatz")))
    for observable in (lambda x: x[:, 0], lambda x: np.abs(x[:, 0] - x[:, 1]), ansatz.log_abs_psi):
        samples = [np.asarray(observable(walkers.positions.numpy())) for walkers in (single, double)]
        assert stats.ks_2samp(*samples).pvalue > 1e-3


def test_weights_follow_those_of_the_ansatz():
    """The compiled function is not traced again: envelopes three times narrower give a cloud three times smaller."""
    ansatz = make_ansatz()
    for layer in ansatz.equivariant_layers:  # constant orbitals but for the envelope's different widths
        layer.kernel.assign(tf.zeros_like(layer.kernel))
    ansatz.envelope.inverse_width.assign([[0.5, 1.0]])
    sample, walkers = equilibrated(ansatz, "float32")
    before = np.std(walkers.positions)
    ansatz.envelope.inverse_width.assign([[1.5, 3.0]])
    narrower = walkers._replace(proposal_width=walkers.proposal_width / 3)
    for _ in range(10):
        narrower, _ = sample(narrower)
    assert sample.experimental_get_tracing_count() == 1
    # 2000 walkers of two particles: each standard deviation has an error of about 2 %.
    assert before / np.std(narrower.positions) == pytest.approx(3.0, rel=0.12)


def make_vmc(sampling_dtype, **arguments):
    sampler = MetropolisHastings(n_walkers=32, n_steps=2, n_burn_in=4)
    vmc = VariationalMonteCarlo(
        make_ansatz(), TrappedFermions(A, interaction_strength=2.0), sampler, sampling_dtype=sampling_dtype
    )
    vmc.compile(keras.optimizers.Adam(1e-2), **arguments)
    return vmc


def test_twin_is_no_part_of_the_trainer(tmp_path):
    plain, mixed = make_vmc("ansatz", jit_compile=False), make_vmc("float32", jit_compile=False)
    mixed.fit(3)
    for variables in (lambda vmc: vmc.variables, lambda vmc: vmc.ansatz.variables):
        described = [[(v.name, v.shape, v.dtype) for v in variables(vmc)] for vmc in (plain, mixed)]
        assert described[0] == described[1]
    assert mixed.count_params() == plain.count_params()
    saved = tf.train.Checkpoint(vmc=mixed).save(tmp_path / "mixed")
    written = {name for name, _ in tf.train.list_variables(saved)}
    assert written == {name for name, _ in tf.train.list_variables(tf.train.Checkpoint(vmc=plain).save(tmp_path / "p"))}
    assert {variable.dtype for variable in mixed.ansatz.variables} == {"float64"}


@pytest.mark.parametrize("jit_compile", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_training_goes_on_from_what_was_sampled(jit_compile):
    vmc = make_vmc("float32", jit_compile=jit_compile)
    before = vmc.ansatz.get_weights()
    vmc.fit(3)
    positions = vmc.walkers.positions
    np.testing.assert_array_equal(positions, positions.numpy().astype("float32"))
    assert vmc.phases.local_energy(positions).total.dtype == tf.float64
    assert all(np.all(old != new) for old, new in zip(before, vmc.ansatz.get_weights(), strict=True))
    assert np.all(np.isfinite(vmc.recent_iterations()["energy"]))


def functional_ansatz():
    """A Keras model of layers and operations, all of float64."""
    keras.utils.set_random_seed(1)
    positions = keras.Input((A,), dtype="float64")
    hidden = keras.layers.Dense(3, "tanh", dtype="float64")(positions)
    value = keras.layers.Dense(1, dtype="float64")(hidden)[:, 0] - keras.ops.sum(positions**2, axis=1)
    model = keras.Model(positions, [keras.ops.sign(value), value])
    model.dtype_policy = "float64"
    return model


def test_any_keras_model_with_a_configuration_will_do():
    ansatz = functional_ansatz()
    _, walkers = equilibrated(ansatz, "float32", n_walkers=20)
    assert walkers.positions.dtype == tf.float64
    np.testing.assert_array_equal(walkers.positions, walkers.positions.numpy().astype("float32"))
    assert np.std(walkers.positions) < 2


class WithoutConfiguration(keras.Model):
    def __init__(self, system):
        super().__init__(dtype="float64")
        self.system = system
        self.dense = keras.layers.Dense(1, dtype="float64")

    def call(self, positions):
        value = self.dense(positions)[:, 0]
        return tf.sign(value), value


@keras.saving.register_keras_serializable("test_precision")
class WithFixedDtype(WithoutConfiguration):
    def __init__(self, **kwargs):
        super().__init__(None)

    def get_config(self):
        return {}


@pytest.mark.parametrize(
    ("make", "dtype", "message"),
    [
        (make_ansatz, "float16", "sampling_dtype = 'float16': must be one of ansatz, float32, float64"),
        (lambda: WithoutConfiguration(object()), "float32", "WithoutConfiguration cannot be built in it"),
        (WithFixedDtype, "float32", "WithFixedDtype does not give the same weights"),
    ],
)
def test_what_cannot_be_done_is_said(make, dtype, message):
    ansatz = make()
    ansatz(tf.zeros((1, A), "float64"))
    with pytest.raises(ValueError, match=message):
        sampling_in(dtype, MetropolisHastings(10), ansatz, A)
