"""Families: one network for several systems, against single systems, finite differences and exact truths."""

from __future__ import annotations

from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_nqs.ansatz import FermionAnsatz, JastrowAnsatz
from tf_nqs.callbacks import RepairTraining
from tf_nqs.physics import FermionFamily, TrappedFermions
from tf_nqs.physics.energy import weighted_mean
from tf_nqs.physics.laplacian import nested_tapes
from tf_nqs.physics.parameters import SystemParameters, derived_parameters
from tf_nqs.sampling import MetropolisHastings
from tf_nqs.training import ConditionPolicy, NaturalGradient, VariationalMonteCarlo
from tf_nqs.training.centred_system import centred_family, centred_system
from tf_nqs.training.conditions import Conditions, condition_factors
from tf_nqs.training.loss import loss_of_systems, surrogate_loss
from tf_nqs.training.record import CONDITION_COLUMNS, with_systems
from tf_nqs.training.walker_group import WalkerGroup
from tf_nqs.types import LocalEnergy

KINDS = {
    "slater": lambda n, space, dtype="float64": FermionAnsatz(n, 6, conditions=space, dtype=dtype),
    "jastrow": lambda n, space, dtype="float64": JastrowAnsatz(n, 4, 2, 4, 2, conditions=space, dtype=dtype),
}
RANDOM = np.random.default_rng(1)

_N_GROUPS = 3
"""Of weights, whose derivatives are tested together."""


def made(kind, family, dtype="float64", change=0.3):
    """A wave function whose members differ, as none of its weights has its start value."""
    keras.utils.set_random_seed(2)
    ansatz = KINDS[kind](family.conditions.n_particles[-1], family.conditions, dtype)
    for number, weight in enumerate(ansatz.trainable_variables):
        weight.assign_add(change * tf.random.stateless_normal(weight.shape, (3, number), dtype=weight.dtype))
    return ansatz


def rows_of(n_particles, strength, width, n_walkers):
    one = np.ones(n_walkers)
    found = derived_parameters(n_particles, "gaussian", strength * one, width * one)
    return SystemParameters(*(tf.constant(np.broadcast_to(part, n_walkers)[:, None]) for part in found))


@pytest.mark.parametrize("kind", KINDS)
def test_a_member_is_the_family_at_its_system(kind):
    """Value and derivatives, for each number of particles, and against nested tapes."""
    family = FermionFamily([2, 3, 4], (-20.0, 20.0), (0.25, 1.0))
    ansatz = made(kind, family)
    for n_particles in (2, 3, 4):
        x = tf.constant(RANDOM.normal(size=(5, n_particles)))
        member = ansatz.member(n_particles, 7.3, 0.4)
        conditioned = ansatz.at(n_particles, rows_of(n_particles, 7.3, 0.4, 5))
        nested = nested_tapes(lambda y, psi=conditioned: psi(y)[1], x)
        (sign, log), derivatives = conditioned.forward_laplacian(x)
        np.testing.assert_array_equal(sign, member(x)[0])
        np.testing.assert_allclose(log, member(x)[1], atol=1e-10)
        np.testing.assert_allclose(ansatz(x, 7.3 * np.ones(5), 0.4 * np.ones(5))[1], log, atol=1e-12)
        expected = member.forward_laplacian(x)[1]
        for part, other, third in zip(derivatives, expected, nested, strict=True):
            np.testing.assert_allclose(part, other, rtol=1e-10, atol=1e-10)
            np.testing.assert_allclose(part, third, rtol=1e-7, atol=1e-7)
    copy = type(ansatz).from_config(ansatz.get_config())
    assert copy.conditions == ansatz.conditions and copy.count_params() == ansatz.count_params()


@pytest.mark.parametrize("kind", KINDS)
def test_members_agree_in_float32(kind):
    """Within some thousand roundings of ln|Psi|: random determinants are nearly singular on some walkers."""
    family = FermionFamily([2, 4], (-20.0, 20.0))
    ansatz = made(kind, family, "float32")
    x = tf.constant(RANDOM.normal(size=(200, 4)), tf.float32)
    one, other = ansatz(x, np.full(200, -12.0, np.float32))[1], ansatz.member(4, -12.0, 0.5)(x)[1]
    difference = np.abs(one - other) / (1 + np.abs(one))
    assert np.median(difference) < 1e-5 and np.quantile(difference, 0.95) < 1e-3


def test_a_family_of_one_is_the_single_system():
    """The same walkers, energies and weights give the same system of equations and the same loss."""
    scores, energy, weights = (tf.constant(RANDOM.normal(size=shape)) for shape in ((12, 5), (12,), (12,)))
    weights = weights**2
    one = tf.ones(1, tf.float64)
    alone = centred_system(scores, energy, weights, 1.5)
    family = centred_family(scores, energy, weights, one, tf.constant(1.0, tf.float64), 1.5)
    for part, other in zip(alone, family, strict=True):
        np.testing.assert_array_equal(part, other)
    logs = tf.constant(RANDOM.normal(size=12))
    assert float(surrogate_loss(logs, energy, weights)) == float(loss_of_systems(logs, energy, weights, one))


def test_a_family_of_one_has_the_gradient_of_the_single_system():
    """A wave function, its walkers and the trainer's own phases: by all weights that the member has too."""
    family = FermionFamily(2, (-4.0, 4.0))
    ansatz, sampler = made("jastrow", family), MetropolisHastings(16, n_steps=2, n_burn_in=0)
    of_family = VariationalMonteCarlo(ansatz, family, sampler, conditions=ConditionPolicy(1, margin=0.0))
    strength = float(of_family.groups[0].conditions.parameters().strength[0])
    alone = VariationalMonteCarlo(
        ansatz.member(2, strength, 0.5), family.member(interaction_strength=strength), sampler
    )
    found = []
    for vmc, factors in ((of_family, [tf.ones(1, tf.float64)]), (alone, [])):
        vmc.compile("sgd", jit_compile=False)
        x = tf.constant(of_family.positions)
        energy = vmc.phases.local_energy(x).total
        gradient = vmc.phases.derivatives(x, energy, tf.ones_like(energy), *factors)
        names = [weight.path.partition("/")[2] for weight in vmc.ansatz.trainable_variables]
        found.append((energy, dict(zip(names, gradient, strict=True))))
    (energy, of_one), (expected, of_single) = found
    np.testing.assert_allclose(energy, expected, rtol=1e-10)
    assert of_one.keys() > of_single.keys()
    for name, gradient in of_single.items():
        assert np.any(gradient), name
        np.testing.assert_allclose(of_one[name], gradient, rtol=1e-8, atol=1e-10, err_msg=name)


def test_equations_of_a_family_are_those_of_its_systems():
    scores, energy, weights = RANDOM.normal(size=(12, 5)), RANDOM.normal(size=12), RANDOM.uniform(size=12)
    factors = np.array([0.5, 1.5, 1.0])
    rows, residuals = centred_family(*map(tf.constant, (scores, energy, weights, factors)), 1 / 3, 1.5)
    for number, block in enumerate(np.split(np.arange(12), 3)):
        expected = centred_system(*(tf.constant(one[block]) for one in (scores, energy, weights)), 1.5)
        root = np.sqrt(factors[number] / 3)
        np.testing.assert_allclose(rows.numpy()[block], root * expected[0], rtol=1e-12)
        np.testing.assert_allclose(residuals.numpy()[block], root * expected[1], rtol=1e-12)


def test_factors_are_inverse_deviations_with_a_mean_of_one():
    energy = np.concatenate([RANDOM.normal(size=400), 10 * RANDOM.normal(size=400)])
    (found,) = condition_factors([tf.constant(energy)], [tf.ones(800, tf.float64)], [2])
    deviations = [np.std(part) for part in np.split(energy, 2)]
    found = found.numpy()
    assert found.mean() == pytest.approx(1)
    assert found[0] / found[1] == pytest.approx(deviations[1] / deviations[0], rel=0.01)


@pytest.mark.parametrize("kind", KINDS)
def test_the_gradient_is_that_of_the_weighted_sum_of_energies(kind):
    """Against differences of energies by quadrature: A = 1, two systems of a trap with different positions."""
    family = FermionFamily([1, 2], (-5.0, 5.0))
    ansatz = made(kind, family, change=0.02)  # more would put walkers outside the grid
    grid = np.linspace(-6, 6, 97)
    x = np.stack(np.meshgrid(grid, grid), axis=-1).reshape(-1, 2)
    x = x[np.abs(x[:, 0] - x[:, 1]) > 1e-9]
    strengths, factors = (-4.0, 3.0), tf.constant([0.5, 1.5], tf.float64)
    rows = [rows_of(2, strength, 0.5, len(x)) for strength in strengths]
    system = TrappedFermions(2)

    def measured():
        """ln|Psi|, local energies and |Psi|^2 of both systems, one after the other."""
        parts = []
        for parameters in rows:
            (_, log), derivatives = ansatz.at(2, parameters).forward_laplacian(tf.constant(x))
            energy = system.local_energy(tf.constant(x), derivatives, parameters).total
            parts.append((log, energy, tf.exp(2 * (log - tf.reduce_max(log)))))
        return [tf.concat(one, axis=0) for one in zip(*parts, strict=True)]

    def total():
        _, energy, density = measured()
        energies = [weighted_mean(*one) for one in zip(tf.split(energy, 2), tf.split(density, 2), strict=True)]
        return float(tf.reduce_sum(factors * tf.stack(energies)))

    with tf.GradientTape() as tape:
        log, energy, density = measured()
        loss = loss_of_systems(log, tf.stop_gradient(energy), tf.stop_gradient(density), factors)
    gradients = tape.gradient(loss, ansatz.trainable_variables, unconnected_gradients="zero")
    pairs = list(zip(ansatz.trainable_variables, gradients, strict=True))
    for group in (pairs[first::_N_GROUPS] for first in range(_N_GROUPS)):  # an energy takes a quarter of a second
        directions, step = [RANDOM.normal(size=weight.shape) for weight, _ in group], 1e-4
        values, energies = [weight.numpy() for weight, _ in group], []
        for move in (step, -step, 0.0):
            for (weight, _), value, direction in zip(group, values, directions, strict=True):
                weight.assign(value + move * direction)
            energies += [total()] if move else []
        along = sum(np.sum(gradient * one) for (_, gradient), one in zip(group, directions, strict=True))
        # The quadrature's own error of the derivative, for a Laplacian that is integrated by parts.
        assert along == pytest.approx((energies[0] - energies[1]) / (2 * step), rel=2e-3, abs=2e-4)


@pytest.mark.parametrize("drift", [0.3, 0.9])
def test_systems_drift_in_their_strata(drift):
    """Steps of the wider drift are often longer than the stratum, some of them longer than two."""
    family = FermionFamily(3, (-10.0, 10.0), (0.3, 1.0))
    conditions = Conditions(family, 3, 32, ConditionPolicy(8, drift=drift, margin=0.0), seed=1, dtype="float64")
    before, visited = conditions.parameters(), []
    for iteration in range(50):
        conditions.drift(tf.constant(iteration))
        visited.append(conditions.parameters())
    after = visited[-1]
    edges = np.linspace(-10, 10, 9)
    for found in (before, *visited):
        assert np.all((found.strength >= edges[:-1]) & (found.strength <= edges[1:]))
        assert np.all((found.width >= 0.3) & (found.width <= 1.0))
        np.testing.assert_allclose(found.height, found.strength / (np.sqrt(2 * np.pi) * found.width))
    assert not np.allclose(before.strength, after.strength)
    assert conditions.rows().shape == (32, len(SystemParameters._fields))
    np.testing.assert_allclose(conditions.rows()[::4, 0], after.strength)


def test_each_listed_range_is_trained_with_all_strengths():
    family = FermionFamily(3, (-10.0, 10.0), (0.3, 0.5, 1.0))
    conditions = Conditions(family, 3, 32, ConditionPolicy(8, margin=0.0), seed=1, dtype="float64")
    found = conditions.parameters()
    for width in family.widths:
        strengths = np.sort(found.strength[np.isclose(found.width, width)])
        assert strengths[0] <= 0 <= strengths[-1]  # two strata: 8 systems for three ranges


def test_lists_are_trained_as_they_are():
    family = FermionFamily(2, (-5.0, 0.0, 5.0), (0.5, 0.7, 1.0))
    found = Conditions(family, 2, 36, ConditionPolicy(9), seed=0, dtype="float64").parameters()
    pairs = {(float(one), round(float(other), 9)) for one, other in zip(found.strength, found.width, strict=True)}
    assert pairs == {(one, other) for one in (-5.0, 0.0, 5.0) for other in (0.5, 0.7, 1.0)}


@pytest.mark.parametrize(
    ("strengths", "options", "exceeds"),
    [
        ((-20.0, -0.5), {"trap": "none"}, False),
        ((-20.0, -0.5), {"trap": "none", "interaction": "soft_coulomb"}, False),
        ((-20.0, -5.0), {"trap": "none"}, True),
        ((-20.0, -0.5), {"trap": "none", "pair_stiffness": 0.1}, True),  # which binds
        ((-20.0, -0.5), {}, True),
        ((0.1, 4.0), {"interaction": "coth"}, False),
    ],
)
def test_the_trained_range_exceeds_the_wanted_one_where_such_systems_are_bound(strengths, options, exceeds):
    conditions = Conditions(FermionFamily(2, strengths, **options), 2, 32, ConditionPolicy(8), 0, dtype="float64")
    low, high = conditions.strength.values
    assert (low < strengths[0] and high > strengths[1]) if exceeds else (low, high) == strengths


def test_a_family_of_which_a_system_is_not_bound_is_refused():
    with pytest.raises(
        ValueError, match=r"^trap = none contradicts interaction_strength = 20.0: without a trap it must"
    ):
        FermionFamily(4, (-20.0, 20.0), trap=False)


def test_energies_of_a_family_of_one_system_have_an_axis_for_it():
    """As those of several; they are recorded side by side."""
    family = FermionFamily([2, 3], (-4.0, 4.0))
    conditions = Conditions(family, 2, 16, ConditionPolicy(1), 0, dtype="float64")
    parts = [tf.constant(RANDOM.normal(size=16)) for _ in range(3)]
    group = WalkerGroup(family.systems[0], conditions, None, None, None, SimpleNamespace(n_walkers=16))
    found = group.estimates(SimpleNamespace(local_energy=LocalEnergy(*parts), raw_weights=tf.ones(16, tf.float64)))
    assert {tuple(one.shape) for one in found} == {(1,)}
    assert float(found.energy[0]) == pytest.approx(np.mean(np.sum(parts, axis=0)))
    record = tf.zeros((2, 1, len(CONDITION_COLUMNS)), tf.float64)
    record = with_systems(record, tf.constant(1), [(2, conditions.parameters())], [found])
    assert float(record[1, 0, CONDITION_COLUMNS.index("energy")]) == float(found.energy[0])


@pytest.mark.slow
@pytest.mark.parametrize("n_particles", [2, [2, 3]])
def test_one_system_of_each_number_of_particles_is_trained(n_particles):
    """Its energies are those of the iteration, with an axis for the systems."""
    vmc = trainer_of(n_particles, n_walkers=16, n_conditions=1)
    vmc.fit(2)
    found, number = vmc.recent_conditions(), len(np.atleast_1d(n_particles))
    assert found["energy"].shape == (2, number) and np.all(np.isfinite(found["energy"]))
    np.testing.assert_allclose(vmc.recent_iterations()["energy"], found["energy"].mean(axis=1), rtol=1e-6)


def test_every_value_of_a_list_is_trained():
    family = FermionFamily(2, (-5.0, 0.0, 5.0), (0.5, 0.7, 1.0))
    with pytest.raises(ValueError, match=r"^n_conditions = 8: must be at least 9, one for each of the listed systems$"):
        Conditions(family, 2, 32, ConditionPolicy(8), seed=0, dtype="float64")


def trainer_of(n_particles, n_walkers=64, n_conditions=8, **options):
    family = FermionFamily(n_particles, (-4.0, 4.0))
    keras.utils.set_random_seed(1)
    ansatz = JastrowAnsatz(max(family.conditions.n_particles), 4, 1, 4, 1, conditions=family.conditions)
    sampler = MetropolisHastings(n_walkers, n_steps=4, n_burn_in=40)
    vmc = VariationalMonteCarlo(ansatz, family, sampler, conditions=ConditionPolicy(n_conditions), **options)
    vmc.compile(keras.optimizers.SGD(0.05), NaturalGradient(damping=1e-2), jit_compile=False)
    return vmc


@pytest.fixture(scope="module")
def of_two_and_three():
    """A trainer of four iterations with two numbers of particles, and what counts their faults."""
    vmc, repair = trainer_of([2, 3], n_walkers=128), RepairTraining()
    vmc.fit(4, callbacks=[repair])
    return vmc, repair


def test_each_system_has_its_own_energy_and_proposal_width(of_two_and_three):
    """Free fermions in all systems at the start: E(V0) = A^2/2 + V0 <v at V0 = 1>, so energies rise with V0."""
    vmc, _ = of_two_and_three
    found = vmc.recent_conditions()
    assert found["energy"].shape == (4, 16) and vmc.proposal_width.shape == (8,)
    assert set(found["n_particles"][0]) == {2, 3}
    assert np.all(np.isfinite(found["energy"])) and len(set(map(float, vmc.proposal_width.numpy()))) > 1
    two = found["energy"][:, :8].mean(axis=0)
    assert two[-1] > two[0]
    row = vmc.recent_iterations()
    np.testing.assert_allclose(row["energy"], found["energy"].mean(axis=1), rtol=1e-6)
    np.testing.assert_allclose(row["energy_error"], np.sqrt(np.sum(found["energy_error"] ** 2, axis=1)) / 16, rtol=1e-5)


def test_a_family_has_no_energy_of_its_own():
    """The walkers of all systems with the fewest particles would be taken for those of one."""
    with pytest.raises(
        ValueError, match=r"^evaluate_energy: a family has no energy of its own; must be the trainer of"
    ):
        trainer_of(2).evaluate_energy()


def test_walkers_of_all_numbers_of_particles_count_in_the_share_of_non_finite_energies(of_two_and_three):
    _, repair = of_two_and_three
    assert repair.get_state()["counts"][-1] == 4 * 2 * 128


def test_another_strength_compiles_nothing():
    """Of a single system: its parameters are data of the compiled functions."""
    system, ansatz = TrappedFermions(2, 3.0), JastrowAnsatz(2, 4, 1, 4, 1)
    traced = []

    @tf.function(jit_compile=True, autograph=False)
    def energy(x):
        traced.append(x)
        return system.local_energy(x, ansatz.forward_laplacian(x)[1]).interaction

    x = tf.constant(RANDOM.normal(size=(4, 2)), tf.float32)
    first = energy(x).numpy()
    system.assign(interaction_strength=-6.0)
    np.testing.assert_allclose(energy(x), -2 * first, rtol=1e-6)
    system.assign(interaction_range=1.0)
    np.testing.assert_allclose(energy(x), TrappedFermions(2, -6.0, 1.0).interaction_energy(x), rtol=1e-6)
    assert len(traced) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((4, (3.0, -3.0)), "lower end"),
        ((4, (1.0, 2.0, 2.0)), "each number once"),
        ((4, 2.0), "must vary"),
        (([4, 2], (1.0, 2.0)), "ascending"),
        ((4, (1.0, 2.0), (0.0, 1.0)), "interaction_range"),
        ((2, (100.0, 2000.0), (0.006, 1.0)), "interaction_range = 0.006: must be above 0.08"),
        ((4, (-1.0, 2.0), None, "coth"), "interaction_strength = -1.0 contradicts interaction = coth: must be above 0"),
        ((4, (-0.5, 2.0), None, "harmonic"), r"interaction_strength = -0.5 contradicts trap = .*: must be above -1/n_"),
        (([2, 8], (-0.2, 2.0), None, "harmonic"), "must be above -1/n_particles = -0.125"),
    ],
)
def test_families_that_cannot_be(arguments, message):
    with pytest.raises(ValueError, match=message):
        FermionFamily(*arguments)


def test_members_outside_the_family():
    family = FermionFamily(4, (-20.0, 20.0))
    ansatz = JastrowAnsatz(4, 4, 1, 4, 1, conditions=family.conditions)
    with pytest.raises(ValueError, match=r"interaction_strength = 25.0: was not trained; must be from -20 to 20, or"):
        family.member(interaction_strength=25.0)
    with pytest.raises(ValueError, match="n_particles = 3: was not trained; must be 4, or"):
        ansatz.member(3, 1.0, 0.5)
    assert ansatz.member(3, 1.0, 0.5, extrapolate=True)(np.array([[-1.0, 0.1, 0.9]])).log_abs_psi.shape == (1,)
    with pytest.raises(ValueError, match="n_particles = 5: was not trained; must be at most 4, the number of trained"):
        FermionAnsatz(4, 4, conditions=family.conditions).member(5, 1.0, 0.5, extrapolate=True)
    assert family.member(interaction_strength=25.0, extrapolate=True).interaction_strength == 25.0
    with pytest.raises(ValueError, match="must be given"):
        family.member()


@pytest.mark.parametrize(
    ("n_walkers", "n_conditions", "message"),
    [(64, 7, "multiple of n_conditions"), (16, 16, "twice"), (64, 0, "n_cond")],
)
def test_walkers_that_cannot_be_divided(n_walkers, n_conditions, message):
    with pytest.raises(ValueError, match=message):
        trainer_of(2, n_walkers, n_conditions)
