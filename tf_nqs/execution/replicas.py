"""Walkers spread over the replicas of the `tf.distribute` strategy in scope; without one nothing here does anything.

All state is the same on every replica, that of the walkers too. A replica works on its own rows of the walkers, and
what comes out is gathered, so means, medians, clipping and re-weighting are those of all walkers, by the same code as
on one device.

The loop of iterations stands outside of `strategy.run`, because neither collectives nor updates of variables may be
called inside control flow of a replica. What is called inside of it, "in a replica", says so.

Reference: the guide of `tf.distribute`, custom training loops.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any

import tensorflow as tf

from tf_nqs.types import Tensor

_LARGE = 2**20
"""Bytes of a replica from which on sending them costs less than summing them among zeros: measured for 18 MB, 19 ms of
a process' time against 30, with gRPC."""


def strategy_in_scope() -> tf.distribute.Strategy | None:
    """Returns the strategy in scope; None if there is none."""
    return tf.distribute.get_strategy() if tf.distribute.has_strategy() else None


def scope_of(strategy: tf.distribute.Strategy | None) -> AbstractContextManager:
    """Returns the scope of a strategy, for a `with` statement; that of None does nothing."""
    return strategy.scope() if strategy else contextlib.nullcontext()


def n_replicas() -> int:
    """Returns the number of replicas of all processes together; 1 without a strategy."""
    return tf.distribute.get_strategy().num_replicas_in_sync


def n_processes() -> int:
    """Returns the number of processes of the strategy in scope; 1 without one."""
    resolver = tf.distribute.get_strategy().cluster_resolver
    tasks = resolver.cluster_spec().as_dict() if resolver else {}
    return max(sum(len(tasks.get(job, ())) for job in ("chief", "worker")), 1)


def replica_number() -> Tensor:
    """Returns the number of the replica that asks, int32; in a replica."""
    return tf.cast(tf.distribute.get_replica_context().replica_id_in_sync_group, tf.int32)


def own_rows(rows: Tensor) -> Tensor:
    """Returns the rows of the replica that asks, as many for each: shape (n_rows / n_replicas, ...); in a replica.

    Args:
        rows: shape (n_rows, ...), equal on all replicas; n_rows is a multiple of the number of replicas.
    """
    return rows_of_replica(rows, replica_number())


def rows_of_replica(rows: Tensor, number: Tensor) -> Tensor:
    """Returns the rows of a replica, see `own_rows`; for functions that TensorFlow traces once for all replicas."""
    if (n := n_replicas()) == 1:
        return rows
    size = rows.shape[0] // n
    return some_rows(rows, number * size, size)


def some_rows(rows: Tensor, first: Tensor, number: int) -> Tensor:
    """Returns a number of rows of a tensor (n_rows, ...), from the first one on."""
    shape = (number, *rows.shape[1:])
    return tf.ensure_shape(tf.slice(rows, [first] + [0] * (len(shape) - 1), shape), shape)


def gathered(own: list[Tensor]) -> list[Tensor]:
    """Returns the rows of all replicas, in the order of their numbers; in a replica.

    One collective for all tensors, the time of which counts where they are small: each replica sets its rows among
    zeros, and x + 0 is x to the last bit. Large ones are not summed but sent, by one process or where each process has
    one replica; where several processes have several replicas each, TensorFlow does not keep the order.

    Args:
        own: tensors of shape (n_own, ...), of the same shapes on all replicas.
    """
    if (n := n_replicas()) == 1:
        return own
    context, number = tf.distribute.get_replica_context(), replica_number()
    if sum(one.shape.num_elements() * one.dtype.size for one in own) > _LARGE and n_processes() in (1, n):
        found = context.all_gather(own, axis=0)
        return [tf.ensure_shape(rows, (n * one.shape[0], *one.shape[1:])) for rows, one in zip(found, own, strict=True)]

    def among_zeros(one: Tensor) -> Tensor:
        before = number * one.shape[0]
        after = (n - 1) * one.shape[0] - before
        placed = tf.pad(one, [[before, after]] + [[0, 0]] * (one.shape.rank - 1))
        return tf.ensure_shape(placed, (one.shape[0] * n, *one.shape[1:]))

    return context.all_reduce(tf.distribute.ReduceOp.SUM, [among_zeros(one) for one in own])


def everywhere(function: Callable) -> Callable:
    """Returns a function that calls another one in all replicas, where it must return the same; called outside of them.

    Args:
        function: of tensors, to tensors in any structure; it may use all that is said to be in a replica.
    """
    return _run(function, lambda strategy, one: strategy.experimental_local_results(one)[0])


def in_each(function: Callable) -> Callable:
    """Returns a function that calls another one in all replicas, and returns what each of them has got.

    Args:
        function: as for `everywhere`. Its results are to be handed over to another such function.
    """
    return _run(function, lambda strategy, one: one)


def _run(function: Callable, result_of: Callable[[tf.distribute.Strategy, Any], Any]) -> Callable:
    strategy = strategy_in_scope()
    if strategy is None:
        return function

    def now(*arguments: Any) -> Any:
        results = strategy.run(function, args=arguments)
        return tf.nest.map_structure(lambda one: result_of(strategy, one), results)

    # Inside of a graph without a tf.function of its own: TensorFlow cannot run one around `strategy.run` in a branch of
    # a loop ("You must feed a value for placeholder tensor").
    # A partial, by which TensorFlow tells the functions apart: it would warn that one is traced again and again.
    from_python = tf.function(functools.partial(now), autograph=False)
    return lambda *arguments: (now if tf.inside_function() else from_python)(*arguments)


def spread_rows(phase: Callable) -> Callable:
    """Returns a phase of rows that is spread over the replicas, see `tf_nqs.execution.chunks.phase_of_rows`.

    Args:
        phase: function of tensors (n_walkers, ...), to tensors (n_walkers, ...) in any structure.
    """
    if strategy_in_scope() is None:
        return phase

    def of_own_rows(*rows: Tensor) -> Any:
        results = phase(*map(own_rows, rows))
        return tf.nest.pack_sequence_as(results, gathered(tf.nest.flatten(results)))

    spread, n = everywhere(of_own_rows), n_replicas()

    def of_all_rows(*rows: Tensor) -> Any:
        n_rows = rows[0].shape[0]
        results = spread(*(with_more_rows(tf.convert_to_tensor(one), -n_rows % n) for one in rows))
        return results if n_rows % n == 0 else tf.nest.map_structure(lambda one: one[:n_rows], results)

    return of_all_rows


def with_more_rows(rows: Tensor, number: int) -> Tensor:
    """Returns rows with the last one repeated a number of times behind them."""
    return tf.concat([rows, tf.repeat(rows[-1:], number, axis=0)], axis=0) if number else rows


def spread_sums(phase: Callable) -> Callable:
    """Returns a phase of sums over own rows, see `tf_nqs.execution.chunks.phase_of_sums`: each replica has its part.

    Args:
        phase: function of tensors (n_walkers, ...), to sums over walkers in any structure.
    """
    return in_each(lambda *rows: phase(*map(own_rows, rows))) if strategy_in_scope() else phase


def of_first(value: Tensor) -> Tensor:
    """Returns the value on the first replica and 0 on the others, so that their sum is the value; in a replica."""
    return value if n_replicas() == 1 else tf.where(replica_number() == 0, value, tf.zeros_like(value))


def outside_scope(function: Callable[[], Any]) -> Any:
    """Calls a function where no strategy is in scope, and returns its result.

    In the scope of a strategy of several processes every new variable is a message to all of them: one process alone
    may make none there. The scope is that of a thread.
    """
    if strategy_in_scope() is None:
        return function()
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result()
