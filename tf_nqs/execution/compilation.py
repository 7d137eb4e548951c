"""Compilation of the phases of an iteration."""

from __future__ import annotations

import contextlib
import functools
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import keras
import tensorflow as tf

from tf_nqs.runtime.startup import collection_paused
from tf_nqs.types import Tensor

Traced = tf.types.experimental.ConcreteFunction


class Calls(Protocol):
    """Functions with arguments, some of which are perhaps made when it comes to them."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[tuple[Callable, tuple[Any, ...]]]: ...


_ROUND = 4096
"""TensorFlow's running number when functions are compiled is a multiple of this."""


def compiled_phase(phase: Callable, jit_compile: bool) -> tf.types.experimental.PolymorphicFunction:
    """Returns the phase as a graph that calls the XLA-compiled phase.

    XLA compiles separately for eager calls and for graphs; because of the outer graph, a call from Python and one from
    `train_step` share one compilation.

    As in Keras' own training step, AutoGraph is off: it would read and rewrite the source of every called function,
    which takes longer than tracing it.

    Args:
        phase: function of tensors.
        jit_compile: whether XLA compiles it; without it the phase is a plain graph.
    """
    inner = tf.function(phase, jit_compile=jit_compile, autograph=False)
    return tf.function(lambda *tensors: inner(*tensors), autograph=False)


def warm_up(
    calls: Calls,
    last: Callable[[], tuple[Callable, tuple[Tensor, ...]]] | None = None,
    meanwhile: Callable[[], object] = lambda: None,
) -> None:
    """Traces functions one after the other, while XLA compiles those that are already traced.

    Tracing is Python code, which only one thread can run at a time; compilation is not.

    TensorFlow puts a running number into the name of each function, and XLA finds in its cache on disk only what has
    the same name. So all numbers are given out by this thread: the others make no tensors or graphs, as these are
    numbered too.

    In the scope of a `tf.distribute` strategy one function is compiled after the other, by calling them: its processes
    must come to their messages to each other in the same order, and the scope is that of a thread.

    Args:
        calls: functions, each with the arguments of the call; those with the longest compilation first.
        last: traces a function that calls these, and returns it with its arguments, for a call that changes nothing.
        meanwhile: Python code to run during the last compilations; it traces nothing, as the call of the last function
            makes tensors at the same time.
    """
    _start_at_round_number()
    n_done = tf.Variable(0)

    def call(function: Callable, arguments: tuple[Tensor, ...]) -> None:
        results = [result for result in tf.nest.flatten(function(*arguments)) if result is not None]
        with tf.control_dependencies(results):
            n_done.assign_add(1, read_value=False)  # a graph skips what changes nothing and returns nothing

    if tf.distribute.has_strategy():
        for function, arguments in calls:
            function(*arguments)
        if last:
            function, arguments = last()
            function(*arguments)
        meanwhile()
        return
    n_threads = len(calls) + 1
    with collection_paused(), ThreadPoolExecutor(n_threads) as pool:
        _give_graphs(pool, n_threads)
        compilations = []
        for function, arguments in calls:
            graph = tf.function(functools.partial(call, function), autograph=False)
            compilations.append(pool.submit(graph.get_concrete_function(arguments), *tf.nest.flatten(arguments)))
        if last:
            function, arguments = last()
            compilations.append(pool.submit(function, *arguments))
        meanwhile()
        for compilation in compilations:
            compilation.result()


def _give_graphs(pool: ThreadPoolExecutor, n_threads: int) -> None:
    """Starts the threads of a pool, and makes in each the graph that TensorFlow would make later."""
    all_have_one = threading.Barrier(n_threads)

    def make_graph(_: int) -> None:
        tf.compat.v1.get_default_graph()
        all_have_one.wait()  # so that no thread does it twice

    list(pool.map(make_graph, range(n_threads)))


def _start_at_round_number() -> None:
    """Advances TensorFlow's running number to one that hardly depends on what was done before."""
    name = tf.function(lambda: None, autograph=False).get_concrete_function().name
    number, one = name.decode().rpartition("_")[2], tf.zeros(())
    for _ in range(-int(number) % _ROUND if number.isdecimal() else 0):
        tf.identity(one)


@contextlib.contextmanager
def explained_xla_failures(ansatz: keras.Model) -> Iterator[None]:
    """Converts XLA's failure to compile an operation inside the `with` block into one line with a remedy.

    Args:
        ansatz: the model that most likely needs the operation.

    Raises:
        ValueError: XLA lacks an operation.
    """
    try:
        yield
    except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError) as error:
        lacking = sorted(set(re.findall(r"No registered '(\w+)' OpKernel for XLA", str(error))))
        # Infinities are valid: ln 0 is -inf in TFP's Metropolis step and in determinants. NaN is an error.
        if "DebugNumericSummaryV2" in lacking or ("CheckNumerics" in str(error) and "Inf values" in str(error)):
            raise ValueError(
                "tf.debugging.enable_check_numerics() cannot be used here: XLA has no such checks, and without XLA it "
                "stops at ln 0 = -inf, which is valid; look at n_non_finite in recent_iterations()"
            ) from error
        if not lacking:
            raise
        advice = "use operations that XLA has, or compile(jit_compile=False)"
        if any("Determinant" in operation for operation in lacking):
            advice = (
                "use tf_nqs.layers.SlaterDeterminant or tf_nqs.physics.signed_log_sum_of_determinants in place of "
                "tf.linalg's determinants, or compile(jit_compile=False)"
            )
        message = f"jit_compile = True: XLA lacks {', '.join(lacking)}, needed by {type(ansatz).__name__}; {advice}"
        raise ValueError(message) from error
