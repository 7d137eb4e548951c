"""Answers on hand-made outcomes: the verdict, and the numbers in the sentence."""

from __future__ import annotations

import numpy as np
import pytest

from tf_nqs.analysis.profile import WHOLE, PhaseTime
from tf_nqs.studies.figures import answers, load_runs
from tf_nqs.studies.figures.outcomes import Outcome

RUN = load_runs("laptop", "runs")["a4v10"]


def outcome(energy=10.0, error=0.01, iterations=1000, converged=True, metrics=None, profile=None, **result):
    """A run that has left these numbers."""
    given = {
        "energy": energy,
        "energy_error": error,
        "n_iterations": iterations,
        "stop_reason": "early_stopping" if converged else "iterations",
        "stop_explanation": "not converged: spread 1.0e-01 > 3.0e-02 in the last window",
        "reference_energy": 10.0,
        "reference_uncertainty": 0.0,
    }
    made = Outcome(RUN, given | result)
    # cached properties, which a run folder would fill
    vars(made).update(metrics=metrics or {}, profile=profile or {})
    return made


def times(**milliseconds):
    return {phase: PhaseTime(phase, 1e-3 * value, 100, 1e-3 * value, 0.1) for phase, value in milliseconds.items()}


def test_early_stopping_fires_or_says_what_blocks():
    assert answers.stops_early(outcome(iterations=300), outcome(iterations=900)) == (
        True,
        "It fired after 300 of 900 iterations.",
    )
    blocked = answers.stops_early(outcome(converged=False), outcome())
    assert blocked.agrees is False and "spread 1.0e-01 > 3.0e-02" in blocked.text
    assert answers.never_stops(outcome(converged=False)).agrees is True
    assert answers.never_stops(outcome()).agrees is False


@pytest.mark.parametrize(
    ("after", "agrees"), [(-0.01, True), (-0.05, False), (0.05, True)], ids=["small fall", "large fall", "rise"]
)
def test_what_is_left_after_the_stop_is_the_fall(after, agrees):
    assert answers.little_is_left(outcome(10.0), outcome(10.0 + after)).agrees is agrees


@pytest.mark.parametrize(
    ("first", "second", "agrees"),
    [
        ((300, True), (900, True), True),
        ((900, True), (300, True), False),
        ((900, True), (1000, False), True),
        ((1000, False), (900, True), False),
        ((1000, False), (1000, False), None),
    ],
)
def test_who_converges_sooner(first, second, agrees):
    first, second = (outcome(iterations=number, converged=converged) for number, converged in (first, second))
    assert answers.converges_sooner(first, second).agrees is agrees


@pytest.mark.parametrize(("energy", "agrees"), [(9.9, True), (9.99, None), (10.1, False)])
def test_lower_counts_beyond_three_errors(energy, agrees):
    answer = answers.is_lower(outcome(energy), outcome())  # combined error 0.0141
    assert answer.agrees is agrees and f"{energy - 10:+.4f} ± 0.0141" in answer.text


@pytest.mark.parametrize(
    ("energy", "error", "agrees", "words"),
    [
        (10.0, 0.01, True, "costs no accuracy"),
        (10.01, 0.001, True, "costs accuracy, though less than"),
        (10.1, 0.001, False, "costs accuracy."),
    ],
)
def test_what_freezing_costs(energy, error, agrees, words):
    answer = answers.reaches_the_minimum(outcome(energy, error), outcome(10.0, error))
    assert answer.agrees is agrees and words in answer.text


def test_time_profiles():
    plain = outcome(profile=times(sampling=30.0, gradient=2.0, update=1.0, **{WHOLE: 40.0}))
    frozen = outcome(profile=times(sampling=30.0, gradient=1.0, update=0.5, **{WHOLE: 39.0}))
    assert answers.gradient_is_shorter(frozen, plain) == (True, "1.50 ms per iteration rather than 3.00 ms.")
    assert answers.sampling_dominates(plain) == (True, "Sampling takes 30.00 ms, they 3.00 ms: 10.0 times.")
    assert answers.iteration_is_no_shorter(frozen, plain).agrees is True
    reused = outcome(n_samplings=100, profile=times(sampling=3.0, forward=4.0, **{WHOLE: 20.0}))
    assert answers.sampling_is_shorter(reused, plain).agrees is True
    assert "one iteration in 10.0 drew samples" in answers.sampling_is_shorter(reused, plain).text
    assert answers.iteration_is_shorter(reused, plain).text.endswith("2.00 times as fast.")
    waiting = outcome(n_samplings=2, profile=times(sampling=0.0, forward=4.0))
    assert answers.sampling_is_shorter(waiting, plain).agrees is None
    assert "in the profile after it, no iteration drew any" in answers.sampling_is_shorter(waiting, plain).text


def test_waits_grow():
    # 100 iterations: every second one samples at first, every fifth in the last tenth
    sampled = np.array([1, 0] * 5 + [1] * 80 + [1, 0, 0, 0, 0] * 2)
    answer = answers.waits_grow(outcome(metrics={"sampled": sampled}))
    assert answer.agrees is True  # and no boolean of NumPy, which the report would find in no group
    assert answer.text == "On average 2.0 iterations in the first tenth of training, 5.0 in the last."
    assert answers.waits_grow(outcome(metrics={"sampled": sampled[::-1]})).agrees is False


def test_noise_is_that_of_the_last_iterations():
    alternating = np.tile([1.0, -1.0], 250)
    quiet, noisy = (
        outcome(metrics={"energy": np.concatenate([np.full(50, 99.0), scale * alternating])}) for scale in (0.1, 0.3)
    )
    assert answers.is_less_noisy(quiet, noisy) == (
        True,
        "In the last 500 iterations the energies spread by 0.1 rather than 0.3.",
    )
    assert answers.is_less_noisy(noisy, quiet).agrees is False


def with_dips(n_dips, of):
    """A run whose first energies are half a unit, five of their errors, below the ground state."""
    energy = np.where(np.arange(of) < n_dips, 9.5, 10.1)
    return outcome(iterations=of, metrics={"energy": energy, "energy_error": np.full(of, 0.1)})


def test_dips_count_beyond_four_errors_below_the_ground_state():
    metrics = {"energy": np.array([10.1, 9.55, 9.65, 9.0]), "energy_error": np.full(4, 0.1)}
    text = answers.dips_below(outcome(iterations=4, metrics=metrics), with_dips(0, 4)).text
    assert "2 of 4 iterations are more than 4 of their errors below" in text
    assert "The deepest is 1.000 ħω below it, 10.0 of its errors." in text


@pytest.mark.parametrize(
    ("reusing", "fresh", "agrees"),
    [
        ((2, 5000), (0, 2250), None),
        ((8, 1000), (0, 1000), None),  # 8 of sqrt(8)
        ((10, 1000), (0, 1000), True),
        ((40, 1000), (20, 1000), None),  # 20 of sqrt(60)
        ((60, 1000), (20, 1000), True),  # 40 of sqrt(80)
        ((60, 6000), (20, 1000), None),  # 0.010 of 0.0047: the shares count, not the numbers
        ((0, 1000), (10, 1000), False),
        ((0, 1000), (0, 1000), None),
    ],
)
def test_more_dips_count_beyond_three_poisson_errors(reusing, fresh, agrees):
    runs = with_dips(*reusing), with_dips(*fresh)
    answer = answers.dips_below(*runs)
    assert answer.agrees is agrees and ("too few to decide" in answer.text) == (agrees is None)
    stale = answers.dips_without_staleness(*runs)
    assert stale.agrees is (False if agrees else None)
    assert stale.text.startswith("No run here keeps stale values, so their effect itself is not tested")
    assert ("there are spikes all the same" in stale.text) == bool(agrees)


@pytest.mark.parametrize(
    ("guarded", "unguarded", "agrees"),
    [
        ((1, 2250), (2, 5000), None),
        ((0, 1000), (8, 1000), None),  # half of 8, of half of sqrt(8)
        ((0, 1000), (10, 1000), True),
        ((10, 1000), (40, 1000), None),  # 10 of sqrt(10 + 40/4)
        ((10, 1000), (60, 1000), True),  # 20 of 5
        ((100, 1000), (100, 1000), False),
        ((0, 1000), (0, 1000), None),
        ((20, 1000), (0, 1000), False),
    ],
)
def test_half_the_dips_count_beyond_three_poisson_errors(guarded, unguarded, agrees):
    assert answers.dips_less(with_dips(*guarded), with_dips(*unguarded)).agrees is agrees


@pytest.mark.parametrize("answer", [answers.dips_below, answers.dips_without_staleness, answers.dips_less])
@pytest.mark.parametrize("unknown", ["reference_energy", "reference_uncertainty"])
def test_without_a_reference_no_dip_is_decided(answer, unknown):
    metrics = {"energy": np.array([9.0, 10.0]), "energy_error": np.full(2, 0.1)}
    known, not_known = outcome(metrics=metrics), outcome(metrics=metrics, **{unknown: None})
    assert answer(known, known) is not answers.NO_GROUND_STATE
    assert answer(known, not_known) is answer(not_known, known) is answers.NO_GROUND_STATE


def test_all_techniques_together():
    frozen = outcome(10.1, n_trainable_parameters=264, seconds_training=10.0)
    free = outcome(10.0, n_trainable_parameters=8712, seconds_training=100.0)
    answer = answers.is_higher_with_fewer_parameters(frozen, free)
    assert answer.agrees is True and "264 of 8712 parameters were trained, 96.97 % fewer" in answer.text
    shorter = answers.training_is_shorter(frozen, free, outcome(seconds_training=40.0))
    assert shorter == (True, "10 s rather than 100 s, 10.0 times shorter; with the stages before it, 50 s, 2.0 times.")
