"""Training reaches the exact ground-state energy of named systems, measured with fresh samples."""

from __future__ import annotations

import keras
import pytest

from tf_nqs.ansatz import JastrowAnsatz
from tf_nqs.exact import reference_energy
from tf_nqs.physics import TrappedFermions
from tf_nqs.sampling import MetropolisHastings
from tf_nqs.training import VariationalMonteCarlo, make_optimizer

TOLERANCE = 1e-3


@pytest.mark.parametrize(
    ("system", "exact", "contact_exponent"),
    [
        # With the c = 0.3 of larger systems the start would be within 3e-3 of the exact energy, 1 - c^2.
        ({"interaction": "coth", "interaction_strength": 1.0}, 0.0, 1.0),
        # Without the springs the start is exact: abs(r)^l exp(-x^2/2).
        pytest.param(
            {"interaction": "calogero", "interaction_strength": 2.0, "pair_stiffness": 0.3},
            0.5 + 2.5 * 1.6**0.5,
            2.0,
            marks=pytest.mark.slow,
        ),
    ],
    ids=["coth", "calogero"],
)
def test_two_particles_reach_the_closed_form(system, exact, contact_exponent):
    """The spring recipe, 50 iterations; in the first ones the energy is off by many times the tolerance."""
    assert reference_energy(2, **system) == (pytest.approx(exact, abs=1e-12), "closed_form", 0.0)
    keras.utils.set_random_seed(1)
    ansatz = JastrowAnsatz(2, 4, 1, 4, 1, contact_exponent=contact_exponent)
    vmc = VariationalMonteCarlo(
        ansatz, TrappedFermions(2, **system), MetropolisHastings(64, n_steps=5, n_burn_in=50), iterations_per_call=2
    )
    vmc.compile(**make_optimizer("spring", ansatz="jastrow"), jit_compile=False)
    first = vmc.fit(50).history["energy"][0]
    measured = vmc.evaluate_energy(target_error=TOLERANCE, max_seconds=600.0, relations=False)
    assert abs(measured.energy - exact) < 4 * measured.energy_error + TOLERANCE
    assert abs(first - exact) > 10 * TOLERANCE > 10 * measured.energy_error
