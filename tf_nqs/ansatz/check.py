"""Checks that an ansatz is a wave function of fermions: what it returns, and what an exchange of particles does to it.

The checks look at the walkers as they stand and draw no random numbers.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tf_nqs.ansatz.protocol import HasEquivariantLayers, WaveFunction
from tf_nqs.types import Tensor

_MOST_WALKERS = 128
"""Number of walkers checked: more show nothing new, and these take a few hundredths of a second."""

_SHIFT = 4.0
"""Relative shift of the positions that measures how strongly rounding errors act on ln|Psi|, in units of eps."""

_LARGEST_NOISE = 0.1
"""A walker where that shift changes ln|Psi| by more is not judged: there the determinant is rounding noise."""

_MARGIN = 100.0
"""Factor: an exchange may change ln|Psi| by this many times the change of the shift, or by this many eps."""

_LARGEST_SHARE = 0.1
"""Of the judged walkers may be wrong: measured were up to 2 in 100 for determinants, by rounding."""

_LEAST_JUDGED = 0.5
"""Share of the walkers that must be clear of rounding noise, or nothing is said: float32 tells nothing of the
determinant of ten random orbitals."""

DTYPES = ("float32", "float64")
"""What an ansatz may compute in."""


def prepare_ansatz(ansatz: WaveFunction, n_particles: int) -> None:
    """Builds an ansatz whose layers build at their first call, so that a trainer knows all of its weights.

    Args:
        ansatz: the wave function.
        n_particles: A.

    Raises:
        TypeError: it is no Keras model.
        ValueError: it computes in a dtype that is neither float32 nor float64.
    """
    if not isinstance(ansatz, keras.Model):
        raise TypeError(f"ansatz = {brief_name(ansatz)}: must be a keras.Model, positions -> (sign, ln|Psi|)")
    if ansatz.compute_dtype not in DTYPES:
        raise ValueError(f"ansatz of dtype {ansatz.dtype_policy.name}: must be float32 or float64")
    if not all(layer.built for layer in ansatz._flatten_layers()):
        ansatz(tf.zeros((1, n_particles), ansatz.compute_dtype))


def parts_of(ansatz: WaveFunction) -> tuple[keras.Layer, ...]:
    """Returns an ansatz and all of its layers."""
    # Keras does not list a layer that has been put into a list in place of another.
    listed = ansatz.equivariant_layers if isinstance(ansatz, HasEquivariantLayers) else ()
    return (ansatz, *ansatz.layers, *listed)


def is_from_package(ansatz: WaveFunction) -> bool:
    """Whether an ansatz and all of its layers are classes of this package, which are known to be right."""
    return all(type(part).__module__.partition(".")[0] == "tf_nqs" for part in parts_of(ansatz))


def brief_name(value: object) -> str:
    """Returns how an error names an argument: a class or a string as it is, of other objects their type."""
    return (
        value.__name__ if isinstance(value, type) else repr(value) if isinstance(value, str) else type(value).__name__
    )


def check_wave_function(ansatz: WaveFunction, positions: Tensor, at_start: bool) -> None:
    """Checks an ansatz on some walkers.

    A wave function that is not antisymmetric is no state of fermions: its energy may lie below their ground state. An
    ansatz made of this package's classes alone is antisymmetric by construction, and passes without a call.

    Args:
        ansatz: the wave function.
        positions: walkers, in a_ho, shape (n_walkers, n_particles).
        at_start: whether the ansatz is as its author made it. Then it must be finite and not zero on some walkers.
            Weights that a training has spoiled are no error here: the training is rolled back.

    Raises:
        ValueError: the ansatz returns something else than the sign and ln|Psi|, real and of shape (n_walkers,); at the
            start they are NaN or zero on all walkers; or an exchange of two particles does not keep ln|Psi| and flip
            the sign, judged over all walkers.
    """
    if is_from_package(ansatz):
        return
    positions = tf.convert_to_tensor(positions)[:_MOST_WALKERS]
    n_walkers, n_particles = positions.shape
    orders = _orders(n_particles)
    exchanged = [tf.gather(positions, order, axis=1) for order in orders]
    returned = ansatz(tf.concat([positions, _shifted(positions), *exchanged], axis=0))
    parts = _checked_parts(type(ansatz).__name__, returned, positions.dtype, (2 + len(orders)) * n_walkers)
    signs, logs = (part.reshape(2 + len(orders), n_walkers) for part in parts)
    if at_start:
        _check_values(type(ansatz).__name__, signs[0], logs[0])
    eps = float(np.finfo(positions.dtype.as_numpy_dtype).eps)
    judged = _judged(signs, logs)
    for order, sign, log_abs_psi in zip(orders, signs[2:], logs[2:], strict=True):
        value, noise = logs[0, judged], np.abs(logs[1, judged] - logs[0, judged])
        rounding = _MARGIN * (eps * (1 + np.abs(value)) + noise)
        changes = np.abs(log_abs_psi[judged] - value)
        fault = _exchange_fault(changes, rounding, (sign == _parity(order) * signs[0])[judged])
        if fault:
            raise ValueError(
                f"{type(ansatz).__name__} is not antisymmetric: {fault}; exchanging two particles must keep ln|Psi| "
                "and flip the sign, as the determinant of tf_nqs.layers.SlaterDeterminant does"
            )


def _orders(n_particles: int) -> list[list[int]]:
    """Returns an exchange of two particles and a rotation of all: every order is made of these two."""
    if n_particles == 1:
        return []
    exchange = [1, 0, *range(2, n_particles)]
    return [exchange] if n_particles == 2 else [exchange, [*range(1, n_particles), 0]]


def _parity(order: list[int]) -> int:
    """Returns 1 for an even number of exchanges, -1 for an odd one."""
    return round(np.linalg.det(np.eye(len(order))[order]))


def _shifted(positions: Tensor) -> Tensor:
    """Returns the positions moved by a few roundings, neighbours in opposite directions."""
    eps = np.finfo(positions.dtype.as_numpy_dtype).eps
    pattern = 1 - 2 * (np.add.outer(*map(np.arange, positions.shape)) % 2)
    return positions * tf.constant(1 + _SHIFT * eps * pattern, positions.dtype)


def _checked_parts(name: str, returned: Any, dtype: tf.DType, n_rows: int) -> list[np.ndarray]:
    """Returns sign and ln|Psi| as float64 arrays of shape (n_rows,), if that is what they are."""
    wanted = "must return a pair (sign, ln|Psi|), each of shape (n_walkers,)"
    if not isinstance(returned, tuple | list) or len(returned) != 2:
        kind = f"{len(returned)} values" if isinstance(returned, tuple | list) else "a single value"
        raise ValueError(f"{name} returns {kind}: {wanted}")
    parts = [tf.convert_to_tensor(part) for part in returned]
    for part, what in zip(parts, ("the sign", "ln|Psi|"), strict=True):
        if part.dtype.is_complex:
            raise ValueError(f"{name} returns complex values: {wanted}, both real")
        if part.shape != (n_rows,):
            rows = ["n_walkers" if size == n_rows else str(size) for size in part.shape]
            raise ValueError(f"{name} returns {what} of shape ({', '.join(rows)}): {wanted}")
    if parts[1].dtype != dtype:
        raise ValueError(f"{name} returns ln|Psi| in {parts[1].dtype.name}: must be {dtype.name}, its own dtype")
    return [np.asarray(part, np.float64) for part in parts]


def _check_values(name: str, signs: np.ndarray, logs: np.ndarray) -> None:
    if np.all(np.isnan(logs) | (logs == np.inf) | np.isnan(signs)):
        raise ValueError(f"{name} returns NaN or infinity as ln|Psi| or its sign on all walkers: must be finite")
    if np.all((signs == 0) | (logs == -np.inf)):
        raise ValueError(f"{name} is zero on all walkers: must return a sign of 1 or -1, and a finite ln|Psi|")


def _judged(signs: np.ndarray, logs: np.ndarray) -> np.ndarray:
    """Returns which walkers are clear of rounding noise; none of them if too few are, shape (n_walkers,)."""
    counted = np.isfinite(logs[0]) & (signs[0] != 0)
    with np.errstate(invalid="ignore"):  # a difference of infinities
        judged = counted & (signs[1] == signs[0]) & (np.abs(logs[1] - logs[0]) < _LARGEST_NOISE)
    return judged & (judged.sum() >= _LEAST_JUDGED * counted.sum())


def _exchange_fault(changes: np.ndarray, rounding: np.ndarray, is_sign_right: np.ndarray) -> str | None:
    """Returns what another order of the particles does wrong, as the part of a sentence; None if nothing.

    Args:
        changes: of ln|Psi|, absolute, one of each judged walker.
        rounding: how large they may be.
        is_sign_right: whether the sign is that of the order's parity.
    """
    n_judged, n_wrong = len(changes), np.count_nonzero(~is_sign_right)
    if np.count_nonzero(~(changes <= rounding)) > _LARGEST_SHARE * n_judged:
        median = np.median(changes)
        return f"on {n_judged} walkers another order of the particles changes ln|Psi|, by {median:.2g} in the median"
    if n_wrong > _LARGEST_SHARE * n_judged:
        return f"on {n_wrong} of {n_judged} walkers another order of the particles gives the wrong sign"
    return None
