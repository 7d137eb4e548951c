"""A narrow deep well is found by default settings, however iterations are divided into calls."""

from __future__ import annotations

import pytest

from tf_nqs.config import settings_from
from tf_nqs.experiment.run import run

EXACT = -77.40422
"""Energy of two particles with V0 = -100 and sigma0 = 0.1, in hbar*omega, by their relative coordinate."""


@pytest.mark.slow
@pytest.mark.parametrize("iterations_per_call", [10, 50])
def test_two_particles_in_a_narrow_well(tmp_path, iterations_per_call):
    settings = {"n_particles": 2, "interaction_strength": -100.0, "interaction_range": 0.1, "n_walkers": 256}
    settings |= {"iterations": 150, "iterations_per_call": iterations_per_call, "target_error": 0.1, "quiet": True}
    result = run(settings_from(None, settings | {"run_dir": str(tmp_path / "run")}))
    assert result.reference_energy == pytest.approx(EXACT, abs=1e-4)
    assert -4 * result.energy_error < result.energy - EXACT < 0.01 * abs(EXACT)
    assert (result.n_repairs, result.stop_reason) == (0, "iterations")
