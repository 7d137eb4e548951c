"""The state of a training: which variables it consists of, and that it is given back whole."""

from __future__ import annotations

from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_nqs.ansatz import FermionAnsatz
from tf_nqs.physics.hamiltonian import TrappedFermions
from tf_nqs.sampling import MetropolisHastings, ReusePolicy
from tf_nqs.training import VariationalMonteCarlo, make_optimizer
from tf_nqs.training.state import fits, restore, state_of, values_of


def make_vmc(optimizer="spring", resampling="guarded"):
    """A compiled trainer; nothing of it is traced."""
    sampler, reuse = MetropolisHastings(n_walkers=8, n_steps=2, n_burn_in=2), ReusePolicy(resampling)
    vmc = VariationalMonteCarlo(FermionAnsatz(2, 4, 1), TrappedFermions(2), sampler, reuse=reuse, iterations_per_call=2)
    vmc.compile(**make_optimizer(optimizer), jit_compile=False)
    return vmc


@pytest.fixture(scope="module")
def vmc():
    return make_vmc()


def identities(variables):
    return sorted(map(id, variables))


def last_parts(names):
    return sorted(name.split("/")[-1] for name in names)


def test_every_variable_is_in_the_state_once(vmc):
    state = state_of(vmc)
    assert identities(state.whole.values()) == identities([*vmc.variables, *vmc.optimizer.variables])
    assert identities([*state.model.values(), vmc.record]) == identities(vmc.variables)


def test_a_rollback_keeps_the_counts_and_does_not_look_at_what_sampling_renews(vmc):
    state, counts = state_of(vmc), ["iteration", "n_rejected", "n_samplings"]
    assert last_parts(state.counts) == counts
    assert last_parts(state.whole.keys() - state.rolled_back.keys()) == [*counts, "record"]
    unseen = [name for name in state.rolled_back.keys() - state.checked.keys() if "float" in state.whole[name].dtype]
    of_samples = ["energy_error", "energy_fall", "first_energy", "log_probability"]
    assert last_parts(unseen) == [*of_samples, "positions"]


def test_nothing_of_samples_is_renewed_where_none_are_reused():
    state = state_of(make_vmc("adam", "every_iteration"))
    assert last_parts(state.counts) == ["iteration", "n_samplings"] and last_parts(state.renewed) == ["positions"]


def test_values_are_copies_that_are_given_back(vmc):
    variables = {"one": keras.Variable([1.0, 2.0]), "two": keras.Variable(3)}
    values = values_of(variables)
    for variable in variables.values():
        variable.assign(0 * variable)
    restore(variables, values)
    np.testing.assert_array_equal(variables["one"], [1.0, 2.0])
    assert int(variables["two"]) == 3
    assert fits(variables, values) and not fits(variables, {"one": tf.zeros(2)})
    assert not fits(variables, {**values, "one": tf.zeros(3)})


def test_a_rehearsal_leaves_no_trace_even_if_it_fails(vmc):
    before = values_of(state_of(vmc).whole)
    with pytest.raises(ZeroDivisionError), vmc.rehearsal() as undo:
        vmc.iteration.assign_add(5)
        undo()
        assert int(vmc.iteration) == 0
        vmc.proposal_width.assign(7.0)
        vmc.stop("failed")
        raise ZeroDivisionError
    for name, value in values_of(state_of(vmc).whole).items():
        np.testing.assert_array_equal(value, before[name], err_msg=name)
    assert vmc.stop_reason == "iterations"
    vmc.continue_training()


def test_other_phases_are_called_inside_the_block_only(vmc):
    own = vmc.phases
    with vmc.calling(replace(own, sample=None)):
        assert vmc.phases.sample is None and vmc.run_eagerly
    assert vmc.phases is own and not vmc.run_eagerly


def test_the_first_reason_to_stop_counts_until_training_is_continued(vmc):
    vmc.stop("failed")
    vmc.stop("time_limit")
    assert (vmc.stop_training, vmc.stop_reason) == (True, "failed")
    vmc.continue_training()
    assert (vmc.stop_training, vmc.stop_reason) == (False, "iterations")
    vmc.stop("time_limit")
    assert vmc.stop_reason == "time_limit"
    vmc.continue_training()


def test_placed_walkers_are_no_known_samples(vmc):
    walkers = vmc.walkers
    vmc.reuse.n_unmoved.assign(tf.ones_like(vmc.reuse.n_unmoved))
    vmc.place_walkers(walkers._replace(positions=tf.ones_like(walkers.positions)))
    assert np.all(vmc.positions.numpy() == 1) and not np.any(vmc.reuse.n_unmoved.numpy())
    assert vmc.needs_burn_in  # as it was
    vmc.place_walkers(walkers, burn_in=False)
    assert not vmc.needs_burn_in
