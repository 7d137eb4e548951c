"""The choice between the two exact ways to a Laplacian."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import cast

import numpy as np
import tensorflow as tf

from tf_nqs.ansatz.check import is_from_package, parts_of
from tf_nqs.ansatz.protocol import HasForwardLaplacian, HasRegularDerivatives, WaveFunction
from tf_nqs.physics.contact import contact_exponent_of, nested_tapes_at_contact
from tf_nqs.physics.hamiltonian import TrappedFermions
from tf_nqs.physics.laplacian import nested_tapes
from tf_nqs.physics.relations import second_derivative_along_ones
from tf_nqs.types import LogDerivatives, Tensor

_N_COMPARED = 32
_TOLERANCE = {"float32": 1e-3, "float64": 1e-8}
"""Of the median relative difference: rounding next to a node is larger, a forgotten factor of Psi much larger."""


def choose_laplacian(ansatz: WaveFunction, laplacian: str, n_particles: int) -> str:
    """Returns "forward" or "nested".

    Args:
        ansatz: the wave function.
        laplacian: "forward", "nested", or "auto": forward where the ansatz has a `forward_laplacian` that fits its
            `call`, else nested, which a warning in the log then says, with the reason. It does not fit if a subclass
            of the ansatz or of one of its layers has a new `call` and an old `forward_laplacian`; where not all of
            them are of this package, both ways are also compared on a few random positions.
        n_particles: A.

    Raises:
        ValueError: laplacian is unknown, or "forward" for an ansatz that has none, or none that fits.
    """
    if laplacian not in ("auto", "forward", "nested"):
        raise ValueError(f"laplacian = {laplacian!r}: must be one of auto, forward, nested")
    if laplacian == "nested":
        return "nested"
    reason = _why_not_forward(ansatz, n_particles)
    if laplacian == "forward" and reason:
        raise ValueError(f"laplacian = 'forward': {reason}; must be nested or auto")
    if reason:
        logging.getLogger(__name__).warning("%s: the Laplacian comes from nested GradientTapes", reason)
    return "nested" if reason else "forward"


def _why_not_forward(ansatz: WaveFunction, n_particles: int) -> str:
    """Returns why the forward Laplacian cannot be used; nothing if it can."""
    name = type(ansatz).__name__
    if not isinstance(ansatz, HasForwardLaplacian):
        return f"{name} has no forward_laplacian"
    for part in parts_of(ansatz):
        if _has_newer_call(type(part)):
            return f"{type(part).__name__} has a call of its own, but inherits its forward_laplacian"
    if is_from_package(ansatz):
        return ""
    positions = tf.random.stateless_normal((_N_COMPARED, n_particles), (0, 1), dtype=ansatz.compute_dtype)
    try:
        forward = ansatz.forward_laplacian(positions)[1].laplacian
    except AttributeError as error:
        return f"{name} cannot carry derivatives through all of its layers ({error})"
    nested = nested_tapes(lambda x: ansatz(x)[1], positions).laplacian
    difference = np.median(np.abs(forward - nested) / (1 + np.abs(nested)))
    return "" if difference <= _TOLERANCE[ansatz.compute_dtype] else f"{name} has a forward_laplacian of another Psi"


def _has_newer_call(kind: type) -> bool:
    """Whether `call` is defined in a subclass of those that define the methods called forward_laplacian..."""
    definers = [vars(one).keys() for one in kind.__mro__]
    newest_call = next(index for index, names in enumerate(definers) if "call" in names)
    forward = {name for names in definers for name in names if name.startswith("forward_laplacian")}
    return any(
        newest_call < next(index for index, names in enumerate(definers) if method in names) for method in forward
    )


def energy_derivatives(
    ansatz: WaveFunction, laplacian: str, system: TrappedFermions
) -> Callable[[Tensor], LogDerivatives]:
    """Returns the derivatives that a system's kinetic energy is made of: `log_derivatives`, or the internal ones.

    Without a trap the centre of mass moves freely. That motion has no ground state, only kinetic energy above 0, so it
    is left out, exactly: H - P^2/(2A) has the Laplacian lap - D^2/A with D = sum_i d_i.

    Args:
        ansatz: the wave function.
        laplacian: as for `log_derivatives`.
        system: the Hamiltonian.
    """
    derivatives = log_derivatives(ansatz, laplacian)
    if system.trap != "none":
        return derivatives

    def internal(positions: Tensor) -> LogDerivatives:
        gradient, whole = derivatives(positions)
        along_centre = second_derivative_along_ones(ansatz, positions) / positions.shape[1]
        return LogDerivatives(gradient, whole - along_centre)

    return internal


def log_derivatives(ansatz: WaveFunction, laplacian: str) -> Callable[[Tensor], LogDerivatives]:
    """Returns the callable that differentiates an ansatz by the positions.

    Args:
        ansatz: the wave function.
        laplacian: "forward" for `ansatz.forward_laplacian`, "nested" for GradientTapes.

    Returns:
        Callable, positions (n_walkers, n_particles) -> LogDerivatives; of an ansatz with a `contact_exponent` without
        the term that diverges at contact, see `tf_nqs.physics.contact`.
    """
    exponent = contact_exponent_of(ansatz)
    if laplacian == "forward" and exponent == 1.0:
        forward = cast(HasForwardLaplacian, ansatz)
        return lambda positions: forward.forward_laplacian(positions)[1]
    if laplacian == "forward":
        regular = cast(HasRegularDerivatives, ansatz)
        return lambda positions: regular.regular_derivatives(positions)[1]
    if exponent != 1.0:
        return lambda positions: nested_tapes_at_contact(lambda x: ansatz(x)[1], positions, exponent)
    return lambda positions: nested_tapes(lambda x: ansatz(x)[1], positions)
