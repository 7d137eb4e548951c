"""The choice between the two exact ways to a Laplacian."""

from __future__ import annotations

import logging
from collections.abc import Callable

import keras

from tf_nqs.physics.laplacian import nested_tapes
from tf_nqs.types import LogDerivatives, Tensor


def choose_laplacian(ansatz: keras.Model, laplacian: str) -> str:
    """Returns "forward" or "nested".

    Args:
        ansatz: Keras model, positions -> (sign, log_abs_psi).
        laplacian: "forward", "nested", or "auto": forward where the ansatz has `forward_laplacian`, else nested, which
            a warning in the log then says.

    Raises:
        ValueError: laplacian is unknown, or "forward" for an ansatz that has none.
    """
    name, has_forward = type(ansatz).__name__, hasattr(ansatz, "forward_laplacian")
    if laplacian not in ("auto", "forward", "nested"):
        raise ValueError(f"laplacian = {laplacian!r}: must be one of auto, forward, nested")
    if laplacian == "forward" and not has_forward:
        raise ValueError(f"laplacian = 'forward': {name} has no forward_laplacian; must be nested or auto")
    if laplacian == "auto" and not has_forward:
        logging.getLogger(__name__).warning(
            "%s has no forward_laplacian: its Laplacian comes from nested GradientTapes", name
        )
    return "forward" if has_forward and laplacian != "nested" else "nested"


def log_derivatives(ansatz: keras.Model, laplacian: str) -> Callable[[Tensor], LogDerivatives]:
    """Returns the callable that differentiates an ansatz by the positions.

    Args:
        ansatz: Keras model, positions -> (sign, log_abs_psi).
        laplacian: "forward" for `ansatz.forward_laplacian`, "nested" for GradientTapes.

    Returns:
        Callable, positions (n_walkers, n_particles) -> LogDerivatives.
    """
    if laplacian == "forward":
        return lambda positions: ansatz.forward_laplacian(positions)[1]
    return lambda positions: nested_tapes(lambda x: ansatz(x)[1], positions)
