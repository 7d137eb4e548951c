"""An interaction that diverges at contact: its exact state has the exact energy on every walker, and exact parts."""

from __future__ import annotations

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_nqs.ansatz.derivatives import energy_derivatives
from tf_nqs.measurement.energy import Observed, measure_energy
from tf_nqs.named_systems import NamedSystem
from tf_nqs.observables import measure_observables
from tf_nqs.physics.closed_form_states import closed_form_state
from tf_nqs.physics.hamiltonian import TrappedFermions
from tf_nqs.physics.relations import local_deviations, relation_names
from tf_nqs.sampling.metropolis import MetropolisHastings
from tf_nqs.saved_model.signatures import functions_of_positions
from tf_nqs.training.vmc import VariationalMonteCarlo
from tf_nqs.types import WalkerState


class ExactState(keras.Model):
    """The ground state of two particles; the weight counts for nothing."""

    def __init__(self, contact_exponent):
        super().__init__(dtype="float64")
        self.contact_exponent = contact_exponent
        self.state = closed_form_state(NamedSystem(2, "calogero", contact_exponent))
        self.nothing = self.add_weight(shape=(), initializer="zeros")
        self.built = True

    def call(self, positions):
        sign, log_abs = self.state(tf.cast(positions, "float64"))
        return sign, log_abs + 0.0 * self.nothing


def system_of(exponent):
    return TrappedFermions(2, interaction="calogero", interaction_strength=exponent)


def measured(exponent, n_walkers=512):
    """A measurement on independent samples: |Psi|^2 = r^(2l) exp(-r^2/2) exp(-2 X^2) of distance and centre."""
    system, psi, random = system_of(exponent), ExactState(exponent), np.random.default_rng(0)
    names = relation_names(system)

    def sample(state):
        distance = np.sqrt(random.chisquare(2 * exponent + 1, n_walkers))
        centre = random.normal(scale=0.5, size=n_walkers)
        positions = tf.constant(np.stack([centre - distance / 2, centre + distance / 2], axis=1))
        return state._replace(positions=positions), tf.constant(1.0)

    derivatives = energy_derivatives(psi, "nested", system)
    deviations = tf.function(lambda x, kinetic: local_deviations(psi, system, names, x, kinetic), autograph=False)
    local_energy = tf.function(lambda x: system.local_energy(x, derivatives(x)), autograph=False)
    walkers = WalkerState(tf.zeros((n_walkers, 2), "float64"), tf.constant([0, 0]), tf.constant(1.0))
    observed = Observed(names, deviations, None, exponent)
    return measure_energy(sample, local_energy, walkers, 1e-3, 0.0, observed)[0]


def test_the_energy_is_exact_and_its_parts_are_right():
    """E = A/2 + l A(A-1)/2, <1/r^2> = 1/(2l - 1), <sum x^2> = E."""
    found = measured(3.0)
    assert found.energy == pytest.approx(4.0, abs=1e-9) and found.variance < 1e-12
    assert found.trap == pytest.approx(2.0, abs=5 * found.trap_error)
    assert found.interaction == pytest.approx(6.0 / 5.0, abs=5 * found.interaction_error)
    assert found.kinetic == pytest.approx(0.8, abs=5 * found.kinetic_error)
    assert 0 < found.interaction_error < 0.05 and found.kinetic_error > 0
    virial, centre = found.relations["virial"], found.relations["centre_of_mass"]
    assert abs(virial.value) < 5 * virial.error and abs(centre.value) < 1e-6


def test_parts_of_infinite_variance_have_no_error():
    """l <= 1.5; their sum has one."""
    found = measured(1.3)
    assert found.energy == pytest.approx(2.3, abs=1e-6) and found.energy_error < 1e-6
    assert np.isnan([found.kinetic_error, found.interaction_error]).all()
    assert found.trap_error > 0 and np.isfinite([found.kinetic, found.interaction]).all()


def test_what_is_exported_is_whole():
    """Kinetic energy and interaction with what cancels in their sum, and the Laplacian of ln|Psi|."""
    psi, system = ExactState(3.0), system_of(3.0)
    functions = functions_of_positions(psi, system, "nested")
    x = tf.constant([[-0.8, 0.9], [0.3, 0.4]], "float64")
    energy, whole = functions["local_energy"](x), functions["gradient_and_laplacian"](x)
    np.testing.assert_allclose(energy["total"], 4.0, rtol=1e-10)
    np.testing.assert_allclose(energy["interaction"], 6.0 / np.array([1.7, 0.1]) ** 2, rtol=1e-10)
    np.testing.assert_allclose(sum(energy[name] for name in ("kinetic", "trap", "interaction")), 4.0, rtol=1e-10)
    # ln|Psi| = 3 ln|r| - sum x^2/2
    np.testing.assert_allclose(whole["laplacian"], -6.0 / np.array([1.7, 0.1]) ** 2 - 2.0, rtol=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("exponent", [1.3, 3.0])
def test_a_trainer_measures_them_too(exponent):
    vmc = VariationalMonteCarlo(ExactState(exponent), system_of(exponent), MetropolisHastings(256, 5, 50))
    vmc.compile(optimizer="sgd", jit_compile=False)
    found = vmc.evaluate_energy(target_error=1e-3, max_seconds=1.0)
    assert found.energy == pytest.approx(1 + exponent, abs=1e-6)
    assert math.isnan(found.interaction_error) == (exponent == 1.3)
    observed = measure_observables(vmc, max_seconds=0.2, max_samples=5000)
    parts = [getattr(observed, name) for name in ("kinetic", "trap", "interaction")]
    assert sum(float(part.value) for part in parts) == pytest.approx(1 + exponent)
    assert np.isnan(parts[2].error) == (exponent == 1.3) and parts[1].error > 0
