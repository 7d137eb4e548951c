"""Early stopping and the best weights: windows end on calls, verdicts are written down, weights come back."""

from __future__ import annotations

import csv
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from tf_nqs.analysis import StatisticalCriterion, ThesisCriterion, read_metrics
from tf_nqs.ansatz import FermionAnsatz, JastrowAnsatz
from tf_nqs.callbacks import EnergyEarlyStopping, IterationCallback, RestoreBestWeights, WindowCallback
from tf_nqs.physics.hamiltonian import TrappedFermions
from tf_nqs.sampling.metropolis import MetropolisHastings
from tf_nqs.storage import checkpoints
from tf_nqs.training.iterations import call_lengths
from tf_nqs.training.vmc import VariationalMonteCarlo

ANYTHING = ThesisCriterion(*[1e9] * 5, n_successes=2)
"""Passes every window."""

LOOSE = ThesisCriterion(1.0, 1.0, 0.5, 1.0, 1.0, n_successes=2, n_failures=1)
"""Blocked by energies that are 1 apart, and by nothing else here."""


class Weights:
    """Stands for the ansatz: its weights are the number of the last iteration."""

    def get_weights(self):
        return [np.array(self.value)]

    def set_weights(self, weights):
        self.value = float(weights[0])


class Model(SimpleNamespace):
    """A trainer without training: it can be told to stop."""

    stop, continue_training = VariationalMonteCarlo.stop, VariationalMonteCarlo.continue_training


class Training:
    """Stands for the trainer: the test names every energy; windows need not end on calls."""

    def __init__(self, *callbacks):
        self.callbacks = callbacks
        self.model = Model(stop_training=False, stop_reason="iterations", ansatz=Weights())
        self.model.recent_iterations = lambda: self.rows
        self.n_done = 0
        for callback in callbacks:
            callback.set_model(self.model)
            callback.on_train_begin()

    def call(self, energies, variance=0.25):
        """One call: an energy per iteration."""
        iterations = np.arange(self.n_done + 1, self.n_done + len(energies) + 1, dtype=float)
        self.n_done += len(energies)
        self.model.ansatz.value = float(self.n_done)
        self.rows = {
            "iteration": iterations,
            "energy": np.array(energies, float),
            "variance": np.full(len(energies), variance),
        }
        for callback in self.callbacks:
            callback.on_epoch_end(0)

    def end(self):
        for callback in self.callbacks:
            callback.on_train_end()
        return self.model


class Windows(WindowCallback):
    """Keeps the windows, and what the model was like at each of them."""

    def __init__(self, window):
        super().__init__(window)
        self.seen = []
        self.weights = []

    def on_window(self, window):
        self.seen.append(window)
        self.weights.append(self.model.ansatz.get_weights())


class Calls(IterationCallback):
    """Keeps the lengths of the calls."""

    def __init__(self):
        super().__init__()
        self.lengths = []

    def on_iterations(self, rows):
        self.lengths.append(len(rows["iteration"]))


@pytest.fixture(scope="module")
def vmc():
    """A small trainer of two particles, seven iterations per call; it is trained on and on."""
    keras.utils.set_random_seed(0)
    sampler = MetropolisHastings(n_walkers=32, n_steps=1, n_burn_in=5)
    vmc = VariationalMonteCarlo(FermionAnsatz(2, 4, 1), TrappedFermions(2), sampler, iterations_per_call=7)
    vmc.compile(keras.optimizers.Adam(1e-2), jit_compile=False)
    return vmc


# Calls and windows


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((25, 10), [10, 10, 5]),
        ((20, 10), [10, 10]),
        ((3, 10), [3]),
        ((25, 10, {12}), [10, 2, 10, 2, 1]),
        ((20, 7, {10}), [7, 3, 7, 3]),
        ((20, 100, {10, 4}), [4, 4, 2, 2, 4, 4]),
        ((20, 10, {100}), [10, 10]),
        ((20, 10, {5}), [5, 5, 5, 5]),
    ],
)
def test_call_lengths(arguments, expected):
    assert call_lengths(*arguments) == expected


def test_windows_that_straddle_calls():
    """Also where nobody cuts the calls: every iteration is in one window, in order."""
    training = Training(windows := Windows(5))
    energies = np.arange(17.0)
    for piece in np.split(energies, [3, 4, 14]):
        training.call(piece)
    np.testing.assert_array_equal([window.energies for window in windows.seen], energies[:15].reshape(3, 5))
    assert [(one.first_iteration, one.last_iteration) for one in windows.seen] == [(1, 5), (6, 10), (11, 15)]
    np.testing.assert_array_equal(windows.incomplete_window().energies, [15.0, 16.0])


def test_a_new_fit_forgets_the_incomplete_window():
    training = Training(windows := Windows(5))
    training.call([1.0] * 3)
    windows.on_train_begin()
    training.call([2.0] * 4)
    assert windows.seen == []
    assert windows.incomplete_window().energy == 2.0


def test_fit_ends_calls_with_windows(vmc):
    """And the model then is as the window's last iteration left it."""
    before = int(vmc.iteration)
    windows, calls = Windows(10), Calls()
    vmc.fit(25, callbacks=[windows, calls])
    assert calls.lengths == [7, 3, 7, 3, 5]
    assert [window.last_iteration - before for window in windows.seen] == [10, 20]
    assert any(not np.array_equal(*pair) for pair in zip(*windows.weights, strict=True))


# Early stopping


def test_a_real_training_stops_at_the_end_of_its_window(vmc, tmp_path):
    """First window no verdict, then two successes: after three windows exactly, which is no multiple of a call."""
    before = int(vmc.iteration)
    stopping = EnergyEarlyStopping(10, ANYTHING, tmp_path)
    vmc.fit(100, callbacks=[stopping])
    assert int(vmc.iteration) - before == 30
    assert vmc.stop_reason == "early_stopping"
    assert stopping.explanation().startswith(f"converged at iteration {before + 30}: slope ")
    assert stopping.blocking_criteria == []
    np.testing.assert_array_equal(read_metrics(tmp_path / "windows.csv")["iteration"] - before, [10, 20, 30])


def test_a_real_training_that_does_not_converge(vmc):
    strict = EnergyEarlyStopping(10, ThesisCriterion())
    vmc.fit(25, callbacks=[strict])
    assert vmc.stop_reason == "iterations"
    # A slope of at most 3e-7 needs energies that agree to 3e-6 within ten iterations; 32 walkers scatter by far more.
    assert "slope" in strict.blocking_criteria
    assert strict.explanation().startswith("not converged: slope ")


def test_counters_and_reset():
    """Energies 1 apart fail: one failure is forgiven, the second one resets, then two successes stop."""
    training = Training(stopping := EnergyEarlyStopping(10, LOOSE))
    found = []
    for energy in (0, 0, 1, 2, 2, 3, 3):
        training.call([energy] * 10)
        found.append(tuple(stopping.counters))
    # none, S, F, F -> reset, S, F, S
    assert found == [(0, 0), (1, 0), (1, 1), (0, 0), (1, 0), (1, 1), (2, 1)]
    assert training.model.stop_training
    assert training.model.stop_reason == "early_stopping"
    assert stopping.explanation().startswith("converged at iteration 70: ")


@pytest.mark.parametrize("criterion", [ANYTHING, ThesisCriterion(*[np.inf] * 5), StatisticalCriterion(1e9)])
def test_it_stops_no_earlier_than_it_says(criterion):
    """Three windows, five and two of ten iterations: the first one has no verdict, the others pass."""
    training = Training(stopping := EnergyEarlyStopping(10, criterion))
    while not training.model.stop_training and training.n_done < 100:
        training.call([0.0] * 10)
    assert training.n_done == stopping.earliest_iteration == {2: 30, 4: 50, 1: 20}[criterion.n_successes]


def test_nothing_is_judged_after_the_stop():
    """Where nobody cuts the calls, windows after the one that stopped do not change the verdict."""
    training = Training(stopping := EnergyEarlyStopping(10, ANYTHING))
    training.call([0.0] * 55)
    assert len(stopping.windows) == 3
    assert stopping.explanation().startswith("converged at iteration 30: ")


def test_which_criterion_blocks_is_said():
    training = Training(stopping := EnergyEarlyStopping(10, LOOSE))
    assert "0 of two windows of 10" in stopping.explanation()
    assert stopping.blocking_criteria == []
    training.call([0.0] * 10)
    assert "1 of two windows of 10" in stopping.explanation()
    for energy, variance in ((0.0, 2.0), (1.0, 2.0), (1.0, 2.0)):
        training.call([energy] * 10, variance)
    assert stopping.blocking_criteria == ["variance"]
    assert stopping.explanation() == (
        "not converged: variance 2.0e+00 > 1.0e+00 in the last window; "
        "of 3 windows were blocked 1 by mean_difference, 3 by variance"
    )
    training.call([1.0] * 10)
    assert stopping.explanation() == (
        "not converged: the last window passed, but only 1 of 2 have passed since counting began again"
    )


def test_a_new_fit_starts_anew():
    training = Training(stopping := EnergyEarlyStopping(10, ANYTHING))
    training.call([0.0] * 30)
    stopping.on_train_begin()
    assert (stopping.counters, stopping.windows, stopping.has_stopped) == ((0, 0), [], False)
    assert "judged nothing" in stopping.explanation()


@pytest.mark.parametrize("criterion", [LOOSE, StatisticalCriterion(1e9)])
def test_every_verdict_is_written(tmp_path, criterion, messages):
    """Value, threshold and verdict of each check; a window is on disk as soon as it is judged."""
    training = Training(EnergyEarlyStopping(10, criterion, tmp_path))
    for energy in (0.0, 1.0):
        training.call(energy + 1e-3 * np.random.default_rng(0).normal(size=10))
    with open(tmp_path / "windows.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    checks = criterion.checks(training.callbacks[0].windows)
    for check in checks:
        assert rows[0][check.name] == rows[0][f"{check.name}_passed"] == ""
        assert float(rows[1][check.name]) == check.value
        assert float(rows[1][f"{check.name}_threshold"]) == check.threshold
        assert rows[1][f"{check.name}_passed"] == str(int(check.passed))
    assert [row["passed"] for row in rows] == ["", str(int(all(check.passed for check in checks)))]
    assert [(row["first_iteration"], row["iteration"]) for row in rows] == [("1", "10"), ("11", "20")]
    columns = read_metrics(tmp_path / "windows.csv")
    # The window's own energies, and an error of their scatter over sqrt(10).
    np.testing.assert_allclose(columns["energy"], [0.0, 1.0], atol=2e-3)
    assert np.all((columns["energy_error"] > 1e-4) & (columns["energy_error"] < 1e-3))
    assert len(messages) == 2
    assert "no verdict on the first window" in messages[0]
    assert "window of iterations 11 to 20: energy 1.0" in messages[1]
    assert ("mean_difference 1.0e+00 > 5.0e-01 blocks" in messages[1]) == (criterion is LOOSE)
    assert ("failed 1 of at most 1" in messages[1]) == (criterion is LOOSE)


def test_energies_without_number_block():
    training = Training(stopping := EnergyEarlyStopping(10, ANYTHING))
    training.call([0.0] * 10)
    training.call([np.nan] * 10, variance=np.nan)
    assert stopping.blocking_criteria == [name for name in ANYTHING.names if name != "previous_slope"]


@pytest.mark.parametrize(("window", "criterion"), [(1, None), (9, StatisticalCriterion())])
def test_a_window_too_short_is_refused(window, criterion):
    with pytest.raises(ValueError, match=f"window = {window}: this criterion needs at least"):
        EnergyEarlyStopping(window, criterion)


def test_interrupted_before_the_first_iteration(tmp_path):
    """Ctrl-C during burn-in: `on_train_end` without `on_train_begin`."""
    stopping, best = EnergyEarlyStopping(10, folder=tmp_path), RestoreBestWeights(10)
    for callback in (stopping, best):
        callback.on_train_end()
    assert "judged nothing" in stopping.explanation()
    assert best.best_iteration is None
    assert list(tmp_path.iterdir()) == []


# The best weights


def noisy(energy, spread, length=10):
    return energy + spread * np.resize([1.0, -1.0, -1.0, 1.0], length)


@pytest.mark.parametrize(
    ("windows", "best"),
    [
        ([(3.0, 0.1), (1.0, 0.1), (2.0, 0.1)], 20),
        ([(3.0, 0.1), (2.0, 0.1), (1.0, 0.1)], 30),
        # Lower, but with an error of about 9 / sqrt(10): not known to be lower.
        ([(3.0, 0.1), (2.0, 0.1), (1.0, 9.0)], 20),
        ([(3.0, 0.1), (2.0, 0.1), (np.nan, 0.1)], 20),
    ],
)
def test_weights_of_the_best_window_come_back(windows, best):
    training = Training(callback := RestoreBestWeights(10))
    for energy, spread in windows:
        training.call(noisy(energy, spread))
    assert training.end().ansatz.value == callback.best_iteration == best
    assert training.end().ansatz.value == best  # once more: an interrupted run may call it twice


@pytest.mark.parametrize(("length", "energy", "best"), [(15, 1.0, 35), (15, 3.0, 20), (9, 1.0, 20)])
def test_the_iterations_after_the_last_window(length, energy, best):
    """They keep their weights if they are the best and not too few to say so."""
    training = Training(RestoreBestWeights(20))
    training.call(noisy(2.0, 0.1, 20))
    training.call(noisy(energy, 0.1, length))
    assert training.end().ansatz.value == best


def test_no_window_no_change():
    training = Training(RestoreBestWeights(100))
    training.call(noisy(1.0, 0.1, 9))
    assert training.end().ansatz.value == 9


def test_weights_without_axes_come_back_from_a_checkpoint():
    """Of a weight of shape () Keras returns a scalar."""
    training = Training(callback := RestoreBestWeights(10))
    training.model.ansatz = ansatz = JastrowAnsatz(2, 2, n_pair_features=2)
    ansatz.gaussian.inverse_width.assign(1.25)
    training.call(noisy(1.0, 0.1))
    written, read = checkpoints._Facts(callback.get_state()), checkpoints._Facts()
    read.deserialize(written.serialize())
    ansatz.gaussian.inverse_width.assign(2.0)
    resumed = RestoreBestWeights(10)
    resumed.set_model(training.model)
    resumed.begin(read.facts)
    resumed.on_train_end()
    assert float(ansatz.gaussian.inverse_width) == 1.25


def test_a_real_training_gets_its_weights_back(vmc):
    """After ten iterations the energy is climbed, not descended: the best window is not the last one."""
    rate = float(vmc.optimizer.learning_rate)
    windows, best = Windows(10), RestoreBestWeights(10)
    before = int(vmc.iteration)

    class Climb(IterationCallback):
        def on_iterations(self, rows):
            self.model.optimizer.learning_rate.assign(rate if rows["iteration"][-1] - before < 10 else -3 * rate)

    vmc.fit(30, callbacks=[windows, best, Climb()])
    vmc.optimizer.learning_rate.assign(rate)
    bounds = [window.energy + window.energy_error for window in windows.seen]
    index = int(np.nanargmin(bounds))
    assert index < 2
    assert best.best_iteration == windows.seen[index].last_iteration
    for restored, kept, last in zip(vmc.ansatz.get_weights(), windows.weights[index], windows.weights[-1], strict=True):
        np.testing.assert_array_equal(restored, kept)
        assert not np.array_equal(restored, last)
