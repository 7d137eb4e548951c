"""Self-repair of a family: each system is judged by its own record, and the message names the system."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_nqs.ansatz import JastrowAnsatz
from tf_nqs.callbacks import IterationCallback, RepairTraining, repair
from tf_nqs.physics import FermionFamily, TrappedFermions
from tf_nqs.sampling import MetropolisHastings
from tf_nqs.storage.checkpoints import _Facts
from tf_nqs.training import ConditionPolicy, NaturalGradient, VariationalMonteCarlo
from tf_nqs.training.conditions import Conditions
from tf_nqs.training.record import CONDITION_COLUMNS
from tf_nqs.training.rollback import state_fault

STRENGTHS = np.linspace(-18.0, 18.0, 16)


class Model(SimpleNamespace):
    """A trainer without training: it can be told to stop."""

    stop = VariationalMonteCarlo.stop


@pytest.fixture
def judge(monkeypatch):
    """Returns a repair without a state to go back to, which therefore ends training at the first fault."""
    monkeypatch.setattr(repair, "state_fault", lambda model: None)

    def made(system=None, state=None, n_systems=16):
        callback = RepairTraining()
        shape = (10, n_systems, len(CONDITION_COLUMNS))
        callback.set_model(
            Model(
                system=system or TrappedFermions(4, -18.0, 0.5),
                condition_record=np.zeros(shape),
                n_walkers_in_all=64,
                natural_gradient=None,
                stop_training=False,
                stop_reason="iterations",
            )
        )
        callback.resume(state) if state else None
        callback.on_train_begin()
        callback._n_rejected, callback._recent = 0, None
        return callback

    return made


def systems_of(energies, **columns):
    """The record of systems; their scale is 10 where nothing else is said."""
    parts = {"kinetic": 3.0, "trap": 5.0, "interaction": 2.0, "interaction_range": 0.5, "n_particles": 4.0} | columns
    shape = energies.shape
    rows = {name: np.broadcast_to(np.asarray(value, float), shape).copy() for name, value in parts.items()}
    strengths = columns.get("interaction_strength", STRENGTHS[: shape[1]])
    return rows | {"energy": energies, "interaction_strength": np.broadcast_to(strengths, shape)}


def feed(callback, systems, first):
    """A call whose means are as good as ever."""
    callback.model.recent_conditions = lambda: systems
    n_rows = len(systems["energy"])
    means = {name: np.full(n_rows, 1.0) for name in ("energy", "kinetic", "trap", "interaction")}
    counts = {name: np.zeros(n_rows) for name in ("n_restarted", "n_non_finite")}
    callback.on_iterations({"iteration": np.arange(first, first + n_rows, dtype=float)} | means | counts)


def test_one_diverging_system_of_sixteen_is_a_fault_and_is_named(judge):
    callback = judge()
    feed(callback, systems_of(np.full((20, 16), 10.0)), 1)
    assert callback.failure is None and callback.get_state()["memory"].shape == (2, 20, 16)
    energies = np.full((5, 16), 10.0)
    energies[3, 15] = 10.0 + 201.0  # its own limit is 200; the mean over all systems has moved by 13
    feed(callback, systems_of(energies), 21)
    assert callback.failure == (
        "training failed after iteration 25: A = 4, V0 = 18, sigma0 = 0.5: energy of 211 in iteration 24, after 10; "
        "there is no good state to go back to"
    )
    assert callback.get_state()["memory"].shape == (2, 20, 16), "a bad call is not remembered"


def test_systems_at_other_energies_are_not_compared_with_each_other(judge):
    """One is 900 scales below the other, and both are steady."""
    callback, energies = judge(n_systems=2), np.full((20, 2), [-9000.0, 10.0])
    for first in (1, 21):
        feed(callback, systems_of(energies, interaction_strength=np.array([-2000.0, 1.0])), first)
    assert callback.failure is None


def test_each_system_has_the_bound_of_its_own_place(judge):
    """That of the attractive one lets its energy fall far; the repulsive one may not have this energy."""
    fallen = {}
    for system in (0, 15):
        callback, energies = judge(), np.full((20, 16), 10.0)
        feed(callback, systems_of(energies.copy()), 1)
        energies[7, system] = -250.0  # bounds: 6 pairs of -18/(sqrt(2 pi) 0.5), less 200; and 0, less 200
        feed(callback, systems_of(energies), 21)
        fallen[system] = callback.failure
    assert fallen[0] is None
    assert "V0 = 18, sigma0 = 0.5: energy of -250 in iteration 28, after 10: no state has less than 0;" in fallen[15]


def test_the_kinetic_energy_judges_a_system_without_a_bound(judge):
    callback = judge(TrappedFermions(4, 1.0, interaction="coth"), n_systems=2)
    strengths = np.array([1.0, 2.5])
    feed(callback, systems_of(np.full((20, 2), 10.0), interaction_strength=strengths), 1)
    kinetic = np.full((3, 2), 3.0)
    kinetic[2] = -300.0
    feed(callback, systems_of(np.full((3, 2), 10.0), interaction_strength=strengths, kinetic=kinetic), 21)
    assert (
        "A = 4, c = 1: kinetic energy of -300 in iteration 23: no state has less than 0 (1 other system has a fault "
        "too); " in callback.failure
    )


def test_a_resumed_repair_remembers_each_system(judge):
    """A checkpoint of an earlier version, which knows means alone, is forgotten."""
    first = judge()
    feed(first, systems_of(np.full((20, 16), 10.0)), 1)
    saved = _Facts()
    saved.deserialize(_Facts(first.get_state()).serialize())
    jump = np.full((1, 16), 10.0)
    jump[0, 3] = 1e4
    resumed = judge(state=saved.facts)
    feed(resumed, systems_of(jump), 21)
    assert "V0 = -10.8, sigma0 = 0.5: energy of 1e+04 in iteration 21" in resumed.failure
    earlier = judge(state=saved.facts | {"memory": np.full((2, 20), 10.0)})
    feed(earlier, systems_of(jump), 21)
    assert earlier.failure is None and earlier.get_state()["memory"].shape == (2, 1, 16)


def test_the_system_with_a_width_of_zero_is_named():
    """Before anything else of a trainer is looked at."""
    family = FermionFamily(2, (-4.0, 4.0))
    conditions = Conditions(family, 2, 32, ConditionPolicy(8), seed=0, dtype="float64")
    widths = np.full(8, 0.3)
    widths[5] = 0.0
    group = SimpleNamespace(system=family.systems[0], conditions=conditions, proposal_width=tf.constant(widths))
    strength = float(conditions.parameters().strength[5])
    found = state_fault(SimpleNamespace(groups=[group]))
    assert found == f"A = 2, V0 = {strength:.3g}, sigma0 = 0.5: proposal width of 0"


class Diverge(IterationCallback):
    """Shifts the local energies of one system in the next call, once."""

    def __init__(self, shift, at):
        super().__init__()
        self.shift, self.at, self.widest = shift, at, 0.0

    def on_iterations(self, rows):
        self.shift.assign(250.0 if rows["iteration"][-1] == self.at else 0.0)
        self.widest = max(self.widest, np.max(np.abs(rows["energy"])))


@pytest.mark.slow
def test_a_family_with_one_diverging_system_is_rolled_back(messages):
    """Its shift of 250 is 16 in the mean, within the 20 scales of a mean of about 2."""
    n_conditions, n_walkers, bad = 16, 256, 11
    family = FermionFamily(2, (-4.0, 4.0))
    keras.utils.set_random_seed(1)
    ansatz = JastrowAnsatz(2, 4, 1, 4, 1, conditions=family.conditions)
    sampler = MetropolisHastings(n_walkers, n_steps=4, n_burn_in=40)
    policy = ConditionPolicy(n_conditions)
    vmc = VariationalMonteCarlo(ansatz, family, sampler, conditions=policy, iterations_per_call=5)
    vmc.compile(keras.optimizers.SGD(0.05), NaturalGradient(damping=1e-2), jit_compile=False)
    shift, local_energy = tf.Variable(0.0), vmc.phases.local_energy
    is_bad = tf.range(n_walkers) // (n_walkers // n_conditions) == bad

    def shifted(positions):
        energy = local_energy(positions)
        return energy._replace(trap=tf.where(is_bad, energy.trap + shift, energy.trap))

    vmc.phases = replace(vmc.phases, local_energy=shifted)
    callback, diverge = RepairTraining(5), Diverge(shift, at=30)
    vmc.fit(50, callbacks=[callback, diverge])
    assert callback.n_repairs == 1 and callback.failure is None
    (line,) = [line for line in messages if line.startswith("repair 1 of at most 5 after iteration 35: A = 2, V0 = ")]
    assert ", sigma0 = 0.5: energy of 25" in line and "in iteration 31, after " in line
    assert "back to the state after iteration 25, steps from now on 0.5 times as long" in line
    named = float(line.partition("V0 = ")[2].partition(",")[0])
    edges = np.linspace(-4.0 - policy.margin * 8, 4.0 + policy.margin * 8, n_conditions + 1)
    assert edges[bad] - 0.01 <= named <= edges[bad + 1] + 0.01
    assert diverge.widest < 20, "the mean has hardly moved"
