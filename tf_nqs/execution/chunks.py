"""Phases that process walkers in chunks, so that their working memory stays within a limit.

Walkers do not depend on each other: a phase is a loop over chunks of equal size. The last chunk may overlap with the
one before it, so that all chunks have one shape and the phase is compiled once; repeated walkers give the same rows
again, and have the coefficient 0 in a sum.

If one chunk holds all walkers, a phase still runs in equal parts, in parallel: the arrays of one part fit into the
cache of a core, and operations that XLA does not distribute over the cores run at the same time as those of other
parts.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tf_nqs.execution.compilation import compiled_phase
from tf_nqs.execution.memory import peak_bytes
from tf_nqs.execution.replicas import spread_rows, spread_sums
from tf_nqs.types import Tensor

_WALKERS_PER_PART = 512
"""Measured for A = 4, H = 64, on two cores: sampling 4096 walkers in parts of 512 takes 0.8 of the time, 512 walkers
in two parts of 256 takes 0.76 of it. So there are at least two parts if each keeps `_FEWEST_WALKERS_PER_PART`."""

_FEWEST_WALKERS_PER_PART = 256

_SHARE_IN_GRAPH_MODE = 0.5
"""Share of the limit that an estimate may use without XLA: operations in parallel need more memory than estimated."""


def phase_of_rows(phase: Callable, jit_compile: bool, chunk_mebibytes: float) -> Callable:
    """Returns a compiled phase whose arguments and results have one row per walker.

    The results stay in memory as a whole: the limit is on the working memory that computes them. In the scope of a
    `tf.distribute` strategy the rows are spread over its replicas.

    Args:
        phase: function of tensors (n_walkers, ...), to tensors (n_walkers, ...) in any structure.
        jit_compile: whether XLA compiles the phase.
        chunk_mebibytes: maximum working memory, in MiB.
    """
    compiled = compiled_phase(phase, jit_compile)
    bound = _estimate_allowed(chunk_mebibytes, jit_compile)

    @tf.function(autograph=False)
    def run(*rows: Tensor) -> Any:
        n_walkers, size = rows[0].shape[0], walkers_per_chunk(compiled, rows, bound)
        if size == n_walkers:
            results = [compiled(*part) for part in zip(*map(in_parts, rows), strict=True)]
            return tf.nest.map_structure(lambda *parts: tf.concat(parts, axis=0), *results)
        outputs = compiled.get_concrete_function(*_specs(rows, size)).structured_outputs
        results = tf.nest.map_structure(lambda one: _unwritten(one, n_walkers), outputs)

        def add(results: Any, first: Tensor, chunk: tuple[Tensor, ...], is_new: Tensor) -> Any:
            del is_new
            return tf.nest.map_structure(lambda old, new: _with_rows(old, new, first), results, compiled(*chunk))

        return _over_chunks(add, results, rows, size)

    return spread_rows(run)


def phase_of_sums(phase: Callable, jit_compile: bool, chunk_mebibytes: float) -> Callable:
    """Returns a compiled phase whose results are sums over walkers, each times its coefficient.

    In the scope of a `tf.distribute` strategy each replica has the sums over its own walkers.

    Args:
        phase: function of (positions, coefficients, ...), shapes (n_walkers, n_particles), (n_walkers,) and
            (n_walkers, ...), linear in the coefficients, to tensors in any structure.
        jit_compile: whether XLA compiles the phase.
        chunk_mebibytes: maximum working memory, in MiB.
    """
    compiled = compiled_phase(phase, jit_compile)
    bound = _estimate_allowed(chunk_mebibytes, jit_compile)

    @tf.function(autograph=False)
    def run(positions: Tensor, coefficients: Tensor, *others: Tensor) -> Any:
        rows = (positions, coefficients, *others)
        size = walkers_per_chunk(compiled, rows, bound)
        if size == positions.shape[0]:
            results = [compiled(*part) for part in zip(*map(in_parts, rows), strict=True)]
            return tf.nest.map_structure(lambda *parts: tf.add_n(parts), *results)
        outputs = compiled.get_concrete_function(*_specs(rows, size)).structured_outputs
        sums = tf.nest.map_structure(lambda one: tf.zeros(one.shape, one.dtype), outputs)

        def add(sums: Any, first: Tensor, chunk: tuple[Tensor, ...], is_new: Tensor) -> Any:
            del first
            positions, coefficients, *others = chunk
            counted = tf.where(is_new, coefficients, tf.zeros_like(coefficients))
            return tf.nest.map_structure(tf.add, sums, compiled(positions, counted, *others))

        return _over_chunks(add, sums, rows, size)

    return spread_sums(run)


def walkers_per_chunk(
    compiled: tf.types.experimental.PolymorphicFunction, rows: tuple[Tensor, ...], max_bytes: float
) -> int:
    """Returns the number of walkers per chunk: all, or as few equal chunks as the memory limit allows; at least 1.

    Args:
        compiled: the phase as a `tf.function`; it is traced to estimate its memory, but does not run.
        rows: its arguments, with a static number of walkers.
        max_bytes: maximum estimated memory of a chunk.
    """
    n_walkers = rows[0].shape[0]
    traced = n_walkers // n_parts(n_walkers)
    graph = compiled.get_concrete_function(*_specs(rows, traced)).graph
    n_chunks = math.ceil(peak_bytes(graph, rows[0].dtype.size) * n_walkers / traced / max_bytes)
    return math.ceil(n_walkers / min(max(n_chunks, 1), n_walkers))


def n_parts(n_walkers: int) -> int:
    """Returns the number of equal parts of about 512 walkers; 1 if the number of walkers cannot be divided so."""
    at_least = 2 if n_walkers >= 2 * _FEWEST_WALKERS_PER_PART else 1
    return math.gcd(n_walkers, max(n_walkers // _WALKERS_PER_PART, at_least))


def in_parts(rows: Tensor) -> list[Tensor]:
    """Returns the walkers, shape (n_walkers, ...), cut into equal parts; one part if their number is not known yet."""
    return [rows] if rows.shape[0] is None else tf.split(rows, n_parts(rows.shape[0]))


def _estimate_allowed(chunk_mebibytes: float, jit_compile: bool) -> float:
    return chunk_mebibytes * 2**20 * (1 if jit_compile else _SHARE_IN_GRAPH_MODE)


def _specs(rows: tuple[Tensor, ...], n_walkers: int) -> list[tf.TensorSpec]:
    return [tf.TensorSpec((n_walkers, *one.shape[1:]), one.dtype) for one in rows]


def _over_chunks(add: Callable, start: Any, rows: tuple[Tensor, ...], size: int) -> Any:
    """Applies add(results, first walker, rows of a chunk, which rows are new) to all chunks, one after the other."""
    n_walkers = rows[0].shape[0]

    def step(index: Tensor, results: Any) -> tuple[Tensor, Any]:
        first = tf.minimum(index * size, n_walkers - size)
        chunk = [tf.slice(one, [first] + [0] * (one.shape.rank - 1), [size, *one.shape[1:]]) for one in rows]
        is_new = first + tf.range(size) >= index * size
        return index + 1, add(results, first, chunk, is_new)

    n_chunks = math.ceil(n_walkers / size)
    # One after the other: chunks in parallel would need the memory of all.
    return tf.while_loop(lambda index, _: index < n_chunks, step, (0, start), parallel_iterations=1)[1]


def _unwritten(one: Tensor, n_walkers: int) -> Tensor:
    """Returns a tensor of n_walkers rows like those of `one`, not initialised.

    TensorFlow copies the start value of a loop once: zeros would take the memory of the results a second time.
    """
    shape = (n_walkers, *one.shape[1:])
    return tf.ensure_shape(tf.raw_ops.Empty(shape=shape, dtype=one.dtype), shape)


def _with_rows(old: Tensor, new: Tensor, first: Tensor) -> Tensor:
    """Returns `old` with `new` in the rows from `first` on; TensorFlow replaces them in place if it can."""
    last = first + new.shape[0]
    updated = tf.raw_ops.TensorStridedSliceUpdate(input=old, begin=[first], end=[last], strides=[1], value=new)
    return tf.ensure_shape(updated, old.shape)
