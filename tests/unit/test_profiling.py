"""The profile counts what an iteration really calls, and leaves the training as it was."""

from __future__ import annotations

import math
from contextlib import nullcontext
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from tf_nqs.analysis.profile import WHOLE, WORDS
from tf_nqs.ansatz import FermionAnsatz
from tf_nqs.experiment.profiling import (
    PHASES,
    _seconds_of_iterations,
    enough_iterations,
    profile_iterations,
    profile_run,
)
from tf_nqs.physics import TrappedFermions
from tf_nqs.sampling import MetropolisHastings, ReusePolicy
from tf_nqs.training import VariationalMonteCarlo, make_optimizer

N = 6


def make_vmc(optimizer, policy=None):
    keras.utils.set_random_seed(0)
    sampler = MetropolisHastings(n_walkers=16, n_steps=1, n_burn_in=2)
    vmc = VariationalMonteCarlo(FermionAnsatz(2, 4, 1), TrappedFermions(2), sampler, reuse=policy)
    vmc.compile(**make_optimizer(optimizer), jit_compile=False)
    vmc.fit(3)
    return vmc


def test_the_whole_iteration_counts_samplings_that_few_calls_make(monkeypatch):
    clock = iter([0.0, 1.0, 1.0, 2.0, 2.0, 12.0])  # three calls of four iterations; the last one samples
    monkeypatch.setattr("tf_nqs.experiment.profiling.time.perf_counter", lambda: next(clock))

    class Trainer:
        def fit(self, n_iterations, callbacks):
            for call in range(3):
                callbacks[0].on_epoch_begin(call)
                callbacks[0].on_epoch_end(call)

        def recent_iterations(self):
            return {}

    assert _seconds_of_iterations(Trainer(), 12) == 1.0


@pytest.mark.parametrize(
    ("optimizer", "policy", "n_samplings", "n_forwards"),
    [
        ("adam", None, N, 0),
        # Samples that were drawn in the first of three iterations serve for 4: new ones in the 2nd and 6th from here.
        (
            "spring",
            ReusePolicy("guarded", 1.0, 4, 4, least_effective_fraction=0.0, largest_weight=1e9, largest_fall=1e9),
            2,
            N + 2,
        ),
    ],
    ids=["adam", "spring, re-weighted"],
)
def test_calls_are_those_of_the_iterations(optimizer, policy, n_samplings, n_forwards):
    vmc = make_vmc(optimizer, policy)
    variables = [*vmc.variables, *vmc.optimizer.variables]
    before, attributes = [variable.numpy() for variable in variables], dict(vars(vmc))
    rows = {row.phase: row for row in profile_iterations(vmc, N)}
    expected = {"sampling": n_samplings, "forward": n_forwards, "local_energy": N, "gradient": N, "update": N, WHOLE: N}
    assert {phase: row.n_calls for phase, row in rows.items()} == expected
    assert list(rows) == list(WORDS) == [*PHASES, WHOLE]
    for row in rows.values():
        assert row.seconds_per_call > 0
        assert row.seconds_per_iteration == pytest.approx(row.seconds_per_call * row.n_calls / N)
    assert sum(row.share for row in rows.values() if row.phase != WHOLE) == pytest.approx(1)
    assert math.isnan(rows[WHOLE].share)
    for variable, value in zip(variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)
    assert vars(vmc).keys() == attributes.keys()
    for name in ("phases", "train_function", "stop_reason"):
        assert getattr(vmc, name) is attributes[name]
    assert not vmc.run_eagerly


def test_samples_that_serve_longer_than_the_profile(monkeypatch):
    """Sampling takes no time of these iterations, and a call of it takes its own time, not that of a forward pass."""
    seconds = {"sampling": [], "forward": [], "update": []}
    clock, called = [0.0], []

    def call(name, duration):
        called.append(name)
        clock[0] += duration

    trainer = SimpleNamespace(
        fit=lambda n_iterations: seconds["forward"].extend([5.0] * n_iterations),
        walkers=SimpleNamespace(positions=None),
        phases=SimpleNamespace(sample=lambda walkers: call("sampling", 3.0)),
        rehearsal=lambda: nullcontext(lambda: None),
    )
    monkeypatch.setattr("tf_nqs.experiment.profiling._stopwatches", lambda vmc: nullcontext(seconds))
    monkeypatch.setattr("tf_nqs.experiment.profiling._seconds_of_iterations", lambda vmc, n_iterations: 6.0)
    monkeypatch.setattr("tf_nqs.experiment.profiling.time.perf_counter", lambda: clock[0])
    sampling, forward, update, _ = profile_iterations(trainer, N)
    assert sampling == ("sampling", 3.0, 0, 0.0, 0.0) and len(called) > 1
    assert forward == ("forward", 5.0, N, 5.0, 1.0)
    assert math.isnan(update.seconds_per_call) and update[2:] == (0, 0.0, 0.0)  # not to be called on its own


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (ReusePolicy("every_iteration", longest_wait=900), 100),
        (ReusePolicy("thesis", longest_wait=25), 100),
        (ReusePolicy("thesis", longest_wait=100), 300),
        (ReusePolicy("guarded", longest_wait=10_000), 1500),
    ],
)
def test_enough_iterations_to_see_samplings(policy, expected):
    never = policy.resampling == "every_iteration"
    vmc = SimpleNamespace(reuse=SimpleNamespace(policy=policy, never_reuses=never))
    assert enough_iterations(vmc) == expected


@pytest.mark.slow
def test_a_profile_in_between_changes_nothing(tmp_path, messages):
    profiled, plain = make_vmc("adam"), make_vmc("adam")
    profile_run(profiled, tmp_path, "a title", n_iterations=2)
    assert {path.name for path in tmp_path.iterdir()} == {"profile.csv", "profile.png"}
    assert "Time profile of 2 iterations" in messages[-1]
    for vmc in (profiled, plain):
        vmc.fit(3)
    for one, other in zip(profiled.variables, plain.variables, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())


def test_number_of_iterations():
    with pytest.raises(ValueError, match="n_iterations = 0"):
        profile_iterations(None, 0)
