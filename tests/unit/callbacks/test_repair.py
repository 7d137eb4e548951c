"""Self-repair: faults are survived, each in its own way, and a training without one is left alone to the last bit."""

from __future__ import annotations

import re
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_nqs.ansatz import FermionAnsatz
from tf_nqs.callbacks import EnergyEarlyStopping, IterationCallback, RepairTraining, RunCheckpoint
from tf_nqs.exact import two_particle_energy
from tf_nqs.physics.hamiltonian import TrappedFermions
from tf_nqs.sampling import MetropolisHastings
from tf_nqs.storage.checkpoints import _Facts, newest_checkpoint, restore_checkpoint
from tf_nqs.training import VariationalMonteCarlo, make_optimizer
from tf_nqs.training.record import COLUMNS
from tf_nqs.training.state import state_of
from tf_nqs.training.updates import apply_shortened

STRENGTH, N_WALKERS, N_STEPS, STUCK_CALLS = 10.0, 128, 10, 12
EXACT, _ = two_particle_energy(STRENGTH, 0.5)
PER_CALL = 10


class Switches:
    """What a test can break inside the compiled iteration: local energies, and the first walker's moves."""

    def __init__(self, vmc):
        self.n_bad, self.offset = tf.Variable(0), tf.Variable(0.0)
        self.holds = tf.Variable(False)
        local_energy, sample = vmc.phases.local_energy, vmc.phases.sample

        def faulty_energy(positions):
            energy = local_energy(positions)
            is_bad = tf.range(N_WALKERS) < self.n_bad
            return energy._replace(kinetic=tf.where(is_bad, energy.kinetic + self.offset, energy.kinetic))

        def sticking(walkers):
            moved, acceptance = sample(walkers)
            sticks = (tf.range(N_WALKERS) == 0) & self.holds
            return moved._replace(positions=tf.where(sticks[:, None], walkers.positions, moved.positions)), acceptance

        vmc.phases = replace(vmc.phases, local_energy=faulty_energy, sample=sticking)

    def spoil(self, n_bad, offset):
        self.n_bad.assign(n_bad)
        self.offset.assign(offset)

    def clear(self):
        self.spoil(0, 0.0)
        self.holds.assign(False)


@pytest.fixture(scope="module")
def trained():
    """A trainer after 120 iterations, its switches, and what puts it back to this state."""
    keras.utils.set_random_seed(0)
    sampler = MetropolisHastings(N_WALKERS, N_STEPS, n_burn_in=200, stuck_steps=STUCK_CALLS * N_STEPS)
    system = TrappedFermions(2, interaction_strength=STRENGTH)
    vmc = VariationalMonteCarlo(FermionAnsatz(2, 16), system, sampler, iterations_per_call=PER_CALL)
    vmc.compile(**make_optimizer("spring"), jit_compile=False)
    switches = Switches(vmc)
    vmc.fit(120)
    variables = [*vmc.variables, *vmc.optimizer.variables]
    values = [variable.numpy() for variable in variables]

    def restore():
        switches.clear()
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)

    return vmc, switches, restore


@pytest.fixture
def trainer(trained):
    vmc, switches, restore = trained
    restore()
    yield vmc, switches
    restore()


class At(IterationCallback):
    """Does something after some calls, and keeps all rows; number of calls -> action."""

    def __init__(self, **actions):
        super().__init__()
        self.actions, self.calls = actions, []

    def on_iterations(self, rows):
        self.calls.append(rows)
        self.actions.get(f"call_{len(self.calls)}", lambda: None)()

    def column(self, name):
        return np.concatenate([call[name] for call in self.calls])


def variables_of(vmc):
    return [variable.numpy() for variable in (*vmc.variables, *vmc.optimizer.variables)]


def put(vmc, rows, positions):
    """Places some walkers."""
    moved = vmc.positions.numpy()
    moved[rows] = positions
    vmc.positions.assign(moved)


def spoil_weights(vmc, factor):
    bias = vmc.ansatz.orbital_layer.bias
    bias.assign(factor * bias)


def explode(vmc):
    """Finite weights, as after a step that was far too long."""
    vmc.ansatz.set_weights([30 * weight for weight in vmc.ansatz.get_weights()])


FAULTS = {
    "NaN in the weights": (lambda vmc, switches: spoil_weights(vmc, np.nan), "not finite|no finite energy", 0),
    "NaN in walkers": (lambda vmc, switches: put(vmc, slice(40), np.nan), None, 40),
    "NaN in all walkers": (lambda vmc, switches: put(vmc, slice(None), np.nan), "no finite energy", 0),
    "NaN in the local energy": (lambda vmc, switches: switches.spoil(40, np.nan), None, 0),
    "NaN in all local energies": (lambda vmc, switches: switches.spoil(N_WALKERS, np.nan), "no finite energy", 0),
    "a walker at 1e6": (lambda vmc, switches: put(vmc, 7, [1e6, 0.0]), None, 1),
    "two particles at one place": (lambda vmc, switches: put(vmc, 7, [0.4, 0.4]), None, 0),
    "a proposal width of zero": (lambda vmc, switches: vmc.proposal_width.assign(0.0), "proposal width of 0", 0),
    "an energy spike of 1e6": (lambda vmc, switches: switches.spoil(1, 1e6), "energy of .* after 2.4", 0),
    "an exploding update": (lambda vmc, switches: explode(vmc), "energy of .* after 2.4|no finite energy", None),
    "inf in the last direction": (
        lambda vmc, switches: vmc.natural_gradient.previous.assign(vmc.natural_gradient.previous * np.inf),
        None,
        0,
    ),
    "all walkers at one place": (lambda vmc, switches: put(vmc, slice(None), [0.5, -0.2]), None, 0),
    "a damping that is NaN": (
        lambda vmc, switches: vmc.natural_gradient.damping_factor.assign(np.nan),
        "damping_factor not finite",
        0,
    ),
}
"""Fault -> what makes it, the repair's reason where one is needed, how many walkers are restarted."""


SLOW_FAULTS = (
    "NaN in all walkers",
    "NaN in all local energies",
    "a walker at 1e6",
    "two particles at one place",
    "inf in the last direction",
    "all walkers at one place",
)
"""Each is survived in the same way as another one, that every test run tries."""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in SLOW_FAULTS else name for name in FAULTS]
)
def test_a_fault_is_survived(name, trainer, messages):
    """The energy after 40 more iterations is within 4 honest errors and 1e-2 of the exact one."""
    vmc, switches = trainer
    fault, reason, n_restarted = FAULTS[name]
    repair = RepairTraining(5)
    broken = At(call_1=lambda: fault(vmc, switches), call_2=switches.clear)
    start = int(vmc.iteration)
    vmc.fit(4 * PER_CALL, callbacks=[repair, broken])
    assert vmc.stop_reason == "iterations" and repair.failure is None
    np.testing.assert_array_equal(broken.column("iteration"), start + np.arange(1, 4 * PER_CALL + 1))
    assert repair.n_repairs == (reason is not None)
    repairs = [line for line in messages if line.startswith("repair 1 of at most 5 ")]
    assert len(repairs) == repair.n_repairs
    if reason:
        # The state before the last call without a fault: that of the start.
        assert f"back to the state after iteration {start}" in repairs[0]
        assert re.search(reason, repairs[0]), repairs[0]
    if n_restarted is not None:
        assert repair.n_restarted == broken.column("n_restarted").sum() == n_restarted
        assert any(f"{n_restarted} walkers were lost or stuck" in line for line in messages) == bool(n_restarted)
    if name == "NaN in the local energy":
        np.testing.assert_array_equal(broken.column("n_non_finite")[PER_CALL : 2 * PER_CALL], 40)
        assert repair.non_finite_share == pytest.approx(40 / N_WALKERS / 4)
        assert messages == ["400 local energies of the training (7.8 %) were not finite and left out"]
    measured = vmc.evaluate_energy(target_error=2e-3, max_seconds=120.0, relations=False)
    assert measured.energy_error <= 2e-3
    assert abs(measured.energy - EXACT) < min(4 * measured.energy_error, 1e-2)


def test_a_training_without_faults_is_left_alone(trainer, trained, messages):
    """Bit by bit, in all rows and all variables."""
    vmc, _ = trainer
    rows, states = [], []
    for callbacks in ([], [RepairTraining(5)]):
        trained[2]()
        recorder = At()
        vmc.fit(2 * PER_CALL + 3, callbacks=[*callbacks, recorder])
        rows.append(recorder)
        states.append(variables_of(vmc))
    assert not messages
    for name in COLUMNS:
        np.testing.assert_array_equal(rows[0].column(name), rows[1].column(name))
    for one, other in zip(*states, strict=True):
        np.testing.assert_array_equal(one, other)


def test_repairs_are_bounded_and_the_last_good_state_stays(trainer, tmp_path, messages):
    vmc, _ = trainer
    early_stopping = EnergyEarlyStopping(10)
    repair = RepairTraining(2, early_stopping)
    poison = {f"call_{number}": lambda: spoil_weights(vmc, np.nan) for number in (1, 2, 3)}
    recorder = At(**poison)
    start, before = int(vmc.iteration), vmc.ansatz.get_weights()
    seeds: list[np.ndarray] = []
    keep = At(**{f"call_{number}": lambda: seeds.append(vmc.seed.numpy()) for number in (2, 3)})
    saving = RunCheckpoint(tmp_path, 90, [repair])
    vmc.fit(90, callbacks=[repair, early_stopping, recorder, keep, saving])
    assert vmc.stop_reason == "failed" and len(recorder.calls) == 4 and repair.n_repairs == 2
    lines = [line for line in messages if line.startswith(("repair", "training failed"))]
    heads = [line.partition(" after")[0] for line in lines]
    assert heads == ["repair 1 of at most 2", "repair 2 of at most 2", "training failed"]
    assert "steps from now on 0.5 times as long" in lines[0] and "0.25 times" in lines[1]
    assert repair.failure == lines[2] and "all repairs (max_repairs = 2) are used up" in repair.failure
    assert f"back to the state after iteration {start}" in repair.failure
    for one, other in zip(before, vmc.ansatz.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert float(vmc.step_factor) == 0.25
    spoil_weights(vmc, np.nan)
    found = newest_checkpoint(tmp_path)
    restore_checkpoint(found, state_of(vmc).saved)
    assert (found.facts["iteration"], found.facts["stop_reason"]) == (start + 40, None)  # it can be resumed
    for one, other in zip(before, vmc.ansatz.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert not np.array_equal(*seeds), "each repair draws other random numbers"
    # Those before the last repair are forgotten.
    assert [window.last_iteration - start for window in early_stopping.windows] == [30, 40]


def test_without_repairs_the_first_fault_ends_training(trainer):
    vmc, _ = trainer
    repair, recorder = RepairTraining(0), At(call_1=lambda: spoil_weights(vmc, np.nan))
    vmc.fit(90, callbacks=[repair, recorder])
    assert vmc.stop_reason == "failed" and len(recorder.calls) == 2 and repair.n_repairs == 0
    assert all(np.all(np.isfinite(weight)) for weight in vmc.ansatz.get_weights())


def test_a_start_that_is_not_finite_cannot_be_repaired(trainer):
    vmc, _ = trainer
    spoil_weights(vmc, np.nan)
    repair, recorder = RepairTraining(5), At()
    vmc.fit(90, callbacks=[repair, recorder])
    assert vmc.stop_reason == "failed" and len(recorder.calls) == 1
    assert "there is no good state to go back to" in repair.failure


def test_a_resumed_training_is_repaired_as_one_without_a_break(trainer, trained):
    """The fault comes after the break; what to go back to lies before it."""
    vmc, _ = trainer
    unbroken = RepairTraining()
    vmc.fit(4 * PER_CALL, callbacks=[unbroken, At(call_2=lambda: spoil_weights(vmc, np.nan))])
    expected = variables_of(vmc)
    trained[2]()
    broken = RepairTraining()
    vmc.fit(2 * PER_CALL, callbacks=[broken])
    saved = _Facts()
    saved.deserialize(_Facts(broken.get_state()).serialize())
    spoil_weights(vmc, np.nan)
    resumed = RepairTraining()
    resumed.resume(saved.facts)
    vmc.fit(4 * PER_CALL, callbacks=[resumed], done=2 * PER_CALL)
    assert unbroken.n_repairs == resumed.n_repairs == 1 and broken.n_repairs == 0
    assert unbroken.get_state()["counts"] == tuple(resumed.get_state()["counts"])
    for one, other in zip(expected, variables_of(vmc), strict=True):
        np.testing.assert_array_equal(one, other)


def test_failed_solves_are_told_when_they_happen(trainer, messages):
    """Here an infinite last direction, with which all four solves of the next iteration fail; no other call says so."""
    vmc, _ = trainer
    start, before = int(vmc.iteration), int(vmc.natural_gradient.n_rejected)
    at_call: list[int] = []
    gradient = vmc.natural_gradient
    spoil = At(
        call_1=lambda: gradient.previous.assign(gradient.previous * np.inf),
        call_2=lambda: at_call.append(len(messages)),
    )
    repair = RepairTraining(5)
    vmc.fit(3 * PER_CALL, callbacks=[repair, spoil])
    n_rejected = int(gradient.n_rejected) - before
    assert repair.n_repairs == 0 and n_rejected == 4
    where = f"iterations {start + PER_CALL + 1} to {start + 2 * PER_CALL}"
    assert messages == [f"{where}: 4 natural-gradient solves without a finite step, so the damping was raised"]
    assert at_call == [1]


def test_a_walker_that_sticks_is_restarted_and_counted(trainer):
    vmc, switches = trainer
    switches.holds.assign(True)
    held = vmc.positions.numpy()[0]
    repair, recorder = RepairTraining(), At()
    vmc.fit(STUCK_CALLS, callbacks=[repair, recorder])
    assert not np.any(recorder.column("n_restarted"))
    np.testing.assert_array_equal(vmc.positions.numpy()[0], held)
    vmc.fit(STUCK_CALLS + 2, callbacks=[repair, recorder])
    expected = np.zeros(2 * STUCK_CALLS + 2)
    expected[[STUCK_CALLS, 2 * STUCK_CALLS]] = 1
    np.testing.assert_array_equal(recorder.column("n_restarted"), expected)
    assert repair.n_restarted == 2, "a second fit counts anew"
    vmc.fit(1)
    assert np.any(vmc.positions.numpy()[0] != held)


def test_updates_are_shortened_after_the_optimizer():
    """Adam's step, of which half is taken back; a factor of 1 changes no bit."""
    gradients = [tf.constant([1.0, -2.0])]
    ends = []
    for factor in (None, 1.0, 0.5):
        variable, optimizer = keras.Variable([0.3, 0.7]), keras.optimizers.Adam(0.1)
        optimizer.build([variable])
        if factor is None:
            optimizer.apply(gradients, [variable])
        else:
            apply_shortened(optimizer, gradients, [variable], tf.constant(factor))
        ends.append(variable.numpy())
    np.testing.assert_array_equal(ends[0], ends[1])
    np.testing.assert_allclose(ends[2], (np.float32([0.3, 0.7]) + ends[0]) / 2, rtol=1e-6)  # float32


def test_a_negative_bound_is_refused():
    with pytest.raises(ValueError, match="max_repairs = -1: must be an integer of at least 0"):
        RepairTraining(-1)
