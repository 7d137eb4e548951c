"""Which part of a trainer's state makes it unsound: never what the next sampling replaces."""

from __future__ import annotations

import numpy as np
import pytest

from tf_nqs.ansatz import FermionAnsatz
from tf_nqs.callbacks import RepairTraining
from tf_nqs.physics.hamiltonian import TrappedFermions
from tf_nqs.sampling import MetropolisHastings, ReusePolicy
from tf_nqs.training import VariationalMonteCarlo, make_optimizer
from tf_nqs.training.rollback import state_fault

N_WALKERS = 32


def make_vmc(resampling):
    sampler = MetropolisHastings(N_WALKERS, n_steps=2, n_burn_in=20)
    reuse = ReusePolicy(resampling, longest_wait=6)
    vmc = VariationalMonteCarlo(
        FermionAnsatz(2, 4, 1), TrappedFermions(2, 2.0), sampler, reuse=reuse, iterations_per_call=2
    )
    vmc.compile(**make_optimizer("adam"), jit_compile=False)
    return vmc


@pytest.fixture(scope="module")
def vmc():
    """A trainer after a few iterations that re-weight their samples."""
    vmc = make_vmc("guarded")
    vmc.fit(4)
    return vmc


def spoil_first(variable, value):
    """Sets the first entry of a variable, or the only one."""
    values = np.array(variable.numpy())  # a copy: the original may be the variable itself
    values[(0,) * values.ndim] = value
    variable.assign(values)


@pytest.mark.parametrize("value", [-np.inf, np.inf, np.nan])
def test_what_the_next_sampling_replaces_is_no_fault(vmc, value):
    """The walkers, ln|Psi|^2 of the samples, and the error and the fall of their energy."""
    log_probability, _, *energies = vmc.reuse.state
    for variable in (vmc.positions, log_probability, *energies):
        before = np.array(variable.numpy())
        spoil_first(variable, value)
        assert state_fault(vmc) is None, variable.path
        variable.assign(before)


@pytest.mark.parametrize("value", [-np.inf, np.nan])
def test_one_walker_without_a_probability_leaves_the_training_alone(vmc, value):
    """It counts nothing until samples are drawn anew; there is no rollback."""
    spoil_first(vmc.reuse.state[0], value)
    repair = RepairTraining(0)
    vmc.fit(2, callbacks=[repair])
    assert repair.failure is None and vmc.stop_reason == "iterations"


@pytest.mark.parametrize("resampling", ["every_iteration", "thesis"])
def test_all_else_must_be_finite(resampling):
    vmc = make_vmc(resampling)
    assert state_fault(vmc) is None
    checked = [vmc.ansatz.trainable_variables[0], vmc.optimizer.variables[-1], vmc.step_factor]
    for variable in checked:
        before = np.array(variable.numpy())
        spoil_first(variable, np.nan)
        assert state_fault(vmc).endswith("not finite"), variable.path
        variable.assign(before)
    vmc.proposal_width.assign(np.inf)
    assert state_fault(vmc) == "proposal width of inf"
