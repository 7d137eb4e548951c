"""What the benchmarks judge by, on numbers made by hand."""

from __future__ import annotations

import math

import pytest

from benchmarks import reweighting, soak


def turns(*mebibytes, **changes):
    """Records of turns with this memory in their last thirds, and nothing else to be said against them."""
    return [
        {"turn": number, "optimizer": soak.OPTIMIZERS[(number - 1) % 2], "mebibytes_first": one, "mebibytes_last": one}
        | {"seconds_first": 0.01, "seconds_last": 0.01}
        | changes
        for number, one in enumerate(mebibytes, start=1)
    ]


def test_memory_may_grow_by_what_a_trainer_keeps_and_no_more():
    """Flat within each turn, a staircase over them; the fourth turn is two after the second."""
    assert soak.failures(turns(1000, 1100, 1600, 1700)) == []
    assert soak.growth_of(turns(1000, 1100, 1600, 1700), "spring") == 300.0
    assert soak.failures(turns(1000, 1100, 1600, 1760)) == [
        "adam: memory has grown by 330 MiB a turn from its first turn to its last"
    ]
    assert soak.growth_of(turns(1000, 1100), "adam") is None


@pytest.mark.parametrize("name", ["mebibytes_first", "mebibytes_last", "seconds_first", "seconds_last"])
def test_a_reading_that_is_no_number_meets_nothing(name):
    assert soak.failures(turns(1000, 1000, 1000, 1000)) == []
    assert len(soak.failures(turns(1000, 1000, 1000, 1000, **{name: math.nan}))) >= 4


def arm(mode, share=1.0, sampling=0.030, forward=0.0):
    met = {"energy": 1.0, "energy_error": 1e-3, "reference_energy": 1.0, "dip": 0.0}
    return met | {"mode": mode, "share": share, "sampling": sampling, "forward": forward}


@pytest.mark.parametrize(("sampling", "is_met"), [(0.003, True), (0.010, False), (0.0, False)])
def test_the_factor_of_reweighting_is_that_of_measured_seconds(sampling, is_met):
    """Whatever the counts say, here twenty; a profile that no sampling fell into has measured nothing."""
    fresh, reusing = arm("every_iteration"), arm("thesis", share=0.05, sampling=sampling, forward=0.003)
    found = reweighting.factors(reusing, fresh)
    assert found["counted"] == 20.0
    assert found["measured"] == pytest.approx(0.030 / sampling if sampling else math.nan, nan_ok=True)
    assert found["with_forward"] == pytest.approx(0.030 / (sampling + 0.003))
    assert reweighting.factors(fresh, fresh) == {"counted": 1.0, "measured": 1.0, "with_forward": 1.0}
    assert (reweighting.failures([fresh, reusing]) == []) == is_met
