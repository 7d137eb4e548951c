"""Decisions that the processes of a `tf.distribute` strategy take together; one process decides alone, at no cost.

All processes run the same program on the same numbers, so most of their decisions agree. Those that depend on a clock
or on a signal need not, and a process that goes another way lets the others wait for its part of a sum. Such decisions
are the chief's, or are taken where any process wants it.

All of it must be called by all processes, in the same order, in the scope of the strategy.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from tf_nqs.execution.replicas import everywhere, n_processes, n_replicas, of_first
from tf_nqs.types import Tensor


def is_chief() -> bool:
    """Returns whether this process is the one that writes files: the only one, or the first of several."""
    if n_processes() == 1:
        return True
    resolver = tf.distribute.get_strategy().cluster_resolver
    has_chief = "chief" in resolver.cluster_spec().jobs
    return resolver.task_type == "chief" or (not has_chief and resolver.task_id == 0)


def of_chief(number: float) -> float:
    """Returns the chief's number, on all processes."""
    return float(_sums(True)(np.array(number, np.float64))) if n_processes() > 1 else number


def chief_decides(flag: bool) -> bool:
    """Returns what the chief has decided, on all processes."""
    return bool(of_chief(float(flag)))


def numbers_together(numbers: Sequence[float]) -> list[float]:
    """Returns for each of several numbers its sum over all processes: of flags, in how many of them it is set."""
    values = np.array(numbers, np.float64)
    if (n := n_processes()) == 1:
        return list(values)
    return list(_sums(False)(values).numpy() * n / n_replicas())  # each replica of a process has added its number


def tensors_of_chief(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Returns the chief's tensors, on all processes; inside of a graph.

    They are one message, for which all are float64 numbers: none may be an integer of more than 53 bits.
    """
    if n_processes() == 1:
        return list(tensors)

    def in_replica(*own: Tensor) -> Tensor:
        numbers = [tf.reshape(tf.cast(one, tf.float64), [-1]) for one in own]
        part = of_first(tf.concat(numbers, axis=0))
        return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, part)

    numbers = everywhere(in_replica)(*tensors)
    parts = tf.split(numbers, [one.shape.num_elements() for one in tensors])
    return [tf.cast(tf.reshape(part, one.shape), one.dtype) for part, one in zip(parts, tensors, strict=True)]


def _sums(of_first_alone: bool) -> Callable[[np.ndarray], Tensor]:
    return _reduction(tf.distribute.get_strategy(), of_first_alone)


@functools.cache  # traced once; there is one strategy of several processes in a process
def _reduction(strategy: tf.distribute.Strategy, of_first_alone: bool) -> Callable[[np.ndarray], Tensor]:
    """Returns the sum of what the replicas are given, or what the first one is given, on all processes."""

    def in_replica(value: Tensor) -> Tensor:
        part = of_first(value) if of_first_alone else tf.identity(value)
        return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, part)

    @tf.function(autograph=False)
    def reduced(value: Tensor) -> Tensor:
        return strategy.experimental_local_results(strategy.run(in_replica, args=(value,)))[0]

    return lambda value: reduced(tf.constant(value))
