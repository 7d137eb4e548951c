"""Observables of wave functions that are exact without training, against closed forms and the exact solver."""

from __future__ import annotations

import math
import types

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_nqs import exact
from tf_nqs.observables import choose_grid, file_entries, measure_observables, observables_table, plots
from tf_nqs.observables.conditional import spread_on_grid
from tf_nqs.observables.jackknife import jackknife, with_sum
from tf_nqs.observables.natural import error_with_repulsion, natural_occupations, natural_orbitals, orbitals_like
from tf_nqs.observables.pairs import distribution_of_distance
from tf_nqs.observables.plots import plot_observables
from tf_nqs.physics import TrappedFermions, free_fermions
from tf_nqs.physics.oscillator import oscillator_orbitals
from tf_nqs.sampling import MetropolisHastings
from tf_nqs.training import VariationalMonteCarlo
from tf_nqs.types import Estimate, LogDerivatives, SignedLog, WalkerState

LEVELS, FREQUENCY = 60, 2.0
"""Oscillator functions of the relative motion: its energy is then right to 1e-6 for V0 = 10 and -10."""


class FreeFermions(keras.Model):
    def __init__(self):
        super().__init__(dtype="float64")
        self.built = True

    def call(self, positions):
        return SignedLog(*free_fermions(positions))

    def forward_laplacian(self, positions):
        """In closed form, (lap Psi)/Psi = sum_i x_i^2 - A^2: tapes take long to trace. No gradient is asked for."""
        laplacian = tf.reduce_sum(positions**2, axis=1) - positions.shape[1] ** 2
        return self(positions), LogDerivatives(positions, laplacian)


class TwoParticles(keras.Model):
    """The exact state of two: u((x1 - x2)/sqrt(2)) exp(-(x1 + x2)^2/4), u the lowest odd level of its own problem."""

    def __init__(self, strength, width=0.5):
        super().__init__(dtype="float64")
        r, weights = np.polynomial.legendre.leggauss(600)
        r, weights = 9 * r, 9 * weights
        functions = FREQUENCY**0.25 * exact.oscillator_orbitals(LEVELS, r * FREQUENCY**0.5)[1::2]
        height = strength / (np.sqrt(2 * np.pi) * width)
        n = np.arange(1, LEVELS, 2)
        # -u''/2 of a function of frequency w is (w (n + 1/2) - w^2 r^2 / 2) u.
        potential = 0.5 * (1 - FREQUENCY**2) * r**2 + height * np.exp(-((r / width) ** 2))
        matrix = np.diag(FREQUENCY * (n + 0.5)) + (functions * weights * potential) @ functions.T
        levels, vectors = np.linalg.eigh(matrix)
        self.energy = 0.5 + levels[0]
        self.amplitudes = tf.constant(vectors[:, 0])
        self.system = TrappedFermions(2, strength, width)
        self.built = True

    def call(self, positions):
        relative = (positions[:, 0] - positions[:, 1]) / 2**0.5
        value = tf.linalg.matvec(oscillator_orbitals(relative * FREQUENCY**0.5, LEVELS)[:, 1::2], self.amplitudes)
        log_abs = tf.math.log(tf.abs(value)) - 0.25 * tf.reduce_sum(positions, axis=1) ** 2
        return SignedLog(tf.sign(value), log_abs)

    def forward_laplacian(self, positions):
        """From Schroedinger's equation, which Psi obeys: (lap Psi)/Psi = 2 (V - E)."""
        potential = self.system.trap_energy(positions) + self.system.interaction_energy(positions)
        return self(positions), LogDerivatives(positions, 2 * (potential - self.energy))


def observe(ansatz, system, max_samples, n_walkers=256):
    vmc = VariationalMonteCarlo(ansatz, system, MetropolisHastings(n_walkers, n_steps=10, n_burn_in=200), seed=1)
    vmc.compile("sgd", jit_compile=False)
    return measure_observables(vmc, max_seconds=300.0, max_samples=max_samples)


def pulls(measured, truth, kept):
    return np.abs(measured.value - truth)[kept] / measured.error[kept]


def assert_agree(observed, known, n_particles):
    """None is off by more than five errors, and most by less than two.

    Neighbours on the grid move together, so that a whole stretch may be off by more than two errors: nine tenths are
    asked for on average over all systems, which makes four fifths for a single one.
    """
    assert observed.in_equilibrium
    spacing = observed.x[1] - observed.x[0]
    assert spacing * observed.density.value.sum() == pytest.approx(n_particles, rel=1e-9)
    assert np.trace(observed.one_body_density_matrix.value) == pytest.approx(n_particles, rel=1e-9)
    # The matrix has this trace exactly; what is taken off its eigenvalues as their bias is not exactly zero in all.
    assert observed.occupations.value.sum() == pytest.approx(n_particles, abs=2 * observed.occupations.error.max())
    assert spacing**2 * observed.pair_density.value.sum() == pytest.approx(n_particles * (n_particles - 1), rel=1e-9)
    assert np.all(np.diff(observed.occupations.value) <= 0)
    dense = known.density > 0.01 * known.density.max()
    occupied = known.occupations > 1e-3
    found = [
        pulls(observed.density, known.density, dense),
        pulls(observed.occupations, known.occupations, occupied),
    ]
    paired = known.pair_density > 0.05 * known.pair_density.max()
    found.append(pulls(observed.pair_density, known.pair_density, paired))
    for values in found[:1] + found[2:]:
        assert np.mean(values < 2) >= 0.8
    assert np.concatenate(found).max() < 5
    for name in ("rms_size", "kinetic", "trap", "interaction"):
        estimate = getattr(observed, name)
        assert abs(estimate.value - getattr(known, name)) <= 4 * estimate.error + 1e-9, name
    # The entropy of full and empty orbitals has no first order, so its error is no more than an order of magnitude.
    assert abs(observed.entropy.value - known.entropy) < max(4 * observed.entropy.error, 0.01)


@pytest.mark.parametrize("n_particles", [2, *(pytest.param(n, marks=pytest.mark.slow) for n in (3, 4, 5, 6))])
def test_free_fermions(n_particles, tmp_path):
    observed = observe(FreeFermions(), TrappedFermions(n_particles), 8_000)
    known = exact.free_fermion_observables(n_particles, observed.x)
    assert_agree(observed, known, n_particles)
    assert observed.occupations.value[n_particles] < 1e-9  # rank A, sample by sample
    paths = plot_observables(observed, known, tmp_path / "plots", "free fermions")
    assert {path.stem for path in paths} >= {"density", "occupations", "pair_density", "one_body_density_matrix"}
    assert all(path.stat().st_size > 10_000 for path in paths)
    again = plot_observables(observed, known, tmp_path / "plots", "free fermions", "svg")
    assert sorted((tmp_path / "plots").iterdir()) == sorted(again)  # those of an earlier measurement are gone
    assert {path.stem for path in again} == {path.stem for path in paths} and {path.suffix for path in again} == {
        ".svg"
    }
    label = plots._density(observed, known, "").axes[0].get_ylabel()
    assert label == r"Density $n(x)$ (1/$a_\mathrm{ho}$)"
    curves = [line.get_ydata() for line in plots._natural_orbitals(observed, known, "").axes[0].lines]
    # Single precision: the ansatz is the exact state.
    np.testing.assert_allclose(curves[n_particles:], curves[:n_particles], atol=1e-3)
    entries = file_entries(observed, known)
    for kind in ("", "exact_"):
        total = entries[f"{kind}occupations"].sum() + entries[f"{kind}occupations_left_out"]
        assert total == pytest.approx(n_particles, abs=1e-9)  # a trace, whatever the noise
    assert entries["occupations"].shape == entries["exact_occupations"].shape == (n_particles,)
    for name in ("pair_distribution", "distribution_of_distance"):
        np.testing.assert_array_equal(np.isnan(entries[f"exact_{name}"]), np.isnan(entries[name]))
    g, error, known_g = (entries[key] for key in (name, f"{name}_error", f"exact_{name}"))
    near = entries["r"] < 4.0
    assert np.all(np.abs(g - known_g)[near] <= 5 * error[near] + 1e-3) and np.mean(error[near]) < 0.02
    assert {f"{name}_error" for name in ("density", "pair_density", "rms_size", "entropy")} <= set(entries)
    assert f"Occupation {n_particles} " in observables_table(observed, known)
    assert f"Occupation {n_particles + 1} " not in observables_table(observed, None)


@pytest.mark.parametrize("strength", [10.0, pytest.param(-10.0, marks=pytest.mark.slow)])
def test_two_particles(strength):
    ansatz = TwoParticles(strength)
    assert ansatz.energy == pytest.approx(exact.two_particle_energy(strength, 0.5)[0], abs=2e-6)
    observed = observe(ansatz, ansatz.system, 8_000)
    known = exact.exact_observables(2, strength, 0.5, observed.x)
    assert_agree(observed, known, 2)


def test_pair_distribution_of_two_free_fermions_by_their_distance():
    """Psi is (x - x') exp(-(x^2 + x'^2)/2), which both integrals can be done of: g = 8 r^2/(11 + 2 r^2 + r^4)."""
    x = 0.1 * np.arange(-80, 81)
    known = exact.free_fermion_observables(2, x)
    found, r = distribution_of_distance(known.pair_density, known.density), 0.1 * np.arange(len(x))
    given = np.isfinite(found)
    assert r[given].max() > 3.5 and np.all(given[: np.count_nonzero(given)])
    np.testing.assert_allclose(found[given], (8 * r**2 / (11 + 2 * r**2 + r**4))[given], atol=1e-12)


def test_curves_are_drawn_through_their_points_and_true_between_them():
    x = 0.1 * np.arange(-50, 51)
    curve = (2 * x**2 - 1) * np.exp(-0.5 * x**2)
    noise = np.random.default_rng(0).normal(size=len(x))
    fine, drawn, other, short = plots.smooth(x, curve, noise, np.where(x < 3.05, x, np.nan))
    assert fine[-1] == pytest.approx(3.0) and len(fine) == 8 * 80 + 1
    np.testing.assert_allclose(
        drawn, (2 * fine**2 - 1) * np.exp(-0.5 * fine**2), atol=2e-5
    )  # 6 h^4 (4th derivative)/384
    np.testing.assert_allclose(other[::8], noise[:81], atol=1e-12)
    np.testing.assert_allclose(short, fine, atol=1e-12)


def test_jackknife_of_a_mean_is_its_standard_error_and_takes_the_bias_off_a_square():
    random = np.random.default_rng(0)
    samples = 3.0 + random.normal(size=(64, 100))
    sums, counts = samples.sum(axis=1), np.full(64, 100)
    mean = jackknife(lambda mean: mean, [sums], counts)
    assert mean.value == pytest.approx(samples.mean(), rel=1e-12)
    assert mean.error == pytest.approx(samples.mean(axis=1).std(ddof=1) / 8, rel=1e-12)
    # m^2 overestimates by Var/N; for the square of a mean the jackknife's correction is exactly its estimate of that.
    square = jackknife(lambda mean: mean**2, [sums], counts)
    assert square.value == pytest.approx(samples.mean() ** 2 - mean.error**2, rel=1e-12)


def test_numbers_of_known_sum_are_moved_by_their_variances():
    found = with_sum(Estimate(np.array([1.0, 0.9, 0.0]), np.array([0.1, 0.2, 0.0])), 2.0)
    np.testing.assert_allclose(found.value, [1.02, 0.98, 0.0], rtol=1e-12)
    np.testing.assert_array_equal(found.error, [0.1, 0.2, 0.0])
    certain = Estimate(np.array([1.0, 1.0]), np.zeros(2))
    np.testing.assert_array_equal(with_sum(certain, 2.0).value, certain.value)


def still_trainer(positions):
    """What `choose_grid` asks of a trainer, with walkers that never move."""
    walkers = WalkerState(tf.constant(positions), None, None)
    phases = types.SimpleNamespace(sample=lambda walkers: (walkers, None))
    return types.SimpleNamespace(
        walkers=walkers, ansatz=FreeFermions(), phases=phases, place_walkers=lambda walkers: None
    )


def test_the_grid_reaches_beyond_the_farthest_particle_but_not_to_one_that_is_lost():
    positions = np.random.default_rng(1).normal(size=(512, 3))
    farthest = np.abs(positions).max()
    x = choose_grid(still_trainer(positions))
    assert len(x) == 4 * math.ceil((farthest + 1) / 0.2) + 1  # as far as ever, 0.1 apart
    np.testing.assert_allclose(x, 0.1 * np.arange(-(len(x) // 2), len(x) // 2 + 1), rtol=1e-12)
    lost = positions.copy()
    lost[np.abs(positions).argmin(axis=0)[0], 0] = 1e6
    np.testing.assert_array_equal(choose_grid(still_trainer(lost)), x)


@pytest.mark.parametrize("size", [10.0, 1e6])
def test_the_places_of_the_grid_are_bounded(size):
    positions = size * np.random.default_rng(1).normal(size=(512, 2))
    x = choose_grid(still_trainer(positions))
    assert np.abs(positions).max() + 1 <= x[-1] < 1.1 * np.abs(positions).max() + 2
    assert len(x) <= 1001 and len(x) % 4 == 1


def test_particles_on_the_grid_keep_their_number_and_place():
    x = np.linspace(-3, 3, 61)
    places = np.random.default_rng(0).uniform(-2, 2, size=(50, 3))
    weights = spread_on_grid(places, x) * 0.1
    for power in range(3):
        np.testing.assert_allclose(weights @ x**power, (places**power).sum(axis=1), atol=1e-12)


@pytest.mark.parametrize("even", [True, False])
def test_natural_orbitals_diagonalise(even):
    matrix = np.random.default_rng(0).normal(size=(9, 9))
    matrix = matrix @ matrix.T
    if even:
        matrix = matrix + matrix[::-1, ::-1]
    occupations, orbitals = natural_occupations(matrix, even), natural_orbitals(matrix, even)
    np.testing.assert_allclose(orbitals @ orbitals.T, np.eye(9), atol=1e-12)
    np.testing.assert_allclose(orbitals.T @ np.diag(occupations) @ orbitals, matrix, atol=1e-12)
    if even:
        parities = np.sum(orbitals * orbitals[:, ::-1], axis=1)
        np.testing.assert_allclose(parities, [1] * 5 + [-1] * 4, atol=1e-12)


def test_exact_orbitals_turn_to_the_measured_ones_within_equal_occupations_alone():
    orbitals = natural_orbitals(np.diag([1.0, 3, 5, 9, 2, 9, 5, 3, 1]), even=True)  # each occupation even and odd
    occupations = np.array([0.9, 0.7, 0.5, 0.1, 0.0, 0.9, 0.4, 0.3, 0.2])
    matrix = orbitals.T @ np.diag(occupations) @ orbitals
    wanted = orbitals[np.argsort(-occupations, kind="stable")]
    one, other = np.cos(0.3), np.sin(0.3)
    turned = wanted * np.array([1, 1, -1, 1, -1, 1, 1, -1, 1])[:, np.newaxis]
    turned[:2] = [[one, other], [-other, one]] @ turned[:2]
    found = orbitals_like(matrix, turned)
    np.testing.assert_allclose(found, turned, atol=1e-12)
    turned[2:4] = [[one, other], [-other, one]] @ turned[2:4]  # which nothing but an error could do
    assert np.abs(orbitals_like(matrix, turned) - found).max() < 1e-12


def test_occupations_that_noise_drove_apart_carry_their_distance():
    """Of matrices that are 1 but for noise; the plain errors are shown to be too small."""
    random = np.random.default_rng(0)
    noise = random.normal(size=(400, 3, 3)) * 0.01
    values = np.linalg.eigvalsh(np.eye(3) + (noise + noise.transpose(0, 2, 1)) / 2**0.5)[:, ::-1]
    error, mixing = np.full(3, 0.01 * 2**0.5), np.full((3, 3), 0.01)
    carried = [np.abs(value - 1) / error_with_repulsion(value, error, mixing) for value in values]
    assert np.mean(np.array(carried) < 2) > 0.95
    assert np.mean(np.abs(values - 1) / error < 2) < 0.9
    apart = error_with_repulsion(np.array([0.9, 0.1, 0.0]), error, mixing)
    np.testing.assert_allclose(apart[0], error[0], rtol=1e-2)


def test_table_without_an_error():
    one = Estimate(np.float64(1.0), np.float64(0.0))
    from tf_nqs.observables.table import _row

    assert _row("Size", one, 1.0) == ("Size", "1.000000(0)", "1.000000", "")
