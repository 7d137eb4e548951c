"""Graphs without custom gradients, which TensorFlow saves with derivatives of all orders."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

_CALLS = ("PartitionedCall", "StatefulPartitionedCall")
"""Operations whose gradient TensorFlow finds by itself after loading."""

_CUSTOM_GRADIENT = "_gradient_op_type"
"""The attribute by which an operation points to a gradient written in Python."""


def portable(function: Callable, *specs: tf.TensorSpec) -> tf.types.experimental.PolymorphicFunction:
    """Returns the same function of tensors as a graph without custom gradients.

    A SavedModel holds the custom gradients of its functions, but not the custom gradients inside those gradients: a
    function with nested ones cannot be differentiated after loading. This function keeps the operations and removes
    only the pointers to their custom gradients, so that TensorFlow differentiates the operations, to any order. This is
    exact wherever the operations are differentiable. A determinant that is exactly zero is the exception: a custom
    gradient may know its derivative, but elimination divides by zero.

    Args:
        function: function of tensors, to tensors in any structure; the variables that it reads stay variables.
        specs: specs of its arguments.
    """
    concrete = tf.function(function, autograph=False).get_concrete_function(*specs)
    graph = concrete.graph.as_graph_def()
    for node in graph.node:
        if node.op not in _CALLS and _CUSTOM_GRADIENT in node.attr:
            del node.attr[_CUSTOM_GRADIENT]
    names = [tensor.name for tensor in concrete.inputs]
    outputs = [tensor.name for tensor in tf.nest.flatten(concrete.structured_outputs)]

    def imported(*arguments: Any) -> Any:
        # Handles of variables must become tensors of the new graph.
        captured = [tf.convert_to_tensor(handle) for handle in concrete.captured_inputs]
        values = dict(zip(names, [*arguments, *captured], strict=True))
        results = tf.graph_util.import_graph_def(graph, values, outputs, name="")
        return tf.nest.pack_sequence_as(concrete.structured_outputs, results)

    return tf.function(imported, input_signature=specs, autograph=False)
