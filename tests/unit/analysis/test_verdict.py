"""The verdict on an energy: every reason by itself, and none for a healthy run."""

from __future__ import annotations

import numpy as np
import pytest

from tf_nqs.analysis.report import result_table
from tf_nqs.analysis.verdict import Doubt, find_doubts, is_above_reference, verdict_text

HEALTHY = {
    "energy": 10.89129,
    "energy_error": 0.00017,
    "variance": 0.0026,
    "kinetic": 3.07,
    "trap": 5.88,
    "interaction": 1.94,
    "r_hat": 1.0011,
    "reference_energy": 10.891422,
    "deviation_in_sigma": -0.76,
    "stop_reason": "iterations",
    "blocking_criteria": None,
    "non_finite_share": 0.0,
    "in_equilibrium": True,
}


def energies(fall=0.0, n_iterations=400, noise=2e-3, last=1.0):
    """10.9 with noise; the given last part of it falls."""
    index = np.arange(n_iterations)
    start = n_iterations * (1 - last)
    line = np.clip((index - start) / (n_iterations - start), 0.0, 1.0)
    return 10.9 + noise * np.random.default_rng(0).normal(size=n_iterations) - fall * line


def doubts(changes=None, of=None, **others):
    return find_doubts(HEALTHY | (changes or {}), 1e-3, energies() if of is None else of, **others)


def test_a_healthy_run_has_converged():
    assert doubts() == []
    assert find_doubts({"energy": 2.0, "energy_error": 1e-4, "stop_reason": "time_limit"}, 1e-3) == []


@pytest.mark.parametrize(
    ("changes", "cause", "words"),
    [
        ({"stop_reason": "failed", "stop_explanation": "5 repairs"}, "failure", "training failed (5 repairs)"),
        ({"stop_reason": "interrupted"}, "training", "training was interrupted"),
        ({"energy": None, "energy_error": None}, "failure", "no sample"),
        ({"blocking_criteria": ["slope", "variance"]}, "training", "blocked by slope, variance"),
        ({"in_equilibrium": False, "energy_error": None}, "sampling", "had not reached equilibrium"),
        (
            {"r_hat": 2.66, "is_mixed": False, "energy_error": None, "deviation_in_sigma": None},
            "sampling",
            "(R-hat 2.66)",
        ),
        ({"r_hat": None, "is_mixed": False, "energy_error": None}, "sampling", "have not mixed"),
        ({"r_hat": 2.4e31, "is_mixed": False}, "sampling", "(R-hat 2.4e+31)"),
        ({"r_hat": None, "energy_error": None}, "sampling", "the error of the energy is unknown"),
        ({"non_finite_share": 0.012}, "wave_function", "1.2 % of the samples"),
        ({"energy_error": 0.72}, "precision", "720 times the target error"),
        ({"variance": 6.25}, "wave_function", "scatters by 23 %"),
        ({"energy": 10.95, "deviation_in_sigma": 344.6}, "training", "344.6 standard errors above"),
        ({"energy": 10.85, "deviation_in_sigma": -243.6}, "sampling", "243.6 standard errors below"),
    ],
)
def test_each_reason_is_named_by_itself(changes, cause, words):
    (found,) = doubts(changes)
    assert found.cause == cause
    assert words in found.reason
    assert "\n" not in found.reason


def test_early_stopping_that_has_stopped_blocks_nothing():
    assert doubts({"stop_reason": "early_stopping", "blocking_criteria": ["variance"]}) == []


def test_above_the_reference_by_less_than_asked_for_is_good_enough():
    near = {"energy": 10.8919, "energy_error": 1e-4, "deviation_in_sigma": 4.7}
    assert doubts(near) == []
    assert is_above_reference(near) and not is_above_reference(HEALTHY) and not is_above_reference({})


def test_an_energy_that_still_falls():
    (found,) = doubts(of=energies(fall=0.02, last=1 / 3))
    assert "still fell, by 0.0" in found.reason and "134 iterations" in found.reason
    assert doubts(of=energies(fall=0.02, last=1 / 3), changes={"energy_error": 0.01, "deviation_in_sigma": 0.0}) != []
    assert doubts(of=energies(fall=-0.02, last=1 / 3)) == []


def test_a_fall_that_has_ended_is_no_fall():
    fallen = np.concatenate([np.linspace(60.0, 10.9, 200), energies(n_iterations=200)])
    assert doubts(of=fallen) == []


def test_noise_and_spikes_are_no_trend():
    """Of 200 flat series at most 2 may pass for falling, as the interval holds the slope in 99 %."""
    random = np.random.default_rng(1)
    flat = [10.9 + 0.05 * random.standard_t(2, size=300) for _ in range(200)]
    assert sum(bool(doubts(of=series)) for series in flat) <= 2


def test_few_iterations_say_nothing():
    (found,) = doubts(of=energies(n_iterations=5))
    assert "too few iterations (5)" in found.reason
    assert doubts(of=np.append(energies(), np.nan)) == []


def test_doubts_from_elsewhere_are_reasons_too():
    other = Doubt("sampling", "a well was never visited")
    assert doubts(others=[other]) == [other]
    assert doubts({"stop_reason": "failed"}, others=[other])[1:] == [other]


def test_the_verdict_in_words_stands_first_in_the_table():
    assert verdict_text({}) is None
    assert "Verdict" not in result_table(HEALTHY)
    assert verdict_text({"converged": True, "not_converged_because": []}) == "converged"
    bad = {"converged": False, "not_converged_because": ["it is hot", "it is late"]}
    table = result_table(HEALTHY | bad, ascii_only=True, styled=False)
    assert table.splitlines()[1].startswith("| Verdict")
    assert "not converged: it is hot; it is late" in table
    assert verdict_text({"converged": False}) == "not converged"
