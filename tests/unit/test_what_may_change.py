"""Which settings a run may go on with."""

from __future__ import annotations

import pytest

from tf_nqs.config import settings_from
from tf_nqs.config.resume import MAY_CHANGE, OF_A_NATURAL_GRADIENT, comparable, differences

OTHERS = {
    "damping": 0.5,
    "damping_decay_iterations": 7,
    "damping_min": 0.1,
    "momentum": 0.1,
    "max_step_norm": 0.7,
    "leverage_bound": 9.0,
}


@pytest.mark.parametrize(("optimizer", "counts"), [("adam", False), ("spring", True), ("sr", True)])
def test_settings_of_a_natural_gradient_count_for_one_alone(optimizer, counts):
    assert set(OTHERS) == set(OF_A_NATURAL_GRADIENT)
    before = comparable(settings_from(None, {"n_particles": 2, "optimizer": optimizer}))
    now = settings_from(None, {"n_particles": 2, "optimizer": optimizer, "iterations": 5, **OTHERS})
    changed = differences(before, now, MAY_CHANGE)
    assert len(changed) == (len(OTHERS) if counts else 0)
    assert ("damping = 0.03, not 0.5" in changed) == counts


def test_another_optimizer_is_a_change():
    before = comparable(settings_from(None, {"n_particles": 2, "optimizer": "adam"}))
    assert differences(before, settings_from(None, {"n_particles": 2, "optimizer": "spring"}), MAY_CHANGE) == [
        "optimizer = 'adam', not 'spring'"
    ]


def test_a_run_may_go_on_elsewhere():
    before = comparable(settings_from(None, {"n_particles": 2}))
    now = settings_from(None, {"n_particles": 2, "strategy": "mirrored", "n_devices": 2, "worker_timeout": 9.0})
    assert differences(before, now, MAY_CHANGE) == differences(comparable(now), now, MAY_CHANGE) == []
