"""Traced functions in a file: a later process reads their graphs, and need not trace them.

Tracing is Python code, which takes seconds. A graph knows nothing of Python: it holds operations, the functions that
XLA compiles, and places for what is handed over, which are arguments and variables.

The process that traces them runs the functions of the graph, too, and not those that TensorFlow has made of it: the
latter also know the lines of source code that they come from, which XLA takes for a part of what it compiles.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tf_nqs.execution.compilation import Traced
from tf_nqs.storage.files import UNREADABLE_ARRAYS, replace_file
from tf_nqs.types import Tensor

_MARK = "_kept"
"""End of the names of functions that are not those of the same name that TensorFlow has traced."""


class _Record(NamedTuple):
    """What is written of a function beside its graph.

    Attributes:
        inputs: names of its places in the graph, arguments first.
        arguments: dtype and shape of each argument.
        variables: places of the variables that it uses, among all.
        outputs: names of its results in the graph.
        shapes: of the results, None for what is not known before it runs.
    """

    inputs: list[str]
    arguments: list[tuple[str, list[int]]]
    variables: list[int]
    outputs: list[str]
    shapes: list[list[int | None] | None]


@dataclass(frozen=True)
class KeptFunction:
    """A function made of a graph: tensors to tensors, in one sequence each.

    Attributes:
        function: takes arguments, then handles of variables.
        handles: of the variables that it uses.
        arguments: dtype and shape of each argument.
    """

    function: Traced
    handles: list[Tensor]
    arguments: list[tuple[str, list[int]]]

    def __call__(self, *arguments: Tensor) -> list[Tensor]:
        """Returns the results, one after the other."""
        return tf.nest.flatten(self.function(*arguments, *self.handles))


class KeptGraphs:
    """Functions by name, from a file or traced for it.

    Args:
        path: of the file; one that is not there, that is damaged or was written for other variables counts for nothing.
        variables: all that the functions may use.
    """

    def __init__(self, path: Path, variables: Sequence[tf.Variable]):
        self._path, self._variables = path, list(variables)
        self._kinds = [[variable.dtype.name, variable.shape.as_list()] for variable in variables]
        try:
            self._graphs = self._read()
        except UNREADABLE_ARRAYS:
            self._graphs = {}
        self._known, self._is_complete = set(self._graphs), True

    def _read(self) -> dict[str, tuple[_Record, Any]]:
        with self._path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            records = json.loads(str(file["records"]))
            if records["variables"] != self._kinds:
                raise ValueError("was written for other variables")
            return {
                name: (_Record(*record), tf.compat.v1.GraphDef.FromString(file[name].tobytes()))
                for name, record in records["functions"].items()
            }

    def function(self, name: str, trace: Callable[[], Traced]) -> KeptFunction:
        """Returns a function of a name.

        Args:
            name: of the function.
            trace: traces it, for arguments of static shapes. One that uses something else than its arguments and the
                variables, a number of this process say, is returned as it is; then no file will be written.
        """
        traced = None if name in self._graphs else trace()
        if traced is not None and not self._keep(name, traced):
            return _as_it_is(traced)
        try:
            return _function_of(*self._graphs[name], self._variables)
        except tf.errors.OpError:  # this process has another function of the same name
            return _as_it_is(traced or trace())

    def _keep(self, name: str, function: Traced) -> bool:
        """Keeps the graph of a function, if that is possible."""
        places = {id(variable.handle): place for place, variable in enumerate(self._variables)}
        used = [places[id(one)] for one in function.captured_inputs if id(one) in places]
        if len(used) < len(function.captured_inputs):
            self._is_complete = False
            return False
        shapes = [None if one.shape.rank is None else one.shape.as_list() for one in function.outputs]
        record = _Record(_names(function.inputs), _arguments(function), used, _names(function.outputs), shapes)
        self._graphs[name] = record, _marked(function.graph.as_graph_def())
        return True

    def write(self) -> None:
        """Writes the file, which appears whole, if there is something new to keep.

        Raises:
            OSError: it cannot be written.
        """
        if not self._is_complete or self._known == set(self._graphs):
            return
        records = {"variables": self._kinds, "functions": {name: one for name, (one, _) in self._graphs.items()}}
        graphs: dict[str, Any] = {
            name: np.frombuffer(one.SerializeToString(), np.uint8) for name, (_, one) in self._graphs.items()
        }

        def write(unfinished: Path) -> None:
            with unfinished.open("wb") as file:
                np.savez_compressed(file, records=json.dumps(records), **graphs)

        replace_file(self._path, write)


def _names(tensors: Sequence[Tensor]) -> list[str]:
    return [one.name for one in tensors]


def _arguments(function: Traced) -> list[tuple[str, list[int]]]:
    """Returns dtype and shape of what a function takes beside what it has captured."""
    given = function.inputs[: len(function.inputs) - len(function.captured_inputs)]
    return [(one.dtype.name, one.shape.as_list()) for one in given]


def _as_it_is(function: Traced) -> KeptFunction:
    return KeptFunction(function, [], _arguments(function))


def _marked(graph: Any) -> Any:
    """Returns a graph whose functions have marked names."""
    names = {one.signature.name for one in graph.library.function}
    for nodes in (graph.node, *(one.node_def for one in graph.library.function)):
        for called in _functions_in(nodes):
            if called.name in names:
                called.name += _MARK
    for one in graph.library.function:
        one.signature.name += _MARK
    return graph


def _functions_in(nodes: Any) -> Iterator[Any]:
    """Yields the attributes of nodes that name functions."""
    for node in nodes:
        for attribute in node.attr.values():
            if attribute.HasField("func"):
                yield attribute.func
            yield from attribute.list.func


def _function_of(record: _Record, graph: Any, variables: Sequence[tf.Variable]) -> KeptFunction:
    library = tf.compat.v1.GraphDef(library=graph.library, versions=graph.versions)
    # A `tf.function` tells the runtime nothing of the functions that an imported graph calls; this does.
    tf.compat.v1.wrap_function(lambda: tf.graph_util.import_graph_def(library, name=""), [])
    handles = [variables[place].handle for place in record.variables]
    specs = [tf.TensorSpec(shape, dtype) for dtype, shape in record.arguments]
    specs += [tf.TensorSpec(handle.shape, handle.dtype) for handle in handles]

    def run(*tensors: Tensor) -> list[Tensor]:
        places = dict(zip(record.inputs, tensors, strict=True))
        results = tf.graph_util.import_graph_def(graph, places, record.outputs, name="kept")
        return [tf.ensure_shape(one, shape) for one, shape in zip(results, record.shapes, strict=True)]

    function = tf.function(run, autograph=False).get_concrete_function(*specs)
    return KeptFunction(function, handles, record.arguments)
