"""An ansatz of one's own is accepted if it is a wave function of fermions; else one line says what is wrong."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_nqs.ansatz import FermionAnsatz
from tf_nqs.ansatz.check import check_wave_function, prepare_ansatz
from tf_nqs.execution.compilation import compiled_phase, explained_xla_failures
from tf_nqs.physics.hamiltonian import TrappedFermions
from tf_nqs.sampling.metropolis import MetropolisHastings
from tf_nqs.training.vmc import VariationalMonteCarlo
from tf_nqs.types import SignedLog


class OwnAnsatz(keras.Model):
    """A Gaussian times whatever `factor` makes of the positions; one trainable number."""

    def __init__(self, factor, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor
        self.width = self.add_weight(shape=(), initializer="ones", name="width")
        self.built = True

    def call(self, positions):
        sign, log_abs_psi = self.factor(positions)
        return SignedLog(sign, log_abs_psi - 0.3 * self.width * tf.reduce_sum(positions**2, axis=1))


class Returning(OwnAnsatz):
    """Returns what `factor` returns, and nothing else."""

    def call(self, positions):
        return self.factor(positions, 0.0 * self.width + tf.reduce_sum(positions, axis=1))


def boson(positions):
    return tf.ones_like(positions[:, 0]), tf.zeros_like(positions[:, 0])


def difference(positions):
    """Antisymmetric for two particles; for more of them only under the exchange of the first two."""
    distance = positions[:, 0] - positions[:, 1]
    return tf.sign(distance), tf.math.log(tf.abs(distance))


def vandermonde(positions):
    return tf.linalg.slogdet(positions[:, :, None] ** tf.range(positions.shape[1], dtype=positions.dtype))


def tilted(positions):
    """A thousandth more where the first particle is on the right."""
    sign, log_abs_psi = difference(positions)
    return sign, log_abs_psi + 1e-3 * positions[:, 0]


def positions_of(n_particles, n_walkers=64, dtype="float32"):
    return tf.random.stateless_normal((n_walkers, n_particles), (1, 2), dtype=dtype)


@pytest.mark.parametrize(
    ("factor", "n_particles", "words"),
    [
        (boson, 2, "not antisymmetric: on 64 of 64 walkers another order of the particles gives the wrong sign"),
        (lambda x: (tf.ones_like(x[:, 0]), difference(x)[1]), 2, "gives the wrong sign"),
        (tilted, 2, "changes ln|Psi|, by 0.00"),
        (difference, 3, "changes ln|Psi|"),
    ],
    ids=["boson", "absolute value", "tilted", "two of three"],
)
def test_what_is_not_antisymmetric_is_refused(factor, n_particles, words):
    for at_start in (True, False):
        with pytest.raises(ValueError, match="not antisymmetric") as caught:
            check_wave_function(OwnAnsatz(factor), positions_of(n_particles), at_start)
        assert words in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("returned", "words"),
    [
        (lambda x, y: y, "returns a single value"),
        (lambda x, y: (y, y, y), "returns 3 values"),
        (lambda x, y: (y[:, None], y[:, None]), r"the sign of shape \(n_walkers, 1\)"),
        (lambda x, y: (y, y[:, None]), r"ln\|Psi\| of shape \(n_walkers, 1\)"),
        (lambda x, y: (y, tf.reduce_sum(y)), r"ln\|Psi\| of shape \(\)"),
        (lambda x, y: (y, tf.cast(y, tf.complex64)), "complex values"),
        (lambda x, y: (tf.cast(y, tf.complex64), y), "complex values"),
        (lambda x, y: (y, tf.cast(y, tf.float64)), "in float64: must be float32"),
        (lambda x, y: (tf.sign(y), np.nan * y), r"NaN or infinity as ln\|Psi\| or its sign on all walkers"),
        (lambda x, y: (np.nan * y, y), r"NaN or infinity as ln\|Psi\| or its sign on all walkers"),
        (lambda x, y: (tf.zeros_like(y), y), "zero on all walkers"),
        (lambda x, y: (tf.ones_like(y), tf.fill(tf.shape(y), -np.inf)), "zero on all walkers"),
    ],
)
def test_what_is_no_pair_of_finite_numbers_is_refused(returned, words):
    with pytest.raises(ValueError, match=words):
        check_wave_function(Returning(returned), positions_of(2), at_start=True)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n_particles", [1, 2, 3, 4, 8])
def test_determinants_are_accepted_whatever_rounding_does_to_them(n_particles, dtype):
    """Of the 56 walkers with 8 particles in float32, many have a determinant that is rounding alone."""
    check_wave_function(OwnAnsatz(vandermonde, dtype=dtype), positions_of(n_particles, 56, dtype), at_start=True)


@pytest.mark.parametrize("n_particles", [3, 12])
def test_a_network_outside_of_the_package_is_accepted(n_particles):
    """Twelve random orbitals in float32 are singular to rounding on nearly all walkers."""

    class Own(FermionAnsatz):
        """Not of the package, hence looked at."""

    keras.utils.set_random_seed(3)
    check_wave_function(Own(n_particles, 8), positions_of(n_particles), at_start=True)


def test_single_walkers_are_not_judged():
    """On a node, lost at infinity or nowhere: the sampler restarts them."""
    positions = positions_of(2).numpy()
    positions[0], positions[1], positions[2] = (0.7, 0.7), (np.nan, 1.0), (np.inf, 0.0)
    check_wave_function(OwnAnsatz(difference), positions, at_start=True)


def test_weights_that_a_training_spoiled_are_left_to_the_rollback():
    ansatz = OwnAnsatz(difference)
    ansatz.width.assign(np.nan)
    check_wave_function(ansatz, positions_of(2), at_start=False)
    with pytest.raises(ValueError, match="NaN"):
        check_wave_function(ansatz, positions_of(2), at_start=True)


def trainer(ansatz, **options):
    sampler = MetropolisHastings(n_walkers=16, n_steps=2, n_burn_in=4)
    vmc = VariationalMonteCarlo(ansatz, TrappedFermions(2), sampler, iterations_per_call=2)
    vmc.compile(keras.optimizers.Adam(1e-2), **options)
    return vmc


def test_training_and_measurement_refuse_bosons_and_draw_nothing():
    vmc = trainer(OwnAnsatz(boson))
    before = [variable.numpy().tobytes() for variable in vmc.variables]
    for use in (lambda: vmc.fit(2), lambda: vmc.evaluate_energy(target_error=1.0)):
        with pytest.raises(ValueError, match="OwnAnsatz is not antisymmetric"):
            use()
    assert [variable.numpy().tobytes() for variable in vmc.variables] == before


class LateAnsatz(keras.Model):
    """Its layers build at their first call."""

    def __init__(self):
        super().__init__()
        self.hidden = keras.layers.Dense(3, activation="tanh")
        self.orbitals = keras.layers.Dense(2)

    def call(self, positions):
        matrices = self.orbitals(self.hidden(positions[..., None])) * tf.exp(-(positions**2) / 2)[..., None]
        return tf.linalg.slogdet(matrices)


def test_layers_that_build_late_are_trained():
    """The trainer builds them, so its optimiser knows all weights from the start."""
    vmc = trainer(LateAnsatz(), jit_compile=False)
    assert len(vmc.trained) == 4
    before = vmc.ansatz.get_weights()
    vmc.fit(2)
    # The orbitals' bias gives both columns a constant, which the determinant feels; so all four move.
    assert all(np.any(old != new) for old, new in zip(before, vmc.ansatz.get_weights(), strict=True))


def test_an_operation_that_xla_lacks_is_named_in_one_line():
    with pytest.raises(ValueError, match="XLA lacks LogMatrixDeterminant, needed by LateAnsatz") as caught:
        trainer(LateAnsatz(), jit_compile=True).fit(2)
    for word in ("SlaterDeterminant", "tf_nqs.physics.signed_log_sum_of_determinants", "jit_compile=False"):
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)


def test_other_operations_and_other_errors():
    ansatz = FermionAnsatz(1, 2, 1)
    with pytest.raises(ValueError, match=r"XLA lacks \w+, needed by FermionAnsatz; use operations that XLA has"):
        with explained_xla_failures(ansatz):
            compiled_phase(lambda x: tf.numpy_function(np.sin, [x], x.dtype), True)(tf.ones(2))
    with pytest.raises(tf.errors.InvalidArgumentError), explained_xla_failures(ansatz):
        tf.debugging.assert_equal(1, 2)
    for value, error in ((-np.inf, ValueError), (np.nan, tf.errors.InvalidArgumentError)):
        with pytest.raises(error) as caught, explained_xla_failures(ansatz):
            tf.raw_ops.CheckNumericsV2(tensor=tf.constant(value), message="CheckNumerics")
        assert ("n_non_finite" in str(caught.value)) == (error is ValueError)


def test_only_models_of_two_dtypes_are_taken():
    with pytest.raises(TypeError, match=r"ansatz = function: must be a keras\.Model"):
        prepare_ansatz(boson, 2)
    for dtype in ("mixed_float16", "bfloat16"):
        with pytest.raises(ValueError, match=f"ansatz of dtype {dtype}: must be float32 or float64"):
            prepare_ansatz(OwnAnsatz(difference, dtype=dtype), 2)
