"""Interactions l(l-1)/r^2, which diverge at contact: what cancels there is left out before anything is rounded.

The ground state vanishes as |r|^l where two particles meet. With U smooth at contact,

    Psi = prod_{i<j} sign(x_ij) |x_ij|^l exp(U),    x_ij = x_i - x_j,
    (lap Psi)/Psi = lap U + |grad U|^2 + 2 l sum_{i<j} (d_i U - d_j U)/x_ij + 2 l(l-1) sum_{i<j} 1/x_ij^2,

as the terms of three particles add up to zero. So -1/2 of the last sum is exactly minus the interaction, whatever U is.
The parts of the local energy are therefore made without both:

    kinetic     = -1/2 [lap U + |grad U|^2 + 2 l sum_{i<j} (d_i U - d_j U)/x_ij],
    interaction = sum_{i<j} v(x_ij) without l(l-1)/x_ij^2.

Their sum is the local energy. l = 1 is every other system: nothing is left out, and prod x_ij is the usual node.

How a wave function fits in: it has an attribute `contact_exponent` = l, its ln|Psi| holds l sum ln|x_ij|, and its
`regular_derivatives` have the right side above without the last sum, its `forward_laplacian` with it. A wave function
without the attribute counts as one with l = 1.

Reference: Calogero, J. Math. Phys. 12, 419 (1971); Hallnas and Langmann, math-ph/0511040.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from tf_nqs.physics.laplacian import nested_tapes
from tf_nqs.physics.pairs import pair_differences
from tf_nqs.types import LocalEnergy, LogAbsPsi, LogDerivatives, Tensor

INFINITE_UP_TO = 1.5
"""The largest l of an interaction l(l-1)/r^2 for which its variance is infinite, as is that of its derivative by l."""


def contact_exponent_of(ansatz: Any) -> float:
    """Returns l of a wave function that vanishes as |r|^l at contact: its attribute of that name, or 1."""
    return float(getattr(ansatz, "contact_exponent", 1.0))


def check_contact(ansatz: Any, system: Any) -> None:
    """Refuses a wave function that vanishes at contact by another power than a system's ground state.

    Its local energy would diverge there as 1/r^2, with an infinite variance.

    Args:
        ansatz: the wave function.
        system: the Hamiltonian, `TrappedFermions`.

    Raises:
        ValueError: one line that names both.
    """
    own, wanted = contact_exponent_of(ansatz), system.contact_exponent
    if own == wanted or system.n_particles == 1:
        return
    name = type(ansatz).__name__
    if hasattr(ansatz, "contact_exponent"):
        raise ValueError(
            f"contact_exponent = {own:g} of {name}: must be {wanted:g} for interaction = {system.interaction}"
        )
    raise ValueError(
        f"interaction = {system.interaction}: must have a wave function that vanishes as |r|^{wanted:g} where two "
        f"particles meet, as JastrowAnsatz can; {name} does not"
    )


def sum_of_logs(positions: Tensor) -> Tensor:
    """Returns sum_{i<j} ln|x_i - x_j|, shape (n_walkers,); -inf where two particles meet."""
    return tf.reduce_sum(tf.math.log(tf.abs(pair_differences(positions))), axis=1)


def contact_energy(positions: Tensor, contact_exponent: float) -> Tensor:
    """Returns l(l-1) sum_{i<j} 1/x_ij^2, shape (n_walkers,): what the interaction has and the kinetic energy lacks.

    Its mean over |Psi|^2 ~ r^(2l) is finite for l > 1/2, its variance for l > 3/2 only.

    Args:
        positions: x in a_ho, shape (n_walkers, n_particles).
        contact_exponent: l.
    """
    factor = contact_exponent * (contact_exponent - 1.0)
    return factor * tf.reduce_sum(pair_differences(positions) ** -2, axis=1)


def with_contact_energy(local_energy: LocalEnergy, positions: Tensor, contact_exponent: float) -> LocalEnergy:
    """Returns local energies whose parts are the kinetic energy and the interaction themselves, in NumPy's float64.

    Args:
        local_energy: parts without `contact_energy`, shape (n_walkers,) each.
        positions: x in a_ho, shape (n_walkers, n_particles).
        contact_exponent: l; the parts stay as they are for l = 1.
    """
    if contact_exponent == 1.0:
        return local_energy
    kinetic, trap, interaction = (np.asarray(part, np.float64) for part in local_energy)
    shift = np.asarray(contact_energy(tf.constant(np.asarray(positions, np.float64)), contact_exponent))
    return LocalEnergy(kinetic - shift, trap, interaction + shift)


def has_finite_parts(contact_exponent: float) -> bool:
    """Returns whether kinetic energy and interaction alone have a finite variance: l > 3/2, or no such interaction.

    |Psi|^2 ~ r^(2l) at contact, so that the mean of 1/r^4 is finite for 2l - 4 > -1.
    """
    return contact_exponent == 1.0 or contact_exponent > INFINITE_UP_TO


def why_no_errors(contact_exponent: float) -> str:
    """Returns why kinetic energy and interaction alone have no errors, as a sentence; empty where they have errors.

    Args:
        contact_exponent: l.
    """
    if has_finite_parts(contact_exponent):
        return ""
    reason = f"their variance is infinite for l = {contact_exponent:g}, as it is up to {INFINITE_UP_TO:g}"
    return f"kinetic energy and interaction alone have no error: {reason}"


def from_regular_part(positions: Tensor, regular: LogDerivatives, contact_exponent: float) -> LogDerivatives:
    """Returns the derivatives of Psi = prod sign(x_ij) |x_ij|^l exp(U), without 2 l(l-1) sum 1/x_ij^2.

    Args:
        positions: x in a_ho, shape (n_walkers, n_particles).
        regular: of U: grad U, shape (n_walkers, n_particles), and lap U + |grad U|^2, shape (n_walkers,).
        contact_exponent: l.

    Returns:
        LogDerivatives: grad ln|Psi|, and lap U + |grad U|^2 + 2 l sum_{i<j} (d_i U - d_j U)/x_ij.
    """
    n_particles = positions.shape[1]
    # The diagonal is 1, whose inverse is taken away again: no division by zero, and nothing to mask in gradients.
    own = tf.eye(n_particles, dtype=positions.dtype)
    inverse = 1.0 / (positions[:, :, None] - positions[:, None, :] + own) - own
    slopes = regular.gradient[:, :, None] - regular.gradient[:, None, :]
    quotients = tf.reduce_sum(slopes * inverse, axis=(1, 2))  # each pair twice
    gradient = regular.gradient + contact_exponent * tf.reduce_sum(inverse, axis=2)
    return LogDerivatives(gradient, regular.laplacian + contact_exponent * quotients)


def nested_tapes_at_contact(log_abs_psi: LogAbsPsi, positions: Tensor, contact_exponent: float) -> LogDerivatives:
    """Returns what `from_regular_part` does, of any ln|Psi|: U = ln|Psi| - l sum ln|x_ij| by nested GradientTapes.

    The logarithms cancel in U but for rounding, about eps/r^2 for a pair at the distance r. It is the general path,
    and the oracle in float64.

    Args:
        log_abs_psi: callable, (n_walkers, n_particles) -> (n_walkers,).
        positions: x in a_ho, shape (n_walkers, n_particles).
        contact_exponent: l.
    """
    positions = tf.convert_to_tensor(positions)
    regular = nested_tapes(lambda x: log_abs_psi(x) - contact_exponent * sum_of_logs(x), positions)
    return from_regular_part(positions, regular, contact_exponent)
