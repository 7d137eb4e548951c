"""The point that is measured of a wave function in closed form, and the overlap of two."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from tf_nqs.measurement import energy as measurement
from tf_nqs.named_systems import NamedSystem
from tf_nqs.physics import TrappedFermions
from tf_nqs.physics.closed_form_states import closed_form_state
from tf_nqs.sampling import MetropolisHastings
from tf_nqs.studies.curve.measure import measure_overlap, measure_point
from tf_nqs.training import VariationalMonteCarlo


class ExactState(keras.Model):
    """The ground state, in closed form."""

    def __init__(self, system):
        super().__init__(dtype="float64")
        self._psi = closed_form_state(system)
        self.contact_exponent = system.contact_exponent
        self.nothing = self.add_weight(shape=(), initializer="zeros")
        self.built = True

    def call(self, positions):
        return self._psi(positions)


def measured(system, n_calls):
    sampler = MetropolisHastings(n_walkers=128, n_steps=5, n_burn_in=50)
    vmc = VariationalMonteCarlo(ExactState(system), TrappedFermions(**system._asdict()), sampler, seed=1)
    vmc.compile(optimizer=keras.optimizers.Adam(), jit_compile=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measurement, "_FULL_CALLS", n_calls)
        return measure_point(vmc, "name", system, 1e-3, 5.0)


def check_harmonic(system, point):
    """A^2 - 1 internal quanta of Omega/2 and the centre's 1/2: energy, its parts, the size and dE/dkappa."""
    n_particles, half = system.n_particles, (system.n_particles**2 - 1) / 2
    omega = system.internal_frequency
    assert point.energy.value == pytest.approx(0.5 + half * omega, abs=1e-6)  # of zero variance
    trap = 0.25 + half / (2 * omega)
    known = {"rms_size": np.sqrt(2 * trap / n_particles), "kinetic": 0.25 + half * omega / 2, "trap": trap}
    for name, value in known.items():
        found = getattr(point, name)
        assert abs(found.value - value) < 4 * found.error and 0 < found.error < 0.2, name
    assert set(point.slopes) == {"interaction_strength", "pair_stiffness"}
    for slope in point.slopes.values():
        assert abs(slope.value - half * n_particles / (2 * omega)) < 4 * slope.error and 0 < slope.error < 0.2
    assert point.reference.energy is None and point.in_equilibrium and point.is_mixed


def test_a_point_is_exact_within_its_errors():
    system = NamedSystem(2, "harmonic", 0.8)
    point, samples = measured(system, 40)
    check_harmonic(system, point)
    assert samples.shape == (64, 128, 2)  # 8192 at least
    size = np.sqrt(np.mean(samples**2))
    assert size == pytest.approx(point.rms_size.value, rel=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("n_particles", [3, 4])
def test_points_of_more_particles_are_exact_and_so_is_their_overlap(n_particles):
    systems = [NamedSystem(n_particles, "harmonic", kappa) for kappa in (0.3, 0.5)]
    sides = []
    for system in systems:
        point, samples = measured(system, 200)
        check_harmonic(system, point)
        sides += [ExactState(system), samples]
    overlap = measure_overlap(*sides)
    both = np.array([system.internal_frequency for system in systems])
    exact = (np.sqrt(both.prod()) / both.mean()) ** ((n_particles**2 - 1) / 2)
    assert abs(overlap.value - exact) < 4 * overlap.error
    assert overlap.error < 0.1 * (1 - exact)


@pytest.mark.slow
def test_the_slope_of_calogero_has_an_error_where_its_variance_is_finite():
    """<1/r^2> = 1/(2 l - 1) for two particles, and dE/dl = 1."""
    point, _ = measured(NamedSystem(2, "calogero", 2.5), 200)
    slope = point.slopes["interaction_strength"]
    assert abs(slope.value - 1.0) < 4 * slope.error and slope.error < 0.2
    point, _ = measured(NamedSystem(2, "calogero", 1.3), 20)
    assert np.isnan(point.slopes["interaction_strength"].error)


def test_samples_of_different_numbers_of_walkers_have_an_overlap():
    random = np.random.default_rng(0)
    psi = closed_form_state(NamedSystem(2, "harmonic", 0.2))
    samples = [random.standard_normal((n_rows, n_walkers, 2)) for n_rows, n_walkers in ((4, 100), (7, 30))]
    assert measure_overlap(psi, samples[0], psi, samples[1]).value == pytest.approx(1.0)
