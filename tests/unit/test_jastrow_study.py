"""What the study of JastrowAnsatz judges by, on numbers made by hand."""

from __future__ import annotations

import pytest

from benchmarks.jastrow_study import judged, stays_within


@pytest.mark.parametrize(
    ("energies", "expected"),
    [
        ([1.0] * 30 + [0.0] * 70, 50),
        ([1.0] * 30 + [0.0] * 30 + [1.0] * 5 + [0.0] * 70, 85),
        ([0.0] * 150 + [1.0] * 50, 20),
        ([1.0] * 100, None),
        ([0.0] * 10, None),
        ([1.0] * 85 + [0.0] * 20, None),
    ],
)
def test_first_iteration_from_which_means_stay(energies, expected):
    """Means over 20 iterations, for 100 iterations or to the end, which must be 20 away."""
    assert stays_within(energies, 0.0, 1e-3) == expected


def test_jumps_after_iteration_fifty_are_counted():
    energies = [5.0] * 50 + [0.0, 0.3, 0.05] + [0.0] * 47
    found = judged({"energies": energies, "variances": [1.0] * 100, "seconds_per_iteration": 1.0, "n_parameters": 3}, 0)
    assert found["n_jumps"] == 1
    assert found["largest_later"] == 0.3
    assert found["off"] == pytest.approx(0.35 / 50)
    assert (found["to_0.01"], found["to_0.001"]) == (72, 73)
