"""Early stopping of a family: it acts although systems drift, names those that block, and is resumed bit by bit."""

from __future__ import annotations

import csv
from types import SimpleNamespace

import numpy as np
import pytest

from tf_nqs.analysis import StatisticalCriterion, ThesisCriterion
from tf_nqs.analysis.conditions import scaled_deviations
from tf_nqs.callbacks import EnergyEarlyStopping, FamilyEarlyStopping
from tf_nqs.storage import checkpoints
from tf_nqs.training.vmc import VariationalMonteCarlo

STRENGTHS = np.array([-18.0, 0.0, 18.0])


class Model(SimpleNamespace):
    """A trainer without training: it can be told to stop."""

    stop, continue_training = VariationalMonteCarlo.stop, VariationalMonteCarlo.continue_training


def trainer(callback):
    model = Model(stop_training=False, stop_reason="iterations")
    callback.set_model(model)
    return model


def call(callback, systems, first, last):
    """One call: these of the iterations of some systems."""
    rows = {name: values[first:last] for name, values in systems.items()}
    callback.model.recent_conditions = lambda: rows
    means = {name: rows[name].mean(axis=1) for name in ("energy", "variance")}
    callback.on_iterations({"iteration": np.arange(first + 1.0, last + 1), **means})


def train(callback, systems, n_iterations, length=7):
    """Calls until it stops; returns the number of iterations."""
    trainer(callback)
    callback.on_train_begin()
    for first in range(0, n_iterations, length):
        if callback.model.stop_training:
            return first
        call(callback, systems, first, min(first + length, n_iterations))
    return n_iterations


def drifting(n_iterations, start=(0.05, 0.05, 0.05), seed=0):
    """Systems whose strengths wander, so that their energies do; their deviations fall from some start to 0.01."""
    rng, time = np.random.default_rng(seed), np.arange(n_iterations)[:, None]
    strength = STRENGTHS + np.cumsum(rng.normal(0, 0.3, (n_iterations, 3)), axis=0)
    energy = 8.0 + strength
    deviation = 0.01 + (np.array(start) - 0.01) * np.exp(-time / 15) + rng.normal(0, 2e-4, energy.shape)
    return {
        "n_particles": np.full_like(strength, 4.0),
        "interaction_strength": strength,
        "interaction_range": np.full_like(strength, 0.5),
        "energy": energy,
        "variance": (deviation * np.maximum(np.abs(energy), 1.0)) ** 2,
    }


def test_deviations_are_scaled_by_energies():
    found = scaled_deviations(
        np.array([-50.0, 0.0, 0.5, 8.0, np.nan, np.inf]), np.array([4.0, 4.0, 4.0, 16.0, 1.0, np.inf])
    )
    np.testing.assert_array_equal(found, [0.04, 2.0, 2.0, 0.5, np.nan, np.nan])


def test_it_stops_where_the_mean_energy_does_not():
    """The systems wander for ever, so the mean energy never settles; the deviations have after some 60 iterations."""
    systems, criterion = drifting(400), StatisticalCriterion(1e-3)
    energies = EnergyEarlyStopping(20, criterion)
    assert train(energies, systems, 400) == 400 and energies.blocking_criteria
    stopping = FamilyEarlyStopping(20, criterion)
    assert 60 < train(stopping, systems, 400) < 300
    assert stopping.model.stop_reason == "early_stopping" and not stopping.blocking_criteria
    assert stopping.explanation().startswith("converged at iteration ")
    assert "the mean scaled deviation is 1.0e-02, largest at A = 4, V0 = " in stopping.explanation()
    assert "fell most" not in stopping.explanation()


def test_it_says_which_systems_block():
    """Of three systems one is far off, and alone falls."""
    stopping = FamilyEarlyStopping(20, StatisticalCriterion(1e-3))
    systems = drifting(40, start=(0.01, 0.01, 0.9))
    assert train(stopping, systems, 40) == 40
    worst, deviations = (
        systems["interaction_strength"][20:, 2].mean(),
        scaled_deviations(systems["energy"], systems["variance"]).reshape(2, 20, 3).mean(axis=1),
    )
    place, text = f"A = 4, V0 = {worst:.3g}, sigma0 = 0.5", stopping.explanation()
    assert text.startswith("not converged: slope ")
    assert (
        f"; the mean scaled deviation is {deviations[1].mean():.1e}, largest at {place} ({deviations[1, 2]:.1e}); "
        in text
    )
    assert f"; in the last window it fell most at {place} ({deviations[0, 2] - deviations[1, 2]:.1e})" in text
    named = FamilyEarlyStopping(20, interaction="coth")
    train(named, systems, 40)
    assert f"largest at A = 4, c = {worst:.3g} (" in named.explanation()


def test_windows_hold_energies_and_checks_of_deviations(tmp_path, messages):
    criterion = ThesisCriterion(*[1e9] * 5)
    systems = drifting(40)
    train(FamilyEarlyStopping(20, criterion, tmp_path), systems, 40)
    with open(tmp_path / "windows.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    deviations = scaled_deviations(systems["energy"], systems["variance"]).mean(axis=1).reshape(2, 20)
    squares = (systems["variance"] / np.maximum(np.abs(systems["energy"]), 1) ** 2)[20:].mean()
    expected = systems["energy"].reshape(2, 60).mean(axis=1)
    np.testing.assert_allclose([float(row["energy"]) for row in rows], expected)
    assert float(rows[1]["mean_difference"]) == pytest.approx(abs(np.diff(deviations.mean(axis=1))[0]))
    assert float(rows[1]["variance"]) == pytest.approx(squares)
    assert ", mean scaled deviation " in messages[1]


@pytest.mark.parametrize("at", [7, 21, 28, 49])
def test_it_is_resumed_bit_by_bit(at, tmp_path):
    """In a window and after some: the same file, state and explanation."""
    systems = drifting(63, start=(0.3, 0.02, 0.9))
    whole, broken = (FamilyEarlyStopping(20, folder=tmp_path / name) for name in ("whole", "broken"))
    for callback in (whole, broken):
        callback.path.parent.mkdir()
    train(whole, systems, 63)
    train(broken, systems, at)
    written, read = checkpoints._Facts(broken.get_state()), checkpoints._Facts()
    read.deserialize(written.serialize())
    resumed = FamilyEarlyStopping(20, folder=tmp_path / "broken")
    trainer(resumed)
    resumed.resume(read.facts)
    resumed.on_train_begin()
    for first in range(at, 63, 7):
        call(resumed, systems, first, first + 7)
    assert resumed.path.read_bytes() == whole.path.read_bytes()
    assert resumed.explanation() == whole.explanation()
    assert checkpoints._Facts(resumed.get_state()).serialize() == checkpoints._Facts(whole.get_state()).serialize()


def test_a_diverged_system_blocks_and_a_repair_forgets():
    stopping, systems = FamilyEarlyStopping(20, ThesisCriterion(*[1e9] * 5)), drifting(40)
    systems["variance"][25, 1] = np.nan
    train(stopping, systems, 40)
    assert "slope" in stopping.blocking_criteria
    assert f"largest at A = 4, V0 = {systems['interaction_strength'][20:, 1].mean():.3g}" in stopping.explanation()
    stopping.start_anew()
    assert stopping.explanation() == "early stopping judged nothing: 0 of two windows of 20 are complete"
