"""The errors of a family's systems cover the truth: frozen weights, energies by quadrature, two particles."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.interpolate import CubicSpline

from tf_nqs.analysis.conditions import smoothed_conditions
from tf_nqs.analysis.trend import N_BATCHES
from tf_nqs.ansatz import JastrowAnsatz
from tf_nqs.physics import FermionFamily, TrappedFermions
from tf_nqs.physics.energy import weighted_mean
from tf_nqs.physics.parameters import SystemParameters, derived_parameters
from tf_nqs.sampling import MetropolisHastings
from tf_nqs.training import ConditionPolicy, VariationalMonteCarlo

N_SYSTEMS, N_WALKERS, N_ITERATIONS, PERIOD = 8, 128, 1000, 50

FAMILY = FermionFamily(2, (-4.0, 4.0))


@pytest.fixture(scope="module")
def ansatz():
    """Its weights are none that training would give, so that local energies scatter."""
    keras.utils.set_random_seed(1)
    made = JastrowAnsatz(2, 4, 1, 4, 1, conditions=FAMILY.conditions, dtype="float64")
    for number, weight in enumerate(made.trainable_variables):
        weight.assign_add(0.02 * tf.random.stateless_normal(weight.shape, (3, number), dtype=weight.dtype))
    return made


@pytest.fixture(scope="module")
def exact(ansatz):
    """Strengths -> energies of the ansatz with these weights: a spline through 25 of them."""
    grid = np.linspace(-6.5, 6.5, 79)
    x = np.stack(np.meshgrid(grid, grid), axis=-1).reshape(-1, 2)
    x = tf.constant(x[np.abs(x[:, 0] - x[:, 1]) > 1e-9])
    system = TrappedFermions(2)

    @tf.function(autograph=False)
    def energy(rows):
        parameters = SystemParameters.of_rows(tf.repeat(rows[None], len(x), axis=0))
        (_, log), derivatives = ansatz.at(2, parameters).forward_laplacian(x)
        return weighted_mean(system.local_energy(x, derivatives, parameters).total, tf.exp(2 * log))

    strengths = np.linspace(-4.4, 4.4, 25)  # training reaches so far
    of_all = [derived_parameters(2, "gaussian", one, 0.5).cast("float64") for one in strengths]
    energies = [float(energy(tf.stack(list(one)))) for one in of_all]
    curve = CubicSpline(strengths, energies)
    np.testing.assert_allclose(CubicSpline(strengths[::2], energies[::2])(strengths), energies, atol=5e-3)
    return curve


def records(ansatz):
    """What a training records of the systems in each iteration, without any change of the weights."""
    policy = ConditionPolicy(N_SYSTEMS)
    vmc = VariationalMonteCarlo(ansatz, FAMILY, MetropolisHastings(N_SYSTEMS * N_WALKERS), conditions=policy, seed=5)
    vmc.compile("sgd", jit_compile=False)
    (group,), (phases,) = vmc.groups, vmc.all_phases
    group.assign(vmc.sampler.burn_in(phases.sample, group.walkers))

    @tf.function(autograph=False)
    def iterate(iteration):
        measured = group.measured(phases, vmc.sampler.adapt, lambda *samples: samples, lambda energy, weights: energy)
        estimate, parameters = group.estimates(measured), group.conditions.parameters()
        group.assign(measured.walkers)
        group.conditions.drift(iteration)
        return parameters.strength, parameters.width, estimate.energy, estimate.energy_error, estimate.variance

    rows = [[part.numpy() for part in iterate(tf.constant(number, tf.int64))] for number in range(N_ITERATIONS)]
    names = ("interaction_strength", "interaction_range", "energy", "energy_error", "variance")
    found = dict(zip(names, map(np.array, zip(*rows, strict=True)), strict=True))
    return found | {"n_particles": np.full(found["energy"].shape, 2)}


def mean_square(pulls, n_freedom):
    """The mean of squares over that of Student's t, and four standard errors of it."""
    ratio = np.mean(np.square(pulls)) * (n_freedom - 2) / n_freedom
    return ratio, 4 * np.sqrt(2 * (n_freedom - 1) / (n_freedom - 4) / np.size(pulls))


@pytest.mark.slow
def test_errors_of_systems_are_calibrated(ansatz, exact):
    """Of a single iteration, and of the rows of conditions.csv, while the systems drift."""
    found = records(ansatz)
    pulls = (found["energy"] - exact(found["interaction_strength"])) / found["energy_error"]
    assert pulls.shape == (N_ITERATIONS, N_SYSTEMS)
    ratio, error = mean_square(pulls, N_WALKERS - 1)
    # Local energies are no Gaussian numbers: of few of them the mean and its error depend on each other.
    assert ratio == pytest.approx(1, abs=error + 5 / N_WALKERS)
    of_rows = []
    for window in np.split(np.arange(N_ITERATIONS), N_ITERATIONS // PERIOD):
        for row in smoothed_conditions({name: values[window] for name, values in found.items()}):
            of_rows.append((row["energy"] - exact(row["interaction_strength"])) / row["energy_error"])
    ratio, error = mean_square(of_rows, N_BATCHES - 3)  # a parabola has three coefficients
    assert ratio == pytest.approx(1, abs=error)
