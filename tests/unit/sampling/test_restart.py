"""Walkers that are lost or stuck: found, restarted where others stand, and nothing else is touched."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from tf_nqs.sampling import MetropolisHastings, ReusePolicy
from tf_nqs.sampling.restart import count_unmoved, restart_lost
from tf_nqs.sampling.sample_reuse import SampleReuse
from tf_nqs.types import WalkerState

N = 8


def make_walkers(changes=(), dtype="float32"):
    """Walkers around the origin, some of them elsewhere: row -> positions."""
    positions = np.random.default_rng(0).normal(size=(N, 2)).astype(dtype)
    for row, where in dict(changes).items():
        positions[row] = where
    return WalkerState(tf.constant(positions), tf.constant([1, 2]), tf.constant(0.5, dtype))


def restarted(changes, n_unmoved=None, most_unmoved=5):
    walkers = make_walkers(changes)
    counts = tf.zeros(N, tf.int32) if n_unmoved is None else tf.constant(n_unmoved)
    after, counts, n_restarted = tf.function(restart_lost, autograph=False)(walkers, counts, most_unmoved)
    for kept in ("seed", "proposal_width"):
        np.testing.assert_array_equal(getattr(after, kept), getattr(walkers, kept))
    return walkers.positions.numpy(), after.positions.numpy(), counts.numpy(), int(n_restarted)


@pytest.mark.parametrize("where", [np.nan, [np.inf, 0.0], [0.0, -np.inf], [1e6, 0.0], [0.0, -1e30]])
def test_a_lost_walker_goes_where_another_stands(where):
    before, after, _, n_restarted = restarted({2: where, 5: where})
    assert n_restarted == 2
    others = np.delete(before, [2, 5], axis=0)
    np.testing.assert_array_equal(np.delete(after, [2, 5], axis=0), others)
    for row in (2, 5):
        assert np.any(np.all(others == after[row], axis=1))


@pytest.mark.parametrize("where", [[0.0, 0.0], [0.4, 0.4], [60.0, -60.0]])
def test_odd_places_are_not_lost(where):
    """A walker on a node leaves it by its next move, and a wide cloud is wide."""
    before, after, _, n_restarted = restarted({2: where})
    assert n_restarted == 0
    np.testing.assert_array_equal(after, before)


@pytest.mark.parametrize("where", [np.nan, [1e6, 0.0]])
def test_where_all_are_lost_all_stay(where):
    """There is nowhere to go; far out, there is nobody to be far from."""
    before, after, _, n_restarted = restarted(dict.fromkeys(range(N), where))
    assert n_restarted == 0
    np.testing.assert_array_equal(after, before)


def test_where_all_of_one_system_are_lost_they_stay_and_do_not_count():
    """The walkers of the other system of a family are no places for them."""
    walkers = make_walkers({0: np.nan, 1: np.nan, 5: np.nan})._replace(proposal_width=tf.fill(4, 0.5))
    n_unmoved = tf.constant([3, 1, 3, 1, 3, 1, 3, 1])
    after, counts, n_restarted = restart_lost(walkers, n_unmoved, most_unmoved=5)
    assert int(n_restarted) == 1
    np.testing.assert_array_equal(after.positions[5], walkers.positions[4])
    np.testing.assert_array_equal(np.delete(after.positions, 5, axis=0), np.delete(walkers.positions, 5, axis=0))
    np.testing.assert_array_equal(counts, [3, 1, 3, 1, 3, 0, 3, 1])


def test_a_walker_that_has_not_moved_for_long():
    n_unmoved = [0, 4, 5, 6, 0, 0, 0, 0]
    before, after, counts, n_restarted = restarted({}, n_unmoved)
    assert n_restarted == 2
    np.testing.assert_array_equal(counts, [0, 4, 0, 0, 0, 0, 0, 0])
    np.testing.assert_array_equal(np.any(after != before, axis=1), [False, False, True, True] + 4 * [False])
    assert restarted({}, n_unmoved, most_unmoved=0)[3] == 0


def test_calls_without_a_move_are_counted():
    before = tf.constant([[0.0, 1.0], [0.0, 1.0], [0.0, 1.0]])
    after = tf.constant([[0.0, 1.0], [0.0, 1.5], [0.5, 1.0]])
    np.testing.assert_array_equal(count_unmoved(before, after, tf.constant([3, 3, 0])), [4, 0, 0])


@pytest.mark.parametrize(("stuck_steps", "calls"), [(0, 0), (1, 1), (10, 1), (11, 2), (500, 50)])
def test_steps_are_counted_in_calls(stuck_steps, calls):
    assert MetropolisHastings(N, n_steps=10, stuck_steps=stuck_steps).most_unmoved == calls


def test_a_negative_bound_is_refused():
    with pytest.raises(ValueError, match="stuck_steps = -1: must be an integer of at least 0"):
        MetropolisHastings(N, stuck_steps=-1)


@pytest.mark.parametrize("resampling", ["every_iteration", "thesis"])
def test_only_sampling_counts(resampling):
    """The third walker never moves; with samples that serve for four iterations it is found four times as late."""
    most_unmoved = 3
    policy = ReusePolicy(resampling, longest_wait=4, shortest_wait=4)
    reuse = SampleReuse(policy, SimpleNamespace(n_walkers=N, most_unmoved=most_unmoved))

    def sample(walkers):
        moves = tf.where(tf.range(N) == 2, 0.0, 1.0)[:, None]
        return walkers._replace(positions=walkers.positions + moves), tf.constant(0.5)

    @tf.function(autograph=False)
    def iterate(walkers):
        return reuse.next_samples(walkers, sample, lambda state, _: state, lambda x: -0.01 * tf.reduce_sum(x, 1))

    walkers, n_restarted = make_walkers(), []
    for _ in range(17):
        samples, walkers = iterate(walkers)
        n_restarted.append(int(samples.log.n_restarted))
    served = 1 if resampling == "every_iteration" else 4
    # At the samplings 4, 7, ...: after three calls without a move, and three more where it stands then.
    expected = [int(index % (3 * served) == 0 and index > 0) for index in range(17)]
    assert n_restarted == expected
    reuse.forget()
    assert not np.any(reuse.n_unmoved.numpy())
