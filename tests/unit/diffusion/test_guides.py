"""What may guide a diffusion: wave functions that vanish only where particles meet."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_nqs
from tf_nqs.diffusion import (
    Stiffness,
    ansatz_guide,
    best_guide,
    best_stiffness,
    check_nodes,
    free_fermion_guide,
    free_fermion_positions,
    pair_factor,
)
from tf_nqs.diffusion.start import metropolis_positions
from tf_nqs.exact import two_particle_energy
from tf_nqs.physics import TrappedFermions


def walkers(n_particles):
    return tf.sort(tf.random.stateless_normal((60, n_particles), (2, 3), dtype=tf.float64), axis=1)


def test_an_untrained_jastrow_ansatz_is_the_free_fermions_guide():
    system = TrappedFermions(4, 10.0)
    found = ansatz_guide(tf_nqs.JastrowAnsatz(4, dtype="float64"), system)(walkers(4))
    expected = free_fermion_guide(system)(walkers(4))
    np.testing.assert_allclose(found.gradient, expected.gradient, rtol=1e-8)
    np.testing.assert_allclose(found.local_energy, expected.local_energy, rtol=1e-8)
    assert np.std(found.log_abs_psi - expected.log_abs_psi) < 1e-10  # they differ by their norms


def test_other_weights_and_another_strength_are_the_same_guide():
    """What is compiled for the members of a family is compiled once."""
    system, ansatz = TrappedFermions(2, 10.0), tf_nqs.JastrowAnsatz(2, 4, 1, 4, 1, dtype="float64")
    guide = ansatz_guide(ansatz, system)
    system.assign(interaction_strength=-3.0)
    ansatz.set_weights([0.1 + weight for weight in ansatz.get_weights()])
    assert ansatz_guide(ansatz, system) is guide
    found = guide(walkers(2)).local_energy
    other = TrappedFermions(2, -3.0)
    np.testing.assert_allclose(found, other.local_energy(walkers(2), ansatz.forward_laplacian(walkers(2))[1]).total)
    assert ansatz_guide(ansatz, other) is not guide


def test_a_trained_one_keeps_its_sign_between_the_particles():
    keras.utils.set_random_seed(0)
    ansatz = tf_nqs.JastrowAnsatz(3, dtype="float64")
    ansatz.set_weights(
        [weight + 0.1 * np.random.default_rng(1).normal(size=weight.shape) for weight in ansatz.get_weights()]
    )
    check_nodes(ansatz, walkers(3))


def test_other_nodes_are_refused():
    ansatz = tf_nqs.FermionAnsatz(3, dtype="float64")
    with pytest.raises(ValueError, match=r"^ansatz = FermionAnsatz: has nodes besides those where particles meet"):
        ansatz_guide(ansatz, TrappedFermions(3))
    with pytest.raises(
        ValueError, match=r"^ansatz = function: changes its sign where no .* of 60 walkers; must vanish"
    ):
        check_nodes(lambda x: (tf.sign(tf.reduce_sum(x, axis=1)), x[:, 0]), walkers(3))


CALOGERO = TrappedFermions(3, 2.5, interaction="calogero", pair_stiffness=0.4)
EXACT = Stiffness(float(np.sqrt(1 + 3 * 0.4)), 1.0)


@pytest.mark.parametrize("stiffness", [EXACT, Stiffness(0.7, 1.6)])
def test_a_guide_with_another_contact_exponent_against_nested_tapes(stiffness):
    guide, x = free_fermion_guide(CALOGERO, stiffness), walkers(3)
    with tf.GradientTape() as tape:
        tape.watch(x)
        log_abs_psi = guide(x).log_abs_psi
    np.testing.assert_allclose(guide(x).gradient, tape.gradient(log_abs_psi, x), rtol=1e-8, atol=1e-8)
    energy = CALOGERO.local_energy_of(lambda x: guide(x).log_abs_psi, x).total
    np.testing.assert_allclose(guide(x).local_energy, energy, rtol=1e-6)


def test_the_exact_guide_of_calogero_has_one_energy():
    energy = free_fermion_guide(CALOGERO, EXACT)(walkers(3)).local_energy
    np.testing.assert_allclose(energy, 0.5 + EXACT.internal * (1 + 2.5 * 3), rtol=1e-10)
    ansatz = tf_nqs.JastrowAnsatz(3, dtype="float64", contact_exponent=2.5)
    found = ansatz_guide(ansatz, CALOGERO)(walkers(3))
    expected = free_fermion_guide(CALOGERO)(walkers(3))  # untrained: that of free fermions
    np.testing.assert_allclose(found.local_energy, expected.local_energy, rtol=1e-8)
    with pytest.raises(ValueError, match=r"^contact_exponent = 1 of JastrowAnsatz: must be 2\.5"):
        ansatz_guide(tf_nqs.JastrowAnsatz(3, dtype="float64"), CALOGERO)


@pytest.mark.parametrize("exponent", [1.0, 2.5])
def test_exact_samples_have_the_moments_of_the_density(exponent):
    """r = |x_1 - x_2| has density r^(2l) exp(-s r^2/2), X has exp(-2 c X^2), so <r^2> = (2l + 1)/s."""
    x = free_fermion_positions(20_000, 2, Stiffness(1.7, 0.6), exponent, seed=3)
    assert np.all(np.diff(x, axis=1) > 0)
    for values, mean in (((x[:, 1] - x[:, 0]) ** 2, (2 * exponent + 1) / 1.7), (x.mean(axis=1) ** 2, 0.25 / 0.6)):
        assert abs(values.mean() - mean) < 4 * values.std() / np.sqrt(len(x))


def test_the_best_stiffness_of_harmonic_pairs_is_their_frequency():
    system = TrappedFermions(4, 0.5, interaction="harmonic")
    found = best_stiffness(system)
    assert found.internal == pytest.approx(np.sqrt(3), abs=0.05) and found.centre == 1.0
    wide = best_stiffness(TrappedFermions(2, 0.0, trap="double_well", trap_separation=3.0))
    assert wide.internal == wide.centre < 0.5


@pytest.mark.parametrize("system", [TrappedFermions(3, 10.0), CALOGERO], ids=["gaussian", "calogero"])
def test_a_pair_factor_against_nested_tapes(system):
    """Inside its table and outside of it."""
    factor, x = pair_factor(system, 3.0), 2.5 * walkers(3)
    guide = free_fermion_guide(system, Stiffness(0.8, 1.2), factor)
    length = factor.cell * len(factor.coefficients)
    assert (x[:, 2] - x[:, 0]).numpy().min() < length < (x[:, 2] - x[:, 0]).numpy().max()
    with tf.GradientTape() as tape:
        tape.watch(x)
        log_abs_psi = guide(x).log_abs_psi
    np.testing.assert_allclose(guide(x).gradient, tape.gradient(log_abs_psi, x), rtol=1e-8, atol=1e-8)
    energy = system.local_energy_of(lambda x: guide(x).log_abs_psi, x).total
    np.testing.assert_allclose(guide(x).local_energy, energy, rtol=1e-5)


@pytest.mark.parametrize("strength", [20.0, -10.0])
def test_the_pair_factor_is_exact_for_two_particles(strength):
    system = TrappedFermions(2, strength)
    energy = free_fermion_guide(system, factor=pair_factor(system, 1.0))(walkers(2)).local_energy
    np.testing.assert_allclose(energy, two_particle_energy(strength, 0.5)[0], atol=3e-4)


def test_a_barrier_that_hides_the_solution_in_rounding_has_no_factor():
    assert pair_factor(TrappedFermions(2, 1e7), 1.0) is None
    wall = TrappedFermions(2, pair_potential=lambda r: tf.where(tf.abs(r) < 1, np.inf, 0 * r))
    assert pair_factor(wall, 1.0) is None


def test_the_best_guide_has_a_factor_where_that_is_better():
    repulsive = TrappedFermions(3, 20.0)
    found = best_guide(repulsive, 200, jit_compile=False)
    assert found.stiffness == Stiffness() and found.pair_frequency is not None
    x = found.positions
    without = free_fermion_guide(repulsive, best_stiffness(repulsive))(x).local_energy
    assert np.std(found.guide(x).local_energy) < 0.2 * np.std(without)
    assert best_guide(TrappedFermions(3, 0.0)).pair_frequency is None  # exact already


def test_steps_without_weights_lead_to_the_guides_density():
    system, stiffness = TrappedFermions(2, 0.0), Stiffness(2.0, 1.0)
    start = tf.constant(free_fermion_positions(4000, 2))
    x = metropolis_positions(free_fermion_guide(system, stiffness), start, jit_compile=False).numpy()
    squared = (x[:, 1] - x[:, 0]) ** 2
    assert abs(squared.mean() - 1.5) < 4 * squared.std() / np.sqrt(len(x)) < 0.5
