"""How the phases of an iteration are compiled."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf


def compiled_phase(phase: Callable, jit_compile: bool) -> Callable:
    """Returns the phase as a graph that calls its XLA-compiled self.

    XLA keeps what it compiled for eager calls apart from what it compiled for graphs; through the outer graph a call
    from Python and one from `train_step` share one compilation.

    Args:
        phase: function of tensors.
        jit_compile: whether XLA compiles it; without it the phase is a plain graph.
    """
    inner = tf.function(phase, jit_compile=jit_compile)
    return tf.function(lambda *tensors: inner(*tensors), autograph=False)
