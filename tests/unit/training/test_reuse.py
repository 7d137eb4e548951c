"""Re-weighting in the trainer: what a run logs follows from the policy, and a reused iteration from its formulas."""

from __future__ import annotations

from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_nqs.ansatz import FermionAnsatz
from tf_nqs.physics.hamiltonian import TrappedFermions
from tf_nqs.sampling import MetropolisHastings, ReusePolicy, SampleReason
from tf_nqs.training import NaturalGradient, VariationalMonteCarlo, make_optimizer
from tf_nqs.training.record import COLUMNS

A, N_WALKERS = 2, 64
OPTIMIZERS = {"adam": (1e-2, 5), "spring": (0.1, 3)}
"""Falling learning rates: the first samples are worn out soon, the last ones serve as long as the schedule allows."""


def make_vmc(policy, optimizer="adam", dtype="float32", compiled=None, **arguments):
    keras.utils.set_random_seed(0)
    n_layers = 2 if optimizer == "spring" else 1  # the first samples of a smaller network would not be worn out
    sampler = MetropolisHastings(N_WALKERS, n_steps=2, n_burn_in=20)
    vmc = VariationalMonteCarlo(
        FermionAnsatz(A, 4, n_layers, dtype=dtype), TrappedFermions(A, 2.0), sampler, reuse=policy, **arguments
    )
    vmc.compile(**(compiled or make_optimizer(optimizer, *OPTIMIZERS[optimizer])), jit_compile=False)
    return vmc


def rows_of(vmc, iterations):
    """The columns of some more iterations."""
    calls = []
    collect = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: calls.append(vmc.recent_iterations()))
    vmc.fit(iterations, callbacks=[collect])
    return {name: np.concatenate([call[name] for call in calls]) for name in COLUMNS}


RUNS = {
    "thesis": (ReusePolicy("thesis", longest_wait=8, cut_off=0.1), "adam"),
    "guarded": (ReusePolicy("guarded", longest_wait=20, largest_weight=1.3, largest_fall=1.0), "spring"),
}


@pytest.fixture(scope="module", params=RUNS)
def trained(request):
    """Policy, trainer and columns of 60 iterations."""
    policy, optimizer = RUNS[request.param]
    vmc = make_vmc(policy, optimizer)
    rows = rows_of(vmc, 60)
    assert int(vmc.reuse.n_samplings) == rows["sampled"].sum()  # here, as some tests train it further
    return policy, vmc, rows


def expected_reason(policy, row):
    """The rules of the policy on the numbers that a row shows."""
    rules = {
        SampleReason.NO_SAMPLES: row["iteration"] == 1,
        SampleReason.SCHEDULE: row["n_waited"] >= row["wait"],
        SampleReason.CUT_OFF: policy.resampling == "thesis" and abs(row["mean_weight"] - 1) > policy.cut_off,
    }
    if policy.resampling == "guarded":
        least = policy.least_effective_fraction * N_WALKERS
        rules[SampleReason.EFFECTIVE_SAMPLES] = row["effective_samples"] < least
        rules[SampleReason.LARGEST_WEIGHT] = row["largest_weight"] > policy.largest_weight
        rules[SampleReason.ENERGY_FALL] = row["energy_fall"] > policy.largest_fall
    return next((reason for reason, holds in rules.items() if holds), SampleReason.REUSE)


def test_every_row_follows_from_the_policy(trained):
    policy, _, rows = trained
    table = [dict(zip(rows, values, strict=True)) for values in zip(*rows.values(), strict=True)]
    assert [row["sample_reason"] for row in table] == [expected_reason(policy, row) for row in table]
    np.testing.assert_array_equal(rows["sampled"], rows["sample_reason"] != SampleReason.REUSE)
    served, error = [], 0.0  # energies of the iterations with the same samples, and the last error
    for row in table:
        assert row["n_waited"] == len(served)
        fall = (served[0] - served[-1]) / error if served else 0.0
        # 1e-3: rounding of float32 energies, in units of their error.
        assert row["energy_fall"] == pytest.approx(fall, abs=1e-3)
        served = [row["energy"]] if row["sampled"] else [*served, row["energy"]]
        if not row["sampled"]:
            assert row["energy_error"] >= error
        error = row["energy_error"]
    # Both outcomes and each kind of trigger have happened, or the test would show little.
    of_guarded = {SampleReason.LARGEST_WEIGHT, SampleReason.ENERGY_FALL}
    triggers = {SampleReason.CUT_OFF} if policy.resampling == "thesis" else of_guarded
    assert set(rows["sample_reason"]) == {0, SampleReason.NO_SAMPLES, SampleReason.SCHEDULE, *triggers}
    assert np.all(np.isfinite(np.stack(list(rows.values()))))


def test_reused_samples_are_not_moved(trained):
    """Acceptance and width are those of the sampling that the samples come from."""
    _, _, rows = trained
    reused = np.flatnonzero(rows["sampled"] == 0)
    for name in ("acceptance", "proposal_width"):
        np.testing.assert_array_equal(rows[name][reused], rows[name][reused - 1])
    drawn = np.flatnonzero(rows["sampled"])
    # Adapted once after each sampling, towards an acceptance of 1/2.
    change, excess = np.diff(rows["proposal_width"][drawn]), rows["acceptance"][drawn[:-1]] - 0.5
    np.testing.assert_array_equal(np.sign(change), np.sign(excess))
    assert np.any(change != 0)


@pytest.mark.parametrize("trained", ["guarded"], indirect=True)
def test_the_state_of_reuse_is_keras_state(trained):
    """Another trainer with the same variables goes on alike to the last bit, in calls of another length."""
    policy, vmc, _ = trained
    optimizer = RUNS[policy.resampling][1]
    other = make_vmc(policy, optimizer, iterations_per_call=3)
    is_record = [variable.path.endswith("record") for variable in vmc.variables]
    for one, variable, skipped in zip(vmc.variables, other.variables, is_record, strict=True):
        if not skipped:
            variable.assign(one)
    for one, variable in zip(vmc.optimizer.variables, other.optimizer.variables, strict=True):
        variable.assign(one)
    found, expected = rows_of(other, 10), rows_of(vmc, 10)
    assert np.any(expected["sampled"] == 0)
    for name in COLUMNS:
        np.testing.assert_array_equal(found[name], expected[name])


@pytest.mark.parametrize("trained", ["guarded"], indirect=True)
def test_whatever_moves_the_walkers_ends_their_reuse(trained):
    _, vmc, _ = trained
    for move in (
        lambda: setattr(vmc, "walkers", vmc.walkers),
        lambda: vmc.evaluate_energy(target_error=10.0),
    ):
        move()
        rows = rows_of(vmc, 1)
        assert rows["sample_reason"][0] == SampleReason.NO_SAMPLES
        assert (rows["n_waited"][0], rows["mean_weight"][0], rows["effective_samples"][0]) == (0, 1, N_WALKERS)


def test_without_reuse_nothing_is_computed_for_it():
    vmc = make_vmc(None)
    vmc.phases = replace(vmc.phases, log_abs_psi=None)  # would fail when called
    rows = rows_of(vmc, 3)
    assert [variable.name for variable in vmc.reuse.variables] == ["n_samplings", "n_unmoved"]
    trivial = {"n_waited": 0, "wait": 1, "mean_weight": 1, "effective_samples": N_WALKERS, "largest_weight": 1}
    trivial["energy_fall"] = 0
    for name, value in {**trivial, "sampled": 1, "sample_reason": SampleReason.EVERY_ITERATION}.items():
        np.testing.assert_array_equal(rows[name], value)
    assert int(vmc.reuse.n_samplings) == 3


@pytest.mark.parametrize(
    "natural", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["plain gradient", "natural gradient"]
)
def test_a_reused_iteration_by_hand(natural):
    """Energy, variance, error and step with R = |Psi_new|^2 / |Psi_old|^2, all from the formulas."""
    rate, damping = (0.1, 0.05) if natural else (0.02, None)
    layer = NaturalGradient(0.0, damping, max_step_norm=1e9, leverage_bound=0.0) if natural else None
    compiled = {"optimizer": keras.optimizers.SGD(rate), "natural_gradient": layer}
    policy = ReusePolicy("thesis", sensitivity=1e9, cut_off=0.0)
    vmc = make_vmc(policy, dtype="float64", compiled=compiled, clip_deviations=0.0)
    before = vmc.ansatz.get_weights()
    vmc.fit(1)
    positions, after = vmc.walkers.positions, vmc.ansatz.get_weights()
    vmc.ansatz.set_weights(before)
    old = 2 * vmc.ansatz.log_abs_psi(positions)
    vmc.ansatz.set_weights(after)
    weights = np.exp(2 * vmc.ansatz.log_abs_psi(positions) - old)
    assert np.std(weights) > 0.01
    shares = weights / weights.sum()
    local = vmc.system.local_energy(positions, vmc.ansatz.forward_laplacian(positions)[1]).total.numpy()
    energy = np.sum(shares * local)
    with tf.GradientTape() as tape:
        values = vmc.ansatz.log_abs_psi(positions)
    jacobian = tape.jacobian(values, vmc.ansatz.trainable_variables)
    scores = np.concatenate([np.reshape(block, (N_WALKERS, -1)) for block in jacobian], axis=1)
    centred, residuals = scores - shares @ scores, local - energy
    gradient = 2 * (shares * residuals) @ centred
    if natural:
        fisher = centred.T @ (shares[:, None] * centred)
        gradient = np.linalg.solve(fisher + damping * np.eye(len(fisher)), gradient / 2)

    first_error = vmc.recent_iterations()["energy_error"][-1]
    rows = rows_of(vmc, 1)
    assert rows["sampled"][0] == 0
    np.testing.assert_array_equal(vmc.walkers.positions, positions)
    assert rows["energy"][0] == pytest.approx(energy, rel=1e-10)
    variance = np.sum(shares * residuals**2)
    assert rows["variance"][0] == pytest.approx(variance, rel=1e-9)
    effective = weights.sum() ** 2 / np.sum(weights**2)
    error = np.sqrt(variance / effective)
    assert rows["energy_error"][0] == pytest.approx(max(first_error, error), rel=1e-9)
    assert rows["effective_samples"][0] == pytest.approx(effective, rel=1e-9)
    assert rows["mean_weight"][0] == pytest.approx(np.mean(weights), rel=1e-9)
    flat = [np.concatenate([np.ravel(weight) for weight in point]) for point in (after, vmc.ansatz.get_weights())]
    # The learning rate is kept in float32; the natural gradient's solver raises the diagonal by rounding errors.
    np.testing.assert_allclose(flat[1] - flat[0], -rate * gradient, rtol=1e-5, atol=1e-6 * np.max(np.abs(gradient)))


def test_old_probabilities_are_in_the_precision_of_the_ansatz():
    """Sampling in float32 leaves R = 1 to the digits of float64 while the weights do not change."""
    compiled = {"optimizer": keras.optimizers.SGD(0.0)}
    policy = ReusePolicy("thesis", longest_wait=5)
    vmc = make_vmc(policy, dtype="float64", compiled=compiled, sampling_dtype="float32")
    rows = rows_of(vmc, 6)
    np.testing.assert_array_equal(rows["sample_reason"], [SampleReason.NO_SAMPLES, 0, 0, 0, 0, SampleReason.SCHEDULE])
    assert vmc.reuse.state[0].dtype == "float64"
    # float32 would leave 1e-7; rounding of two equal computations leaves nothing or a few eps.
    np.testing.assert_allclose(rows["mean_weight"], 1.0, atol=1e-13)
    np.testing.assert_allclose(rows["largest_weight"], 1.0, atol=1e-12)
    energies = rows["energy"]
    np.testing.assert_allclose(energies[1:5], energies[0], rtol=1e-12)
    assert energies[5] != energies[0]
