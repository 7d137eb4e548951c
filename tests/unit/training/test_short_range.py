"""An interaction that no walker ever feels: training and measurement against quadrature; infinite potentials."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.polynomial.legendre import leggauss

from tf_nqs.ansatz import FermionAnsatz
from tf_nqs.measurement.walker_rows import refuse_infinite_potential
from tf_nqs.observables import measure_observables
from tf_nqs.physics.hamiltonian import TrappedFermions
from tf_nqs.sampling.metropolis import MetropolisHastings
from tf_nqs.training.natural_gradient import NaturalGradient
from tf_nqs.training.pretraining import pretrain
from tf_nqs.training.vmc import VariationalMonteCarlo

STRENGTH, RANGE = 2000.0, 0.006


def two_particle_quadrature(ansatz, system, scale):
    """<H>, <v> and <2T - x dV/dx> of two particles, in float64: Gauss-Legendre in r on panels that double."""
    edges = [0.0, *scale * 2.0 ** np.arange(20)]
    edges = np.array([*(edge for edge in edges if edge < 0.3), 0.3, 0.6, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 7.0])
    nodes, weights = leggauss(12)
    half = 0.5 * np.diff(edges)[:, None]
    r, weights = (edges[:-1, None] + half * (nodes + 1.0)).ravel(), (half * weights).ravel()
    centres = np.linspace(-4.5, 4.5, 61)  # an even grid: exact for what is smooth and vanishes at the ends
    centre, distance = (one.ravel() for one in np.meshgrid(centres, r, indexing="ij"))
    positions = tf.constant(np.stack([centre + distance / 2, centre - distance / 2], axis=1))
    psi, derivatives = ansatz.forward_laplacian(positions)
    energy = system.local_energy(positions, derivatives)
    density = np.exp(2.0 * (psi.log_abs_psi - tf.reduce_max(psi.log_abs_psi))) * np.tile(weights, centres.size)
    virial = 2.0 * (energy.kinetic - energy.trap) + (distance / system.interaction_range) ** 2 * energy.interaction
    return tuple(np.sum(density * one.numpy()) / density.sum() for one in (energy.total, energy.interaction, virial))


def in_float64(ansatz):
    """The same wave function in float64."""
    exact = FermionAnsatz.from_config({**ansatz.get_config(), "dtype": "float64"})
    exact(tf.zeros((1, ansatz.n_particles), "float64"))
    exact.set_weights(ansatz.get_weights())
    return exact


def trainer(system, n_walkers=64, natural=True, iterations_per_call=20, **arguments):
    keras.utils.set_random_seed(0)
    ansatz = FermionAnsatz(system.n_particles, 8, 1)
    vmc = VariationalMonteCarlo(
        ansatz,
        system,
        MetropolisHastings(n_walkers=n_walkers, n_steps=5, n_burn_in=50),
        iterations_per_call=iterations_per_call,
        **arguments,
    )
    optimizer = keras.optimizers.SGD(0.1) if natural else keras.optimizers.Adam(3e-3)
    vmc.compile(optimizer, NaturalGradient() if natural else None, jit_compile=False)
    return vmc


@pytest.fixture(scope="module")
def trained():
    """Two particles with a core far smaller than the distances that walkers have."""
    vmc = trainer(TrappedFermions(2, STRENGTH, RANGE))
    pretrain(vmc.ansatz, 60, 128, 0)
    vmc.fit(40)
    return vmc


@pytest.fixture(scope="module")
def exact(trained):
    return two_particle_quadrature(in_float64(trained.ansatz), trained.system, RANGE)


def test_measurement_agrees_with_quadrature(trained, exact):
    measured = trained.evaluate_energy(target_error=2e-3, max_seconds=15, relations=True)
    assert abs(measured.energy - exact[0]) < 4 * measured.energy_error
    assert abs(measured.interaction - exact[1]) < 4 * measured.interaction_error
    assert exact[1] > 0.005  # 441 errors, which were missed
    assert measured.interaction_error < 0.1 * exact[1]
    assert measured.energy > 2.007130 - 4 * measured.energy_error
    assert measured.kinetic + measured.trap + measured.interaction == pytest.approx(measured.energy)
    assert measured.variance > 100.0  # that of the local energy, nearly all of it from the core
    assert measured.v_score.value == pytest.approx(2 * measured.variance / (measured.energy - 2.0) ** 2, rel=1e-6)
    virial = measured.relations["virial"]
    assert abs(virial.value - exact[2]) < 4 * virial.error


def test_iterations_see_the_interaction(trained, exact):
    rows = trained.recent_iterations()
    assert np.mean(rows["interaction"]) == pytest.approx(exact[1], rel=0.5)  # while it is being trained
    assert np.all(rows["energy_error"] < 0.2)


def test_observables_hold_the_interaction(trained, exact):
    observables = measure_observables(trained, max_seconds=0, max_samples=5000)
    assert abs(observables.interaction.value - exact[1]) < 5 * observables.interaction.error
    assert observables.interaction.error < 0.2 * exact[1]


@pytest.mark.slow
def test_the_gradient_is_that_of_the_true_energy():
    """d<H> along a direction by quadrature, against the gradient of an iteration with Adam's phase."""
    system = TrappedFermions(2, STRENGTH, RANGE)
    vmc = trainer(system, n_walkers=1024, natural=False)
    pretrain(vmc.ansatz, 60, 128, 0)
    vmc.walkers = vmc.sampler.burn_in(vmc.phases.sample, vmc.walkers)
    gradients = []
    for number in range(6):
        vmc.walkers, _ = vmc.phases.sample(vmc.walkers)
        positions, weights = vmc.with_near_pairs(vmc.walkers.positions, tf.ones(1024), number)
        gradients.append(vmc.phases.derivatives(positions, vmc.phases.local_energy(positions).total, weights))
    variables = vmc.ansatz.trainable_variables
    norm = tf.linalg.global_norm(gradients[0])
    direction = [one / norm for one in gradients[0]]  # another sample's, so that its noise is none of the others'
    slopes = [sum(float(tf.reduce_sum(a * b)) for a, b in zip(direction, one, strict=True)) for one in gradients[1:]]
    start, energies, step = [variable.numpy() for variable in variables], [], 1e-3
    for sign in (1, -1):
        for variable, value, along in zip(variables, start, direction, strict=True):
            variable.assign(value + sign * step * along)
        energies.append(two_particle_quadrature(in_float64(vmc.ansatz), system, RANGE)[0])
    slope = (energies[0] - energies[1]) / (2 * step)
    error = np.std(slopes, ddof=1) / np.sqrt(len(slopes))
    assert abs(np.mean(slopes) - slope) < 5 * error + 0.02 * abs(slope)


def hard_rods(distances):
    return tf.where(tf.abs(distances) < 0.5, tf.constant(np.inf, distances.dtype), tf.zeros_like(distances))


def box(positions):
    outside = tf.reduce_any(tf.abs(positions) > 1.0, axis=1)
    return tf.where(outside, tf.constant(np.inf, positions.dtype), tf.zeros_like(positions[:, 0]))


@pytest.mark.parametrize(
    "system",
    [
        TrappedFermions(2, pair_potential=hard_rods),
        TrappedFermions(2, pair_potential=lambda r: hard_rods(100.0 * r)),  # rods so thin that no walker is inside one
        TrappedFermions(2, trap=box, interaction_strength=1.0),
    ],
    ids=["rods", "thin rods", "box"],
)
def test_infinite_potentials_are_refused(system):
    vmc = trainer(system, natural=False)
    vmc.warm_up = lambda: None  # nothing is compiled for it
    with pytest.raises(ValueError, match=r"the potential is infinite at .* use an ansatz that vanishes there"):
        vmc.fit(1)


def test_a_measurement_refuses_infinite_potentials_too():
    vmc = trainer(TrappedFermions(2, trap=box, interaction_strength=1.0), natural=False)
    with pytest.raises(ValueError, match="the potential is infinite at"):
        vmc.evaluate_energy(target_error=0.1, max_seconds=0, relations=False)


def test_a_lost_walker_is_no_infinite_potential():
    vmc = trainer(TrappedFermions(2), natural=False)
    positions = vmc.walkers.positions.numpy()
    positions[:3, 0] = (1e25, np.inf, np.nan)
    vmc.walkers = vmc.walkers._replace(positions=tf.constant(positions))
    refuse_infinite_potential(vmc)
