"""A training of a narrow well begins inside it; any other one begins as ever."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from tf_nqs.ansatz import FermionAnsatz, JastrowAnsatz
from tf_nqs.ansatz.derivatives import energy_derivatives
from tf_nqs.exact import narrow_well
from tf_nqs.physics.hamiltonian import TrappedFermions
from tf_nqs.sampling import MetropolisHastings
from tf_nqs.training import VariationalMonteCarlo, make_optimizer
from tf_nqs.training.cluster_start import cluster_of, sample_cluster, start_as_cluster, start_in_cluster


@pytest.mark.parametrize("size", [1.0, 0.05])
def test_walkers_of_a_cluster(size):
    """The centre of mass has the variance 1/(2A) of the trap's ground state, the rest (A^2-1)/2 times the square."""
    n_walkers, n_particles = 4000, 3
    positions = sample_cluster((1, 2), n_walkers, n_particles, size, "float64").numpy()
    centre = positions.mean(axis=1)
    inner = np.sum((positions - centre[:, None]) ** 2, axis=1)
    errors = 4 / np.sqrt(n_walkers)  # four standard errors, as the spreads are below 1.5 of the means
    assert np.mean(centre**2) == pytest.approx(1 / (2 * n_particles), rel=1.5 * errors)
    assert np.mean(inner) == pytest.approx(size**2 * (n_particles**2 - 1) / 2, rel=errors)


@pytest.mark.parametrize(
    "system",
    [
        (2, 2000.0, 0.006),
        (4, -10.0, 0.5),
        (24, -20.0, 0.2),
        (3, -14.0, 0.24),
        (2, -1e4, 0.5),
        (4, 10.0, 0.5),
        (2, -20.0, 0.1),
        (1, -300.0, 0.05),
        (2, 0.0, 0.05),
    ],
)
def test_other_systems_begin_as_ever(system):
    """Repulsive or free ones, wide wells, and narrow ones that bind nothing."""
    assert narrow_well(*system) is None


@pytest.mark.parametrize("system", [(2, -100.0, 0.1), (2, -300.0, 0.05), (7, -100.0, 0.1), (3, -1e4, 0.05)])
def test_narrow_wells(system):
    assert narrow_well(*system).size < system[2]


def test_the_first_energy_is_that_of_the_well():
    """Of two particles at -300 and range 0.05: exact -720.3; from the trap, training never left 1.8."""
    keras.utils.set_random_seed(0)
    system = TrappedFermions(2, -300.0, 0.05)
    ansatz = FermionAnsatz(2, 16)
    vmc = VariationalMonteCarlo(ansatz, system, MetropolisHastings(256))
    vmc.compile(**make_optimizer("spring"), jit_compile=False)
    before = vmc.walkers
    start_in_cluster(vmc, narrow_well(2, -300.0, 0.05).size, seed=0)
    positions = vmc.walkers.positions
    energies = system.local_energy(positions, ansatz.forward_laplacian(positions)[1]).total
    assert np.median(energies) < -600
    np.testing.assert_array_equal(vmc.walkers.seed, before.seed)
    assert float(vmc.walkers.proposal_width) < 0.05
    assert float(vmc.step_factor) == pytest.approx(0.1, rel=1e-6)  # float32


@pytest.mark.parametrize(
    "system",
    [
        {"n_particles": 4, "interaction_strength": -20.0},
        {"n_particles": 2, "interaction_strength": -300.0, "interaction_range": 0.05},
        {"n_particles": 3, "interaction_strength": -10.0, "trap": "none"},
        {"n_particles": 3, "interaction": "harmonic", "interaction_strength": 2.0},
    ],
)
def test_a_jastrow_ansatz_starts_as_the_best_cluster(system):
    """The mean of the local energy on its walkers is that of `cluster_of`, and harmonic pairs are exact."""
    system = TrappedFermions(**system)
    ansatz = JastrowAnsatz(system.n_particles, dtype="float64")
    vmc = VariationalMonteCarlo(ansatz, system, MetropolisHastings(4000))
    vmc.compile(**make_optimizer("spring"), jit_compile=False)
    key = np.array(vmc.walkers.seed)
    cluster = cluster_of(system)
    assert start_as_cluster(vmc, seed=0) == cluster.size
    positions = vmc.walkers.positions
    derivatives = energy_derivatives(ansatz, "forward", system)(positions)
    energies = system.local_energy(positions, derivatives).total.numpy()
    wanted = 0 if system.interaction == "harmonic" else 4 * np.std(energies) / np.sqrt(4000)
    assert np.mean(energies) == pytest.approx(cluster.energy, abs=wanted + 1e-4)
    np.testing.assert_array_equal(vmc.walkers.seed, key)
    assert float(vmc.walkers.proposal_width) == pytest.approx(0.5 * cluster.size)
    assert float(vmc.step_factor) == 1


def test_weights_that_are_good_already_stay():
    system = TrappedFermions(2, -300.0, 0.05)
    vmc = VariationalMonteCarlo(JastrowAnsatz(2), system, MetropolisHastings(64))
    size = start_as_cluster(vmc, seed=0, keep_weights=True)
    assert np.median(np.abs(np.diff(vmc.walkers.positions, axis=1))) < 4 * size
    assert float(vmc.ansatz.gaussian.pair_stiffness) == 0


@pytest.mark.parametrize(
    "system",
    [
        {"n_particles": 4, "interaction_strength": 10.0},
        {"n_particles": 1},
        {"n_particles": 3, "interaction_strength": -20.0, "trap": "quartic"},
        {"n_particles": 3, "interaction": "calogero", "interaction_strength": 1.5, "pair_stiffness": 2.0},
    ],
)
def test_other_systems_keep_the_free_fermions_of_the_trap(system):
    system = TrappedFermions(**system)
    vmc = VariationalMonteCarlo(
        JastrowAnsatz(system.n_particles, contact_exponent=system.contact_exponent), system, MetropolisHastings(8)
    )
    before = np.array(vmc.walkers.positions)
    assert start_as_cluster(vmc, seed=0) is None
    np.testing.assert_array_equal(vmc.walkers.positions, before)
    assert float(vmc.ansatz.gaussian.pair_stiffness) == 0
