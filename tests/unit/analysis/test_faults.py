"""What counts as a fault of an iteration, and what does not."""

from __future__ import annotations

import numpy as np
import pytest

from tf_nqs.analysis.faults import find_fault, find_fault_of_systems, no_memory, remember


def rows_of(energies, first=101, parts=(3.0, 5.0, 2.0), kinetic=None):
    """Columns of some iterations."""
    energies = np.asarray(energies, float)
    names = ("kinetic", "trap", "interaction")
    iterations = np.arange(first, first + energies.size, dtype=float)
    columns = {name: np.full(energies.size, part) for name, part in zip(names, parts, strict=True)}
    if kinetic is not None:
        columns["kinetic"] = np.broadcast_to(kinetic, energies.shape).astype(float)
    return {"iteration": iterations, "energy": energies, **columns}


@pytest.fixture
def memory():
    """A hundred iterations around 10, with a median deviation of 0.01, of a scale of 10."""
    return remember(no_memory(), rows_of(10 + 0.01 * np.resize([-2, -1, 1, 2, 0], 100), first=1))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, 9])
def test_an_energy_that_is_no_number(bad, place):
    energies = np.full(10, 2.4)
    assert find_fault(rows_of(energies), no_memory()) is None
    energies[place] = bad
    assert find_fault(rows_of(energies), no_memory()) == f"no finite energy in iteration {101 + place}"


@pytest.mark.parametrize("energy", [211.0, 1e30])
def test_an_explosion(energy, memory):
    """Beyond 20 scales, which are thousands of deviations."""
    found = find_fault(rows_of([10.0, energy, energy]), memory)
    assert found == f"energy of {energy:.4g} in iteration 102, after 10"


def test_thousands_of_deviations_are_no_explosion(memory):
    """A training that has settled has small deviations, and may still be disturbed."""
    assert find_fault(rows_of([209.0]), memory) is None


def test_a_fall_is_a_fault_only_below_what_a_state_can_have(memory):
    """By 20 scales more, as the energy of a few walkers has noise; a deep well that is found is a success."""
    assert find_fault(rows_of([-1199.0]), memory, lowest_energy=-1000.0) is None
    found = find_fault(rows_of([10.0, -1201.0]), memory, lowest_energy=-1000.0)
    assert found == "energy of -1201 in iteration 102, after 10: no state has less than -1000"


def test_where_no_bound_is_known_the_kinetic_energy_tells(memory):
    """It is never negative, but for noise; the potential energy was found where walkers are, so it is there.

    The bound here: 20 scales of 10, and the potential energy of 7.
    """
    assert find_fault(rows_of([-6e4], parts=(3.0, 5.0, -6e4)), memory) is None
    assert find_fault(rows_of([-6e4], kinetic=-206.0), memory) is None
    found = find_fault(rows_of([-201.0], kinetic=-208.0), memory)
    assert found == "kinetic energy of -208 in iteration 101: no state has less than 0"


def test_it_does_not_matter_how_iterations_are_cut_into_calls():
    """A descent in one call, from which a rise of the depth it has reached is no explosion; then an explosion."""
    descent = np.linspace(10.0, -600.0, 150)
    bounce = -600.0 + 20.0 * np.resize([-1, 1], 30)
    energies = np.concatenate([np.full(60, 10.0), descent, bounce, [1e6]])
    verdicts = []
    for length in (1, 7, 50, energies.size):
        memory, verdict = no_memory(), None
        for first in range(0, energies.size, length):
            rows = rows_of(energies[first : first + length], 1 + first, kinetic=energies[first : first + length] - 7)
            verdict = verdict or find_fault(rows, memory, lowest_energy=-1000.0)
            memory = remember(memory, rows)
        verdicts.append(verdict)
    assert verdicts == 4 * [verdicts[0]]
    assert "in iteration 241, after" in verdicts[0]


def test_a_steep_descent_is_no_explosion():
    """From far above, as from random weights with a strong interaction: the deviations are large then."""
    memory = remember(no_memory(), rows_of(np.linspace(5000.0, 1000.0, 20), parts=(5.0, 5.0, -3.0)))
    assert find_fault(rows_of([-600.0]), memory) is None


def test_a_few_iterations_are_too_few_to_compare_with():
    memory = remember(no_memory(), rows_of(np.full(9, 2.4)))
    assert find_fault(rows_of([1e9]), memory) is None
    assert find_fault(rows_of([1e9]), remember(memory, rows_of([2.4]))) is not None


def test_parts_that_cancel_leave_a_scale():
    """An energy near zero is no reason to take noise for an explosion."""
    memory = remember(no_memory(), rows_of(np.full(20, 0.01), parts=(10.0, 1.0, -10.99)))
    assert find_fault(rows_of([100.0]), memory) is None
    assert find_fault(rows_of([500.0]), memory) is not None


def test_only_the_last_hundred_are_remembered(memory):
    memory = remember(memory, rows_of(np.full(60, 1.0), parts=(1.0, 0.0, 0.0)))
    assert memory.shape == (2, 100)
    np.testing.assert_array_equal(memory[:, -60:], 1.0)


def test_each_system_of_a_family_is_judged_as_if_it_were_alone():
    """Sixteen systems at other energies, some of which jump, fall or have a negative kinetic energy."""
    rng = np.random.default_rng(3)
    levels = np.linspace(-300.0, 40.0, 16)
    bounds = np.where(np.arange(16) % 3 == 0, np.nan, np.minimum(0.0, 2 * levels))
    n_faults = 0
    for trial in range(16):
        energies = levels + rng.normal(0, 0.1, (104, 16))
        kinetic = np.full((104, 16), 3.0)
        faulty = trial
        if trial % 4 == 0:
            energies[102, faulty] += 10 ** rng.uniform(2, 6)
        elif trial % 4 == 1:
            energies[102, faulty] -= 10 ** rng.uniform(3, 6)
        elif trial % 4 == 2:
            kinetic[102, faulty] = -(10 ** rng.uniform(3, 6))
        systems = [rows_of(energies[:, one], 1, kinetic=kinetic[:, one]) for one in range(16)]
        earlier, later = ([{k: v[part] for k, v in one.items()} for one in systems] for part in np.s_[:100, 100:])
        alone = [
            find_fault(new, remember(no_memory(), old), None if np.isnan(bound) else bound)
            for old, new, bound in zip(earlier, later, bounds, strict=True)
        ]
        old, new = (
            {k: part[0][k] if k == "iteration" else np.stack([one[k] for one in part], axis=1) for k in part[0]}
            for part in (earlier, later)
        )
        memory = remember(no_memory(16), old)
        assert memory.shape == (2, 100, 16)
        found = find_fault_of_systems(new, memory, np.broadcast_to(bounds, (4, 16)))
        expected = [one for one in range(16) if alone[one]]
        n_faults += bool(expected)
        assert (found.systems if found else []) == expected
        if found:
            assert (found.row, found.text) == (2, alone[found.systems[0]])
    assert n_faults >= 6


def test_one_system_of_sixteen_counts_at_the_jump_that_counts_alone():
    """20 scales of its own; in the mean over all it would have to be sixteen times as large."""
    steady = {name: np.full((20, 16), value) for name, value in PARTS.items()}
    memory, jump = remember(no_memory(16), steady), {name: np.full((1, 16), value) for name, value in PARTS.items()}
    jump |= {"iteration": np.array([21.0])}
    unknown = np.full((1, 16), np.nan)
    for energy, systems in ((10.0 + 199.0, None), (10.0 + 201.0, [11])):
        jump["energy"][0, 11] = energy
        found = find_fault_of_systems(jump, memory, unknown)
        assert (found and found.systems) == systems
        means = {name: values.mean(axis=-1) for name, values in jump.items() if name != "iteration"}
        mean_memory = remember(no_memory(), {name: values.mean(axis=1) for name, values in steady.items()})
        assert find_fault(means | {"iteration": jump["iteration"]}, mean_memory) is None


PARTS = {"energy": 10.0, "kinetic": 3.0, "trap": 5.0, "interaction": 2.0}
"""The scale is that of their absolute values, 10."""


def test_the_first_iteration_with_a_fault_is_reported_with_all_its_systems():
    rows = {name: np.full((3, 4), value) for name, value in PARTS.items()} | {"iteration": np.arange(7.0, 10.0)}
    rows["energy"][1, [1, 3]] = np.nan
    rows["energy"][2, 0] = np.nan
    found = find_fault_of_systems(rows, no_memory(4), np.zeros((3, 4)))
    assert found == (1, [1, 3], "no finite energy in iteration 8")
