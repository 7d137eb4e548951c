"""How the phases of an iteration are compiled, and when."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

import tensorflow as tf

from tf_nqs.quiet_import import collection_paused
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
