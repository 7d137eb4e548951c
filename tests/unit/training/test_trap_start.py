"""A trap of one's own that does not lie at the origin: training begins where its lowest states are."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_nqs.ansatz import FermionAnsatz
from tf_nqs.exact import oscillator_orbitals
from tf_nqs.physics.hamiltonian import TrappedFermions
from tf_nqs.sampling import MetropolisHastings
from tf_nqs.training import VariationalMonteCarlo, make_optimizer, start_in_trap
from tf_nqs.training.trap_start import trap_states


def displaced(by):
    return lambda positions: 0.5 * tf.reduce_sum((positions - by) ** 2, axis=1)


def wells(at):
    """Two wells of frequency 1, at +at and -at."""
    return lambda positions: tf.reduce_sum((positions**2 - at**2) ** 2, axis=1) / (8 * at**2)


def make_vmc(trap, n_walkers=128):
    keras.utils.set_random_seed(0)
    system = TrappedFermions(2, trap=trap)
    vmc = VariationalMonteCarlo(FermionAnsatz(2, 16, 1), system, MetropolisHastings(n_walkers))
    vmc.compile(**make_optimizer("spring"), jit_compile=False)
    return vmc


def test_states_of_a_displaced_oscillator():
    """Those of the oscillator, up to their signs; a grid of step h is off by h^2 = 1e-4."""
    places, orbitals = trap_states(TrappedFermions(3, trap=displaced(5.0)))
    expected = oscillator_orbitals(3, places - 5.0)
    np.testing.assert_allclose(np.abs(orbitals), np.abs(expected), atol=2e-4)


def test_walls_of_infinite_height():
    """A box of length pi: sin(n x) sqrt(2/pi); its walls lie within a step of the grid."""

    def box(positions):
        inside = (positions > 0) & (positions < np.pi)
        return tf.reduce_sum(tf.where(inside, tf.zeros_like(positions), np.inf), axis=1)

    places, orbitals = trap_states(TrappedFermions(2, trap=box))
    inside = (places > 0.1) & (places < 3.0)
    for n, orbital in enumerate(orbitals, start=1):
        expected = np.sqrt(2 / np.pi) * np.sin(n * places[inside])
        np.testing.assert_allclose(np.abs(orbital[inside]), np.abs(expected), atol=0.03)


@pytest.mark.parametrize(("trap", "centres"), [(displaced(5.0), (5.0,)), (wells(4.0), (-4.0, 4.0))])
def test_walkers_and_wave_function_start_there(trap, centres):
    """Energies of the start, without any training: 2 and about 1, and 12 more for each particle at the origin."""
    vmc = make_vmc(trap)
    seed = vmc.seed.numpy()
    start_in_trap(vmc, seed=0)
    positions = vmc.walkers.positions
    for centre in centres:
        near = np.abs(positions - centre) < 2.5
        assert 0.8 / len(centres) < np.mean(near)
    energies = vmc.system.local_energy(positions, vmc.ansatz.forward_laplacian(positions)[1]).total
    assert abs(np.median(energies) - 2 / len(centres)) < 0.7
    np.testing.assert_array_equal(vmc.seed.numpy(), seed)


@pytest.mark.parametrize("trap", [False, lambda x: tf.zeros_like(x[:, 0]), lambda x: tf.reduce_sum(x, axis=1) * np.nan])
def test_what_holds_nothing_is_refused(trap):
    with pytest.raises(ValueError, match="trap: must"):
        trap_states(TrappedFermions(2, trap=trap))
