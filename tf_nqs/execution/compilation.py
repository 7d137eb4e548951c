"""How the phases of an iteration are compiled, and when."""

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
    """Returns the phase as a graph that calls its XLA-compiled self.

    XLA keeps what it compiled for eager calls apart from what it compiled for graphs; through the outer graph a call
    from Python and one from `train_step` share one compilation.

    As in Keras' own training step, Python's `if` and `for` are not translated to graphs: that would read and rewrite
    the source of everything called, which takes longer than tracing it.

    Args:
        phase: function of tensors.
        jit_compile: whether XLA compiles it; without it the phase is a plain graph.
    """
    inner = tf.function(phase, jit_compile=jit_compile, autograph=False)
    return tf.function(lambda *tensors: inner(*tensors), autograph=False)


def warm_up(
    calls: Iterable[tuple[Callable, tuple[Tensor, ...]]], meanwhile: Callable[[], object] = lambda: None
) -> None:
    """Traces functions one after the other, while XLA compiles those traced already.

    Tracing is Python, which one thread at a time may run; compilation is not.

    Args:
        calls: functions, each with the arguments to call it with; those that compile longest first.
        meanwhile: more Python to run during the last compilations; it may use the functions.
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
    """Turns XLA's failure to compile an operation inside the `with` block into one line that says what to do.

    Args:
        ansatz: whose operations they most likely are.

    Raises:
        ValueError: XLA lacks an operation.
    """
    try:
        yield
    except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError) as error:
        lacking = sorted(set(re.findall(r"No registered '(\w+)' OpKernel for XLA", str(error))))
        # Infinities are no faults: ln 0 is -inf in TFP's Metropolis step and in determinants. A NaN is passed on.
        if "DebugNumericSummaryV2" in lacking or ("CheckNumerics" in str(error) and "Inf values" in str(error)):
            raise ValueError(
                "tf.debugging.enable_check_numerics() cannot be used here: XLA has no such checks, and without XLA it "
                "stops at ln 0 = -inf, which is right; look at n_non_finite in recent_iterations()"
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
