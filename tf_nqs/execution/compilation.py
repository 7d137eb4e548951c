"""Compilation of the phases of an iteration."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import keras
import tensorflow as tf

from tf_nqs.runtime.startup import collection_paused
from tf_nqs.types import Tensor


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
    calls: Iterable[tuple[Callable, tuple[Tensor, ...]]], meanwhile: Callable[[], object] = lambda: None
) -> None:
    """Traces functions one after the other, while XLA compiles those that are already traced.

    Tracing is Python code, which only one thread can run at a time; compilation is not.

    Args:
        calls: functions, each with the arguments of the call; those with the longest compilation first.
        meanwhile: Python code to run during the last compilations; it may use the functions.
    """
    with collection_paused(), ThreadPoolExecutor() as pool:
        compilations = []
        for function, arguments in calls:
            tf.function(function, autograph=False).get_concrete_function(*arguments)
            compilations.append(pool.submit(function, *arguments))
        meanwhile()
        for compilation in compilations:
            compilation.result()


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
