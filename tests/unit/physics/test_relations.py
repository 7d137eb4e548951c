"""What the exact state obeys: zero for exact states, closed forms for others."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_nqs.physics import TrappedFermions, free_fermions
from tf_nqs.physics.oscillator import sample_free_fermions
from tf_nqs.physics.relations import local_deviations, relation_names

N_WALKERS = 4000


class Oscillator(keras.Model):
    """Free fermions of frequency w, moved to the right by a shift."""

    def __init__(self, frequency, shift=0.0):
        super().__init__(dtype="float64")
        self.frequency, self.shift = frequency, shift
        self.built = True

    def call(self, positions):
        return free_fermions((positions - self.shift) * self.frequency**0.5)


def deviations(ansatz, system, n_particles):
    positions = sample(n_particles) / ansatz.frequency**0.5 + ansatz.shift
    energy = system.local_energy_of(lambda x: ansatz(x)[1], positions)
    names = relation_names(system)
    values = local_deviations(ansatz, system, names, positions, energy.kinetic).numpy()
    return {
        name: (column, column.mean(), column.std() / N_WALKERS**0.5)
        for name, column in zip(names, values.T, strict=True)
    }


def sample(n_particles):
    return sample_free_fermions((0, n_particles), N_WALKERS, n_particles, "float64")


@pytest.mark.parametrize("n_particles", [1, 2, 3, 4])
def test_free_fermions_obey_all(n_particles):
    found = deviations(Oscillator(1.0), TrappedFermions(n_particles), n_particles)
    assert set(found) == {"virial", "centre_of_mass", "centre_of_mass_size", "parity"}
    for name in ("centre_of_mass", "parity"):  # zero on every walker; rounding grows next to nodes
        assert np.median(np.abs(found[name][0])) < 1e-11
        assert np.abs(found[name][0]).max() < 1e-5
    for name in ("virial", "centre_of_mass_size"):
        _, mean, error = found[name]
        assert abs(mean) < 4 * error


@pytest.mark.parametrize("n_particles", [1, 3])
def test_a_wrong_width_is_off_by_the_closed_form(n_particles):
    w = 1.3
    found = deviations(Oscillator(w), TrappedFermions(n_particles), n_particles)
    known = {
        "virial": (w - 1 / w) * n_particles**2 / 2,
        "centre_of_mass": (w + 1 / w) / 4 - 0.5,
        "centre_of_mass_size": (1 / w - 1) / (2 * n_particles),
        "parity": 0.0,
    }
    for name, (_, mean, error) in found.items():
        assert abs(mean - known[name]) < 4 * error + 1e-10, name


def test_a_shift_breaks_parity():
    """<Psi(-x)> of one Gaussian is exp(-shift^2): the overlap of Gaussians 2 shift apart."""
    _, mean, error = deviations(Oscillator(1.0, 0.3), TrappedFermions(1), 1)["parity"]
    assert abs(mean - (np.exp(-(0.3**2)) - 1)) < 4 * error
    assert abs(mean) > 8 * error


def test_virial_takes_the_slope_of_any_potential():
    system = TrappedFermions(3, trap=lambda x: tf.reduce_sum(x**4, axis=1), pair_potential=lambda r: r**2)
    assert relation_names(system) == ("virial", "parity")
    x, kinetic = sample(3), tf.random.stateless_normal((N_WALKERS,), (0, 1), dtype="float64")
    found = local_deviations(Oscillator(1.0), system, ("virial",), x, kinetic)[:, 0]
    x = x.numpy()
    pairs = (x[:, 0] - x[:, 1]) ** 2 + (x[:, 0] - x[:, 2]) ** 2 + (x[:, 1] - x[:, 2]) ** 2
    np.testing.assert_allclose(found, 2 * kinetic - 4 * (x**4).sum(axis=1) - 2 * pairs, rtol=1e-9, atol=1e-9)


def test_gaussian_interaction_by_hand():
    system = TrappedFermions(2, 10.0, 0.5)
    x, kinetic = sample(2), tf.zeros(N_WALKERS, "float64")
    found = local_deviations(Oscillator(1.0), system, ("virial",), x, kinetic)[:, 0]
    trap, interaction = system.trap_energy(x), system.interaction_energy(x)
    by_hand = -2 * trap + (x[:, 0] - x[:, 1]) ** 2 / 0.25 * interaction
    np.testing.assert_allclose(found, by_hand, rtol=1e-9, atol=1e-12)


def test_no_relation_at_all_is_a_table_without_columns():
    """Steps, uneven, in a trap that is not harmonic: nothing is known of the exact state."""
    system = TrappedFermions(
        2,
        trap=lambda x: tf.reduce_sum(x**3 + x**4, axis=1),
        pair_potential=lambda r: tf.where(tf.abs(r) < 0.5, tf.ones_like(r), tf.zeros_like(r)),
    )
    assert relation_names(system) == ()
    found = local_deviations(Oscillator(1.0), system, (), sample(2), tf.zeros(N_WALKERS, "float64"))
    assert found.shape == (N_WALKERS, 0) and found.dtype == "float64"


def test_relations_that_do_not_hold_are_left_out():
    assert relation_names(TrappedFermions(2, -5.0, trap=False)) == ("virial", "parity")
    assert relation_names(TrappedFermions(2, trap=lambda x: tf.reduce_sum(x**3 + x**4, axis=1))) == ("virial",)
