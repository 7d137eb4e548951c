"""The natural gradient is the damped Fisher system's solution, in both forms, and no bad number gets through it."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_nqs.ansatz import FermionAnsatz
from tf_nqs.physics.energy import clip_local_energy
from tf_nqs.physics.hamiltonian import TrappedFermions
from tf_nqs.sampling.metropolis import MetropolisHastings
from tf_nqs.training import natural_gradient as module
from tf_nqs.training.centred_system import centred_system, scores
from tf_nqs.training.loss import surrogate_loss
from tf_nqs.training.natural_gradient import (
    NaturalGradient,
    solve_in_parameter_space,
    solve_in_sample_space,
)
from tf_nqs.training.optimizers import make_optimizer
from tf_nqs.training.vmc import VariationalMonteCarlo

A, H, N = 3, 6, 24
DAMPING = 1e-3
UNCAPPED = 1e9
FROZEN = {"features": ("equivariant_1", "equivariant_2", "orbitals"), "envelope": ("envelope",)}


def make_ansatz(frozen=(), dtype="float64"):
    keras.utils.set_random_seed(0)
    ansatz = FermionAnsatz(A, H, dtype=dtype)
    for name in frozen:
        ansatz.get_layer(name).trainable = False
    return ansatz


def make_walkers(seed=0):
    """Positions, local energies and weights; the first three walkers have no weight."""
    random = np.random.default_rng(seed)
    weights = random.uniform(0.1, 3.0, N)
    weights[:3] = 0.0
    return random.normal(size=(N, A)), random.normal(5.0, 1.0, N), weights


def make_layer(n_parameters, dtype="float64", **arguments):
    layer = NaturalGradient(
        **{"momentum": 0.0, "damping": DAMPING, "max_step_norm": UNCAPPED, "leverage_bound": 0.0, **arguments},
        dtype=dtype,
    )
    layer.build(n_parameters)
    return layer


def random_system(n_walkers=12, n_parameters=30, seed=0, dtype="float64"):
    """Scores, local energies and weights of no wave function in particular."""
    random = np.random.default_rng(seed)
    arrays = random.normal(size=(n_walkers, n_parameters)), random.normal(size=n_walkers), np.ones(n_walkers)
    return [array.astype(dtype) for array in arrays]


def direction(layer, system, learning_rate=1.0):
    return layer.direction(*map(tf.constant, system), learning_rate).numpy()


def dense_system(scores, energies, weights):
    """O and eps in float64 from the walkers that count, by the definition."""
    counted = weights > 0
    scores, energies, weights = (np.asarray(v, np.float64)[counted] for v in (scores, energies, weights))
    shares = weights / weights.sum()
    centred = np.sqrt(shares)[:, None] * (scores - shares @ scores)
    return centred, -np.sqrt(shares) * (energies - shares @ energies)


def dense_solution(system, damping=DAMPING):
    """(F + damping)^-1 (-dE/2), with the covariances written out instead of O and eps."""
    values, energies, weights = (array[system[2] > 0] for array in system)
    shares = weights / weights.sum()
    mean, energy = shares @ values, shares @ energies
    fisher = np.einsum("n,nk,nl->kl", shares, values, values) - np.outer(mean, mean)
    force = np.einsum("n,n,nk->k", shares, energies, values) - energy * mean
    return np.linalg.solve(fisher + damping * np.eye(len(mean)), -force)


def assert_solves(found, expected, system, damping=DAMPING):
    """To rounding: the diagonal is raised by 100 eps, the solution amplifies it by its condition number at most."""
    largest = np.linalg.norm(dense_system(*system)[0], 2) ** 2
    tolerance = 100 * np.finfo(found.dtype).eps * (1 + largest / damping)
    assert tolerance < 0.2
    assert np.linalg.norm(found - expected) < tolerance * np.linalg.norm(expected)


@pytest.fixture(scope="module", params=FROZEN)
def real(request):
    """An ansatz with frozen layers, its walkers, and the system that they make."""
    ansatz = make_ansatz(FROZEN[request.param])
    positions, energies, weights = make_walkers()
    values = scores(ansatz.log_abs_psi, ansatz.trainable_variables, tf.constant(positions)).numpy()
    return ansatz, positions, (values, energies, weights)


def test_scores_are_those_of_each_walker_alone(real):
    ansatz, positions, (values, _, _) = real
    for position, row in zip(positions[:8], values[:8], strict=True):
        with tf.GradientTape() as tape:
            log_abs = ansatz.log_abs_psi(position[None])[0]
        expected = np.concatenate([np.ravel(g) for g in tape.gradient(log_abs, ansatz.trainable_variables)])
        # The same operations in another order: some eps of the longest of the sums.
        np.testing.assert_allclose(row, expected, rtol=1e-9, atol=1e-12 * np.max(np.abs(expected)))


def test_frozen_layers_have_no_scores(real):
    ansatz, _, (values, _, _) = real
    frozen = [layer for layer in ansatz.layers if not layer.trainable]
    assert frozen
    assert values.shape == (N, ansatz.count_params() - sum(layer.count_params() for layer in frozen))
    assert np.all(np.any(values != 0, axis=0))


def test_scores_of_a_known_wave_function():
    """ln|Psi| = -sum_i a_i x_i^2 + b: -x_i^2 and 1, in the order of the variables; 0 for a variable without use."""
    widths, unused, norm = tf.Variable([0.5, 2.0, 1.0]), tf.Variable([[1.0], [2.0]]), tf.Variable(3.0)
    positions = make_walkers()[0].astype("float32")
    found = scores(lambda x: norm - tf.linalg.matvec(x**2, widths), [widths, unused, norm], tf.constant(positions))
    # Two operations in float32.
    np.testing.assert_allclose(found, np.hstack([-(positions**2), np.zeros((N, 2)), np.ones((N, 1))]), rtol=1e-6)


def test_projected_residuals_are_minus_half_the_energy_gradient(real):
    """O^T eps = -dE/2, with the gradient from the surrogate loss: the two know nothing of each other."""
    ansatz, positions, (values, energies, weights) = real
    with tf.GradientTape() as tape:
        loss = surrogate_loss(ansatz.log_abs_psi(positions), tf.constant(energies), tf.constant(weights))
    gradient = np.concatenate([np.ravel(g) for g in tape.gradient(loss, ansatz.trainable_variables)])
    centred, residuals = (part.numpy() for part in centred_system(*map(tf.constant, (values, energies, weights))))
    # Sums over 24 walkers of which single terms are larger than the sum: 1e3 eps.
    np.testing.assert_allclose(centred.T @ residuals, -gradient / 2, atol=1e-12 * np.max(np.abs(gradient)))


@pytest.mark.parametrize("solve", [solve_in_sample_space, solve_in_parameter_space])
def test_both_solvers_solve_the_dense_fisher_system(real, solve):
    _, _, system = real
    found = solve(*centred_system(*map(tf.constant, system)), tf.constant(DAMPING, tf.float64)).numpy()
    assert_solves(found, dense_solution(system), system)


@pytest.mark.parametrize("form", ["sample", "parameter", "auto"])
def test_direction_is_the_dense_solution(real, form):
    """Both forms, so that MinSR equals stochastic reconfiguration, with weights that are not all 1."""
    _, _, system = real
    found = direction(make_layer(system[0].shape[1], form=form), system)
    assert_solves(found, dense_solution(system), system)


@pytest.mark.parametrize("form", ["sample", "parameter"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_walkers_of_weight_zero_do_not_count(real, form, bad):
    """Not even where their scores and their local energy, which is clipped first, are no numbers."""
    _, _, (values, energies, weights) = real
    bad_values, bad_energies = values.copy(), energies.copy()
    bad_values[0], bad_values[1, 2], bad_energies[:2] = bad, bad, bad
    clipped = clip_local_energy(tf.constant(bad_energies), tf.constant(weights), 0.0).numpy()
    layer = make_layer(values.shape[1], form=form)
    found = direction(layer, (bad_values, clipped, weights))
    system = (values, energies, weights)
    assert_solves(found, dense_solution(system), system)
    assert int(layer.n_rejected) == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_energies_of_weight_zero_need_no_clipping(bad):
    """As in the surrogate loss and in every mean over walkers."""
    values, energies, weights = random_system()
    weights[4] = 0.0
    expected = dense_solution((values, energies, weights))
    energies[4] = bad
    found = direction(make_layer(30), (values, energies, weights))
    # Condition number of order 1e4, 100 eps.
    np.testing.assert_allclose(found, expected, atol=1e-9 * np.max(np.abs(expected)))


def test_weights_are_repeated_walkers():
    """A walker of weight 3 is three walkers; and the weights' scale has no meaning."""
    values, energies, _ = random_system()
    weights = np.tile([1.0, 3.0, 2.0], 4)
    repeats = weights.astype(int)
    repeated = np.repeat(values, repeats, axis=0), np.repeat(energies, repeats), np.ones(repeats.sum())
    once, scaled, many = (
        direction(make_layer(30), system)
        for system in ((values, energies, weights), (values, energies, 7.0 * weights), repeated)
    )
    # Condition number of order 1e4, 100 eps.
    np.testing.assert_allclose(once, many, atol=1e-9 * np.max(np.abs(many)))
    np.testing.assert_allclose(once, scaled, atol=1e-9 * np.max(np.abs(many)))


@pytest.mark.parametrize("form", ["sample", "parameter"])
@pytest.mark.parametrize("momentum", [0.5, 0.95])
def test_spring_is_the_regularised_least_squares_solution(form, momentum):
    """argmin |O phi - eps|^2 + damping |phi - mu phi'|^2, from the stacked system, over three calls."""
    layer = make_layer(30, momentum=momentum, form=form)
    previous = np.zeros(30)
    for seed in range(3):
        system = random_system(seed=seed)
        centred, residuals = dense_system(*system)
        stacked = np.vstack([centred, np.sqrt(DAMPING) * np.eye(30)])
        right_side = np.concatenate([residuals, np.sqrt(DAMPING) * momentum * previous])
        expected = np.linalg.lstsq(stacked, right_side)[0]
        found = direction(layer, system)
        assert_solves(found, expected, system)
        np.testing.assert_array_equal(layer.previous, found)
        previous = expected


def test_spring_without_momentum_is_minsr():
    """And forgets: the second call does not depend on the first one."""
    first, second = random_system(seed=0), random_system(seed=1)
    layer = make_layer(30, momentum=0.0)
    direction(layer, first)
    np.testing.assert_array_equal(direction(layer, second), direction(make_layer(30), second))
    remembers = make_layer(30, momentum=0.5)
    direction(remembers, first)
    assert not np.allclose(direction(remembers, second), direction(layer, second))


@pytest.mark.parametrize("learning_rate", [1e-6, 0.1, 10.0])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_step_norm_is_capped(learning_rate, momentum):
    cap = 0.05
    capped, free = (make_layer(30, momentum=momentum, max_step_norm=limit) for limit in (cap, UNCAPPED))
    for seed in range(3):
        system = random_system(seed=seed)
        short, whole = (direction(layer, system, learning_rate) for layer in (capped, free))
        centred, _ = dense_system(*system)
        whole_norm = learning_rate * np.linalg.norm(centred @ whole)
        # The learning rate passes through float32, eps 1.2e-7.
        expected = whole * min(1.0, cap / whole_norm)
        np.testing.assert_allclose(short, expected, rtol=2e-7)
        assert learning_rate * np.linalg.norm(centred @ short) <= cap * (1 + 2e-7)
        # The memory is that of the whole direction, so that the cap of one step does not shrink the next.
        np.testing.assert_array_equal(capped.previous, free.previous)


@pytest.mark.parametrize("form", ["sample", "parameter"])
def test_float32_and_graph_agree_with_float64(form):
    system = random_system(dtype="float32")
    layer = make_layer(30, dtype="float32", form=form)
    expected = dense_solution([array.astype("float64") for array in system])
    compiled = tf.function(lambda *arrays: layer.direction(*arrays, 0.1), autograph=False)
    for found in (direction(layer, system, 0.1), compiled(*map(tf.constant, system)).numpy()):
        assert found.dtype == np.float32
        assert_solves(found, expected, system)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n_failures", [0, 2, 4])
def test_retries_run_in_a_graph(monkeypatch, dtype, n_failures):
    """In both precisions: a number of Python becomes float32 in a graph, whatever it meets."""
    whole, failures = solve_in_sample_space, tf.Variable(n_failures)

    def failing(centred, residuals, damping):
        bad = failures.assign_sub(1) >= 0
        phi = whole(centred, residuals, damping)
        return tf.where(bad, tf.fill(tf.shape(phi), tf.constant(np.nan, phi.dtype)), phi)

    monkeypatch.setattr(module, "solve_in_sample_space", failing)
    system = random_system(dtype=dtype)
    layer = make_layer(30, dtype=dtype)
    compiled = tf.function(lambda *arrays: layer.direction(*arrays, 0.1), autograph=False)
    found = compiled(*map(tf.constant, system)).numpy()
    assert found.dtype == dtype
    assert np.all(np.isfinite(found))
    assert int(layer.n_rejected) == n_failures
    assert np.any(found != 0) == (n_failures < 4)


@pytest.mark.parametrize("n_failures", [0, 2, 4])
def test_a_step_whose_length_is_not_finite_is_solved_for_again(monkeypatch, n_failures):
    """Its numbers are finite in float32, O phi is not: inf - inf in some rows, inf in others."""
    whole, failures = solve_in_sample_space, tf.Variable(n_failures)

    def exploding(centred, residuals, damping):
        explodes = failures.assign_sub(1) >= 0
        huge = tf.constant(np.tile([3e38, -3e38], 15), centred.dtype)
        return tf.where(explodes, huge, whole(centred, residuals, damping))

    monkeypatch.setattr(module, "solve_in_sample_space", exploding)
    system = random_system(dtype="float32")
    centred, _ = centred_system(*map(tf.constant, system))
    assert not np.all(np.isfinite(tf.linalg.matvec(centred, tf.constant(np.tile([3e38, -3e38], 15), "float32"))))
    layer = make_layer(30, dtype="float32")
    found = direction(layer, system)
    assert np.all(np.isfinite(found)) and np.all(np.isfinite(layer.previous))
    assert int(layer.n_rejected) == n_failures
    if n_failures < 4:
        damping = DAMPING * 10.0**n_failures
        assert_solves(found, dense_solution(system, damping), system, damping)
    else:
        np.testing.assert_array_equal(found, 0.0)


@pytest.fixture
def failing_solver(monkeypatch):
    """Lets the next solves fail; lists the damping of all of them."""

    class Solver:
        n_failures = 0
        dampings: list = []  # noqa: RUF012

        def __call__(self, centred, residuals, damping):
            self.dampings.append(float(damping))
            if len(self.dampings) <= self.n_failures:
                return tf.fill(centred.shape[1:], tf.constant(np.nan, centred.dtype))
            return solve_in_sample_space(centred, residuals, damping)

        def fail(self, n_failures):
            self.n_failures, self.dampings = n_failures, []

    solver = Solver()
    monkeypatch.setattr(module, "solve_in_sample_space", solver)
    return solver


@pytest.mark.parametrize("n_failures", [0, 1, 2, 3])
def test_failed_solves_are_repeated_with_more_damping(failing_solver, n_failures):
    system = random_system()
    layer = make_layer(30)
    failing_solver.fail(n_failures)
    found = direction(layer, system)
    np.testing.assert_allclose(failing_solver.dampings, DAMPING * 10.0 ** np.arange(n_failures + 1))
    expected = dense_solution(system, failing_solver.dampings[-1])
    assert_solves(found, expected, system)
    np.testing.assert_array_equal(layer.previous, found)
    assert int(layer.n_rejected) == n_failures
    raised = max(1.0, 0.95 * 10.0**n_failures)
    assert float(layer.damping_factor) == pytest.approx(raised)
    # The next iteration starts where this one ended, and the raise wears off by 5 % an iteration.
    failing_solver.fail(0)
    factors = []
    for _ in range(int(np.ceil(np.log(raised) / -np.log(0.95)))):
        factors.append(float(layer.damping_factor))
        direction(layer, system)
    np.testing.assert_allclose(failing_solver.dampings, DAMPING * np.array(factors))
    assert float(layer.damping_factor) == 1.0
    assert int(layer.n_rejected) == n_failures


def test_a_step_without_solution_is_zero_and_forgets(failing_solver):
    system = random_system()
    layer = make_layer(30, momentum=0.9)
    direction(layer, system)
    assert np.any(layer.previous.numpy() != 0)
    failing_solver.fail(4)
    np.testing.assert_array_equal(direction(layer, system), 0.0)
    assert len(failing_solver.dampings) == 4
    assert int(layer.n_rejected) == 4
    np.testing.assert_array_equal(layer.previous, 0.0)
    failing_solver.fail(0)
    assert np.any(direction(layer, system) != 0)


def test_training_recovers_from_many_failures(failing_solver):
    """The damping does not grow without end: it would overflow, and never come back."""
    system = random_system(dtype="float32")
    layer = make_layer(30, dtype="float32")
    healthy = direction(layer, system)
    for _ in range(20):
        failing_solver.fail(4)
        np.testing.assert_array_equal(direction(layer, system), 0.0)
    failing_solver.fail(0)
    assert np.isfinite(layer.damping_factor)
    assert np.any(direction(layer, system) != 0)
    for _ in range(200):
        direction(layer, system)
    np.testing.assert_allclose(direction(layer, system), healthy, rtol=1e-5)


@pytest.mark.parametrize("form", ["sample", "parameter"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("where", ["scores", "all scores", "energy", "weights"])
def test_bad_numbers_of_a_walker_that_counts(form, bad, where):
    """The step is finite, whatever comes in, and the next one is healthy again."""
    healthy = random_system(dtype="float32")
    layer = make_layer(30, dtype="float32", momentum=0.9, form=form)
    direction(layer, healthy)
    values, energies, weights = (array.copy() for array in healthy)
    index = {"scores": (values, (3, 7)), "all scores": (values, ...), "energy": (energies, 3), "weights": (weights, 3)}
    array, position = index[where]
    array[position] = bad
    assert np.all(np.isfinite(direction(layer, (values, energies, weights))))
    assert np.all(np.isfinite(layer.previous))
    found = direction(layer, healthy)
    assert np.all(np.isfinite(found))
    assert np.any(found != 0)


def test_no_walker_counts():
    values, energies, weights = random_system()
    np.testing.assert_array_equal(direction(make_layer(30), (values, energies, 0 * weights)), 0.0)


@pytest.mark.parametrize("form", ["sample", "parameter"])
@pytest.mark.parametrize("scale", [1e-6, 1e3, 1e6])
def test_walkers_next_to_a_node(form, scale):
    """One row another scale than all others: the float32 kernel is solved at once, and the step lowers the energy."""
    values, energies, weights = random_system(40, 60, dtype="float32")
    values[5] *= scale
    layer = make_layer(60, dtype="float32", form=form)
    found = direction(layer, (values, energies, weights), 0.1)
    assert np.all(np.isfinite(found))
    assert int(layer.n_rejected) == 0
    centred, residuals = dense_system(values, energies, weights)
    assert residuals @ (centred @ found.astype("float64")) > 0


@pytest.mark.parametrize("form", ["sample", "parameter"])
@pytest.mark.parametrize("rows", [slice(5, 6), slice(None)])
@pytest.mark.parametrize("scale", [1e6, 1e12, 1e30])
def test_kernel_beyond_float32(form, rows, scale):
    """Its elements lose all others, or overflow: a finite step, or none."""
    values, energies, weights = random_system(128, 100, dtype="float32")
    values[rows] *= scale
    layer = make_layer(100, dtype="float32", form=form)
    assert np.all(np.isfinite(direction(layer, (values, energies, weights), 0.1)))


@pytest.mark.parametrize("form", ["sample", "parameter"])
@pytest.mark.parametrize("damping", [1e-3, 1e-12])
@pytest.mark.parametrize("n_distinct", [1, 3])
def test_singular_kernel(form, damping, n_distinct):
    """Walkers that stand on top of each other, in float32, almost undamped."""
    values, energies, weights = random_system(40, 60, dtype="float32")
    values = np.tile(values[:n_distinct], (-(-40 // n_distinct), 1))[:40]
    layer = make_layer(60, dtype="float32", form=form, damping=damping)
    found = direction(layer, (values, energies, weights), 0.1)
    assert np.all(np.isfinite(found))
    if n_distinct == 1:
        # The mean of equal numbers is off by some eps of float32, damped by no more than `damping`.
        assert np.linalg.norm(found) <= 1e-5 / damping


def test_equal_energies_have_no_direction():
    """An eigenstate: nothing to gain."""
    values, _, weights = random_system()
    np.testing.assert_array_equal(direction(make_layer(30), (values, np.full(12, 4.5), weights)), 0.0)


@pytest.mark.parametrize(
    ("shape", "expected"), [((8, 5), "parameter"), ((5, 8), "sample"), ((6, 6), "sample"), ((1, 3), "sample")]
)
def test_auto_takes_the_smaller_matrix(monkeypatch, shape, expected):
    used = []
    for form in ("sample", "parameter"):
        solve = getattr(module, f"solve_in_{form}_space")
        monkeypatch.setattr(module, f"solve_in_{form}_space", lambda *a, f=form, s=solve: used.append(f) or s(*a))
    direction(make_layer(shape[1], form="auto"), random_system(*shape))
    assert used == [expected]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"momentum": -0.1}, "momentum = -0.1: must be at least 0 and below 1"),
        ({"momentum": 1.0}, "momentum = 1.0"),
        ({"momentum": np.nan}, "momentum = nan"),
        ({"damping": 0.0}, "damping = 0.0: must be above 0"),
        ({"damping": np.nan}, "damping = nan"),
        ({"max_step_norm": 0}, "max_step_norm = 0: must be above 0"),
        ({"leverage_bound": -1.0}, "leverage_bound = -1.0: must be at least 0"),
        ({"leverage_bound": np.nan}, "leverage_bound = nan"),
        ({"damping_min": np.nan}, "damping_min = nan: must be at least 0"),
        ({"form": "dense"}, "form = 'dense': must be one of auto, sample, parameter"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        NaturalGradient(**arguments)


def test_config_round_trip():
    layer = NaturalGradient(0.3, 2e-4, 0.7, 5.0, "parameter", dtype="float64", name="spring")
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert isinstance(copy, NaturalGradient)
    assert copy.get_config() == layer.get_config()
    for name, value in {"momentum": 0.3, "damping": 2e-4, "max_step_norm": 0.7, "leverage_bound": 5.0}.items():
        assert getattr(copy, name) == value
    assert (copy.dtype, copy.name, copy.form) == ("float64", "spring", "parameter")


def test_config_round_trip_of_a_schedule():
    layer = NaturalGradient(damping=keras.optimizers.schedules.InverseTimeDecay(0.2, 50, 1.0))
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    np.testing.assert_allclose(copy.damping(50), 0.1, rtol=1e-6)


@pytest.mark.parametrize("damping", [1e-4, keras.optimizers.schedules.InverseTimeDecay(0.2, 50, 1.0)])
def test_damping_falls_to_its_minimum_and_no_further(damping):
    layer = NaturalGradient(damping=damping, damping_min=0.01)
    layer.build(2)
    layer.iteration.assign(10_000)
    np.testing.assert_allclose(layer._damping_now(), 0.01, rtol=1e-6)
    assert keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer)).damping_min == 0.01
    layer.damping_min = 1e-9
    assert layer._damping_now() < 0.01


@pytest.mark.parametrize("form", ["sample", "parameter"])
def test_damping_follows_its_schedule(form):
    """The third direction is the dense solution with the damping of iteration 2."""
    schedule = keras.optimizers.schedules.InverseTimeDecay(0.5, 2, 1.0)
    layer, system = make_layer(30, damping=schedule, form=form), random_system()
    found = [direction(layer, system) for _ in range(3)]
    for iteration, damping in ((0, 0.5), (2, 0.25)):
        # The schedule runs in float32.
        np.testing.assert_allclose(found[iteration], dense_solution(system, damping), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("form", ["sample", "parameter"])
@pytest.mark.parametrize("weighted", [False, True])
def test_leverage_bound_is_weighted_least_squares(form, weighted):
    """Rows beyond the bound count by the square of their shortening, in a dense solve written out on its own."""
    values, energies, weights = random_system(25, 30)
    values[[4, 9]] *= [[8.0], [15.0]]
    if weighted:
        weights = np.random.default_rng(5).uniform(0.2, 2.0, 25)
    centred, residuals = dense_system(values, energies, weights)
    lengths = np.linalg.norm(centred / np.sqrt(weights / weights.sum())[:, None], axis=1)
    counts = np.minimum(1.0, 2.0 * np.median(lengths) / lengths) ** 2
    assert 2 <= np.sum(counts < 1) < 12
    fisher = centred.T @ (counts[:, None] * centred) + DAMPING * np.eye(30)
    expected = np.linalg.solve(fisher, centred.T @ (counts * residuals))
    found = direction(make_layer(30, leverage_bound=2.0, form=form), (values, energies, weights))
    # Rounding grows with the condition of the damped matrix, 1e6 here.
    np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-9 * np.abs(expected).max())


def test_leverage_bound_leaves_short_rows_alone():
    system = random_system()
    bounded, free = (centred_system(*map(tf.constant, system), bound) for bound in (1e3, 0.0))
    np.testing.assert_array_equal(bounded[0], free[0])
    np.testing.assert_array_equal(bounded[1], free[1])


@pytest.mark.parametrize(
    ("name", "dtype"), [("spring", "float32"), pytest.param("minsr", "float64", marks=pytest.mark.slow)]
)
def test_two_strongly_repelling_fermions(name, dtype):
    """From random weights to the exact ground state at V_0 = 10, sigma_0 = 0.5, within 5 % after 80 iterations."""
    exact = 2.425619
    keras.utils.set_random_seed(0)
    ansatz = FermionAnsatz(2, 8, dtype=dtype)
    sampler = MetropolisHastings(n_walkers=128, n_steps=5, n_burn_in=50)
    system = TrappedFermions(2, interaction_strength=10.0, interaction_range=0.5)
    vmc = VariationalMonteCarlo(ansatz, system, sampler, iterations_per_call=20)
    vmc.compile(**make_optimizer(name, dtype=dtype), jit_compile=False)
    history = vmc.fit(80)
    assert history.history["energy"][0] > 1.05 * exact
    rows = vmc.recent_iterations()
    energy = np.mean(rows["energy"])
    assert abs(energy - exact) < 0.05 * exact
    # Variational; 5 error bars of a single iteration cover all correlation of the 20.
    assert energy > exact - 5 * np.mean(rows["energy_error"])
    layer = vmc.natural_gradient
    assert int(layer.n_rejected) == 0
    assert float(layer.damping_factor) == 1.0
    assert layer.previous.shape == (ansatz.count_params(),)
    assert layer.previous.dtype == vmc.positions.dtype == dtype
    # What a checkpoint of the trainer must hold to go on exactly.
    assert any(variable is layer.previous for variable in vmc.variables)


def test_frozen_layers_stay_and_plain_sgd_takes_the_direction():
    """One iteration by hand: theta + a phi for what is trainable, nothing for what is frozen."""
    keras.utils.set_random_seed(0)
    ansatz = FermionAnsatz(A, H, n_layers=1, dtype="float64")
    ansatz.envelope.trainable = False
    sampler = MetropolisHastings(n_walkers=16, n_steps=1, n_burn_in=0)
    vmc = VariationalMonteCarlo(ansatz, TrappedFermions(A), sampler, clip_deviations=0.0)
    recipe = {"damping": DAMPING, "damping_decay_iterations": 0, "leverage_bound": 0.0, "dtype": "float64"}
    vmc.compile(**make_optimizer("minsr", 0.1, **recipe), jit_compile=False)
    before, envelope = ansatz.get_weights(), ansatz.envelope.get_weights()
    old = [weight.numpy() for weight in ansatz.trainable_variables]
    vmc.fit(1)
    new = [weight.numpy() for weight in ansatz.trainable_variables]
    found = np.concatenate([np.ravel(after - start) for start, after in zip(old, new, strict=True)])
    for one, other in zip(envelope, ansatz.envelope.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    # The walkers still stand where the step was computed.
    ansatz.set_weights(before)
    positions = vmc.walkers.positions
    energies = vmc.phases.local_energy(positions).total
    system = vmc.phases.derivatives(positions, energies, tf.ones_like(energies)).numpy(), energies.numpy(), np.ones(16)
    expected = 0.1 * dense_solution(system)
    expected *= min(1.0, vmc.natural_gradient.max_step_norm / np.linalg.norm(dense_system(*system)[0] @ expected))
    # The learning rate is kept in float32.
    np.testing.assert_allclose(found, expected, atol=1e-6 * np.max(np.abs(expected)))
