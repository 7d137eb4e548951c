"""Energies by diffusion against closed forms, and the statistics that they are made of."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from benchmarks import diffusion
from tf_nqs.callbacks import save_weights
from tf_nqs.config import settings_from, to_toml
from tf_nqs.diffusion.energy import diffusion_energy
from tf_nqs.diffusion.extrapolation import TimeStepEnergy, blocked_error, extrapolated, growth_corrected_mean
from tf_nqs.diffusion.guides import Stiffness, free_fermion_guide, free_fermion_positions
from tf_nqs.diffusion.observables import look_at, observed_by
from tf_nqs.diffusion.time_step import (
    PER_CALL,
    ROW_LENGTH,
    Walk,
    compiled_generations,
    forward_time,
    n_steps,
    time_per_call,
)
from tf_nqs.diffusion.walk import GuideValues
from tf_nqs.experiment.build import build_ansatz
from tf_nqs.physics import TrappedFermions


def start(n_particles, n_walkers):
    return 1.2 * tf.random.stateless_normal((n_walkers, n_particles), (0, 1), dtype=tf.float64)


KAPPA, OMEGA = 0.3, np.sqrt(1.9)
"""Stiffness of three springs, and the frequency of the internal motion."""


@pytest.fixture(scope="module")
def measured():
    """Three particles bound by springs, from a guide that knows nothing of them."""
    system = TrappedFermions(3, 0.0, pair_potential=lambda r: 0.5 * KAPPA * r**2)
    look = look_at(system, start(3, 256))
    results = diffusion_energy(
        free_fermion_guide(system), start(3, 256), (0.08, 0.04), 5e-3, max_seconds=900.0, seed=7, observe=look
    )
    return 0.5 + OMEGA * 4, look, *results


def test_forward_walking_gives_what_the_walkers_themselves_do_not(measured):
    """Exact: a Gaussian of stiffness Omega. The walkers are distributed halfway between it and that of the guide."""
    _, look, *_, mixed, forward = measured
    found, walkers = observed_by(look, forward), observed_by(look, mixed)
    square = 0.5 + 4 / OMEGA  # of all particles
    x = free_fermion_positions(20_000, 3, Stiffness(OMEGA, 1.0), seed=5)
    distance = np.mean([x[:, 1] - x[:, 0], x[:, 2] - x[:, 1], x[:, 2] - x[:, 0]])
    exact = {
        "rms_size": np.sqrt(square / 3),
        "trap": square / 2,
        "interaction": KAPPA / 2 * 3 * 4 / OMEGA,
        "pair_distance": distance,
    }
    for name, value in exact.items():
        one, mixed_one = getattr(found, name), getattr(walkers, name)
        assert abs(one.value - value) < 3.5 * one.error < 0.05 * value, name
        assert abs(mixed_one.value - value) > 5 * mixed_one.error, name
    spacing = found.x[1] - found.x[0]
    assert spacing * found.density.value.sum() == pytest.approx(3, abs=1e-3)
    expected = np.histogram(x, bins=len(found.x), range=(-look.edge, look.edge))[0] / (len(x) * spacing)
    expected = 0.5 * (expected + expected[::-1])
    is_dense = expected > 0.05
    pulls = (found.density.value - expected)[is_dense] / found.density.error[is_dense]
    assert np.sqrt(np.mean(pulls**2)) < 1.5
    too_wide = (walkers.density.value - expected)[is_dense] / walkers.density.error[is_dense]
    assert np.sqrt(np.mean(too_wide**2)) > 3


@pytest.mark.parametrize("time_step", [0.4, 0.3, 0.2, 0.08, 0.04, 0.03, 0.02, 0.01, 0.005])
def test_the_time_of_forward_walking_hardly_depends_on_the_time_step(time_step):
    assert forward_time(time_step) == pytest.approx(4, abs=0.5 * time_per_call(time_step) + 1e-9)
    assert 2.9 < forward_time(time_step) < 4.6


@pytest.mark.parametrize(("time_step", "expected"), [(1.0, 10), (0.04, 20), (0.005, 200), (0.001, 200), (1e-4, 200)])
def test_the_number_of_steps_in_a_call_is_bounded(time_step, expected):
    assert PER_CALL * n_steps(time_step) == expected
    assert time_per_call(time_step) == pytest.approx(expected * time_step)


def test_a_poor_guide_gives_the_exact_energy(measured):
    exact, _, energy, error, *_ = measured
    assert error <= 5e-3 and abs(energy - exact) < 3 * error


def test_a_time_step_without_extrapolation_is_above(measured):
    """Or the extrapolation would have nothing to do."""
    exact, _, _, _, results, *_ = measured
    assert results[0].energy - exact > 5 * results[0].energy_error
    assert 0.3 < (results[1].energy - exact) / (results[0].energy - exact) < 0.8


def advance(walk, imaginary_time):
    """Continues a walk until some imaginary time in 1/omega is counted; the equilibration comes before."""
    while walk.counted_time < imaginary_time:
        walk.advance_once()


def test_few_walkers_have_no_population_bias():
    """Eight of them: without the growth put back their energy would be above by more than three errors."""
    kappa = 0.3
    system = TrappedFermions(3, 0.0, pair_potential=lambda r: 0.5 * kappa * r**2)
    walk = Walk(free_fermion_guide(system), start(3, 8), 0.04, seed=3)
    advance(walk, 900 * 0.8)
    energies, log_growths, *_ = walk.counted
    corrected, error = growth_corrected_mean(energies, log_growths, round(8 / 0.08))
    plain = energies.mean()
    assert plain - corrected > 3 * blocked_error(energies - plain)
    guide = free_fermion_guide(system)
    reference = Walk(guide, start(3, 512), 0.04, seed=4, generations=compiled_generations(guide, jit_compile=False))
    advance(reference, 24.0)
    many = reference.result()
    assert abs(corrected - many.energy) < 4 * np.hypot(error, many.energy_error)


@pytest.mark.parametrize("outlier", [5200.0 * 64, -1e7, np.inf, -np.inf, np.nan])
def test_a_walker_with_a_huge_energy_leaves_the_trial_energy_to_the_others(outlier):
    """A mean would be far from all of them: all would grow by the same bound, or none would be left."""
    energies = np.linspace(7.0, 9.0, 64)
    energies[5] = outlier
    asked = []

    def guide(positions):
        return GuideValues(positions[:, 0], positions, tf.constant(energies))

    def generations(population, trial_energy, *_):
        asked.append(float(trial_energy))
        return population, tf.fill((PER_CALL, ROW_LENGTH), tf.constant(8.5, tf.float64))

    first = Walk(guide, start(2, 64), 0.05, seed=1, generations=generations)
    first.advance_once()
    continued = Walk(guide, start(2, 64), 0.05, seed=1, generations=generations, state=first.state)
    for _ in range(6):
        continued.advance_once()
    assert asked[0] == pytest.approx(8.0, abs=0.05) and asked[1:6] == 5 * asked[:1]
    assert asked[6] == 8.5  # after the equilibration it is that of the last generations, and stays


def test_the_error_of_a_correlated_series():
    """An autoregressive series has sqrt((1 + rho)/(1 - rho)) times the error of an uncorrelated one."""
    random, rho, n = np.random.default_rng(0), 0.9, 2**15
    series = np.zeros(n)
    for index in range(1, n):
        series[index] = rho * series[index - 1] + random.normal()
    exact = np.sqrt((1 + rho) / (1 - rho) / (1 - rho**2) / n)
    assert blocked_error(series - series.mean()) == pytest.approx(exact, rel=0.25)


def test_extrapolation_is_the_line_through_two_points():
    results = [TimeStepEnergy(step, 3.0 + 0.5 * step, error, 1, 1.0, 1.0) for step, error in ((0.1, 0.02), (0.3, 0.01))]
    energy, error = extrapolated(results)
    assert energy == pytest.approx(3.0) and error == pytest.approx(np.hypot(1.5 * 0.02, 0.5 * 0.01))


@pytest.mark.parametrize("error", [1e-3, 1.0])
def test_three_points_lie_on_a_parabola(error):
    """However large their errors: to leave the curvature out because it is hidden would make a biased line exact."""
    results = [TimeStepEnergy(step, 3.0 + step**2, error, 1, 1.0, 1.0) for step in (0.1, 0.2, 0.4)]
    energy, found = extrapolated(results)
    assert energy == pytest.approx(3.0)
    lagrange = np.array([8 / 3, -2, 1 / 3])  # weights of the points at zero
    assert found == pytest.approx(error * np.linalg.norm(lagrange))


def test_the_error_of_the_fit_is_the_spread_of_its_constant():
    random, steps, errors = (
        np.random.default_rng(4),
        np.array([0.04, 0.02, 0.01, 0.005]),
        np.array([1.0, 1.5, 2.0, 1.2]),
    )
    found = []
    for noise in random.normal(size=(500, 4)) * errors:
        points = zip(steps, 5 - steps + 20 * steps**2 + noise, errors, strict=True)
        found.append(extrapolated([TimeStepEnergy(*point, 1, 1.0, 1.0) for point in points]))
    energies, fit_errors = np.transpose(found)
    assert fit_errors[0] == pytest.approx(energies.std(), rel=0.12)
    assert abs(energies.mean() - 5) < 4 * fit_errors[0] / np.sqrt(500)


def test_an_energy_without_an_error_gives_a_result_without_one():
    results = [TimeStepEnergy(step, 3.0 + step, error, 1, 1.0, 1.0) for step, error in ((0.5, np.inf), (1.0, 0.1))]
    energy, error = extrapolated(results)
    assert energy == pytest.approx(3.0) and error == np.inf


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"time_steps": (0.1,)}, r"^time_steps = \(0.1,\): must be two or more different numbers from 0.0001 to 1$"),
        ({"time_steps": (0.1, 9e-5)}, "^time_steps = "),
        ({"time_steps": (0.1, -0.2)}, "^time_steps = "),
        ({"time_steps": (0.1, 0.1, 0.2)}, "^time_steps = "),  # a parabola through two places has any constant
        ({"positions": np.zeros((31, 2))}, "^n_walkers = 31: must be at least 32$"),
        ({"target_error": 0.0}, "^target_error = 0.0: must be above 0 and finite$"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    guide = free_fermion_guide(TrappedFermions(2, 0.0))
    with pytest.raises(ValueError, match=message):
        diffusion_energy(**{"guide": guide, "positions": np.zeros((64, 2))} | arguments)


@pytest.mark.slow
def test_errors_are_what_deviations_are_like():
    """Forty short independent runs to a target; the limits of the rms are far from what chance does to it."""
    found = diffusion.short_runs("harmonic_a3", 40)
    assert diffusion.RMS[0] <= np.sqrt(np.mean(found.pulls**2)) <= diffusion.RMS[1]
    assert abs(found.pulls.mean()) < 4 / np.sqrt(40)
    assert 5 < np.sum(found.n_looks > found.n_looks.min()) < 35  # the target ends some and lets others go on


@pytest.mark.slow
def test_the_cost_of_a_step_is_compared_with_that_of_metropolis(tmp_path):
    settings = settings_from(None, {**diffusion.SYSTEMS["harmonic_a3"], "ansatz": "jastrow"})
    folder = tmp_path / "harmonic_a3"
    folder.mkdir()
    (folder / "config.toml").write_text(to_toml(settings), encoding="utf-8")
    save_weights(build_ansatz(settings), folder / "ansatz.weights.h5")
    name, *numbers = diffusion.cost("harmonic_a3", str(tmp_path), 64, n_steps=3)
    assert name == "harmonic_a3" and len(numbers) == 3 and all(float(number) > 0 for number in numbers)
