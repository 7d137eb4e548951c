"""Checks of a trap and a pair potential that a user brings, before anything is traced or compiled."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import tensorflow as tf

from tf_nqs.types import Tensor

_DTYPES = ("float32", "float64")
"""What an ansatz may compute in; a potential must work in one of them."""


def check_potentials(trap: Any, pair_potential: Any, n_particles: int, dtypes: Iterable[str] = _DTYPES) -> None:
    """Calls custom potentials on two walkers, as graphs, and checks what they return.

    An infinite or undefined energy is no error here: a hard wall may have one.

    Args:
        trap: the name of one, or positions (n_walkers, n_particles) -> energies (n_walkers,).
        pair_potential: None, or distances of any shape -> energies of the same shape.
        n_particles: A.
        dtypes: they must work in one of these.

    Raises:
        TypeError: one of them is not what it must be, cannot be called on tensors, as a NumPy function, or returns
            no number of the same dtype.
        ValueError: it returns another shape.
    """
    if not isinstance(trap, str):
        wanted = "must be positions (n_walkers, n_particles) -> energies (n_walkers,)"
        _check("trap", trap, (2, n_particles), (2,), wanted, dtypes)
    if pair_potential is not None:
        shape = (2, n_particles * (n_particles - 1) // 2)
        wanted = "must be distances (n_walkers, n_pairs) -> energies of the same shape"
        _check("pair_potential", pair_potential, shape, shape, wanted, dtypes)


def in_working_dtype(function: Callable[[Tensor], Any], values: np.ndarray) -> Any:
    """Returns a function of a potential at some values, in float64, or in float32 if it works in that alone.

    Args:
        function: of one tensor; calls a potential of the user's own.
        values: what it is called with.
    """
    try:
        return function(tf.constant(values, tf.float64))
    except (TypeError, ValueError, tf.errors.InvalidArgumentError):
        return function(tf.constant(values, tf.float32))


def _check(
    name: str, potential: Any, shape: tuple[int, int], returned: tuple[int, ...], wanted: str, dtypes: Iterable[str]
) -> None:
    """Raises an error of one line if a potential works in none of the dtypes; `wanted` says what it must be."""
    if not callable(potential):
        allowed = "a name, True, False or a function" if name == "trap" else "None or a function"
        raise TypeError(f"{name} = {potential!r}: must be {allowed}, {wanted.removeprefix('must be ')}")
    faults = [_fault(potential, shape, returned, dtype) for dtype in dtypes]
    if all(faults):
        kind, reason = next(filter(None, faults))
        raise kind(f"{name} {reason}; {wanted}")


def _fault(
    potential: Callable[[Tensor], Tensor], shape: tuple[int, int], wanted: tuple[int, ...], dtype: str
) -> tuple[type[Exception], str] | None:
    """Returns the kind of the error and what a potential does wrong; None if it works in this dtype."""
    # In graphs alone do NumPy functions fail: on the values of eager tensors they would seem to work.
    graph = tf.function(_as_tensor(potential, dtype), autograph=False)
    try:
        energy = graph.get_concrete_function(tf.TensorSpec(shape, dtype)).structured_outputs
    except (NotImplementedError, TypeError, ValueError, AttributeError) as error:
        reason = re.split(r"\.(?:\s|$)|\n", str(error).strip())[0]
        advice = "write it with TensorFlow operations, not NumPy functions"
        return TypeError, f"fails on tensors of {dtype} ({reason}): {advice}"
    if energy.dtype != dtype:
        return TypeError, f"returns {energy.dtype.name} for {dtype}: must keep the dtype"
    if not energy.shape.is_compatible_with(wanted):
        return ValueError, f"returns shape {tuple(energy.shape)} for an argument of shape {shape}: must be {wanted}"
    return None


def _as_tensor(potential: Callable[[Tensor], Tensor], dtype: str) -> Callable[[Tensor], Tensor]:
    """Returns the potential with its value as a tensor; a number alone becomes one of the dtype."""

    def value(positions: Tensor) -> Tensor:
        energy = potential(positions)
        is_number = isinstance(energy, bool | int | float | np.number | np.ndarray)
        return tf.convert_to_tensor(energy, dtype if is_number else None)

    return value
