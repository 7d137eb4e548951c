"""The Hamiltonian as a function of its parameters: how its energy changes with one of them."""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

from tf_nqs.named_systems import (
    INTERACTIONS,
    PARAMETER_OF_TRAP,
    WITH_RANGE,
    WITH_STRENGTH,
    NamedSystem,
    resolved_range,
)
from tf_nqs.physics.contact import INFINITE_UP_TO
from tf_nqs.physics.interactions import regular_interaction
from tf_nqs.physics.pairs import pair_differences
from tf_nqs.physics.parameters import derived_parameters
from tf_nqs.physics.traps import parametric_trap
from tf_nqs.types import Tensor


def parameter_names(system: NamedSystem) -> tuple[str, ...]:
    """Returns the names of the continuous parameters that a system has.

    Args:
        system: its names and parameters.
    """
    names = []
    if system.interaction in WITH_STRENGTH:
        names.append("interaction_strength")
    if system.interaction in WITH_RANGE:
        names.append("interaction_range")
    if system.interaction in INTERACTIONS:  # of a function nothing is known but its values
        names.append("pair_stiffness")
    return (*names, PARAMETER_OF_TRAP[system.trap]) if system.trap in PARAMETER_OF_TRAP else tuple(names)


def is_linear(system: NamedSystem, parameter: str) -> bool:
    """Returns whether H is linear in a parameter, so that the ground-state energy is concave in it.

    For H_0 + lambda H_1 the energy is the minimum of functions that are linear in lambda.

    Args:
        system: its names and parameters.
        parameter: one of `parameter_names(system)`.
    """
    if parameter == "interaction_strength":
        return system.interaction in ("gaussian", "harmonic", "soft_coulomb")
    if parameter == "pair_stiffness":
        return system.interaction != "coth"  # whose Omega depends on it
    return parameter == "trap_quartic"


def has_finite_slope(system: NamedSystem) -> bool:
    """Returns whether the derivative of the interaction by its strength has a finite variance.

    That of l(l-1)/r^2 does not for l up to 3/2: it is (2 l - 1)/r^2, also for l = 1.
    """
    return system.interaction != "calogero" or system.interaction_strength > INFINITE_UP_TO


def parameter_values(system: NamedSystem) -> list[float]:
    """Returns the values of `parameter_names(system)`, in that order."""
    width = resolved_range(system.interaction, system.interaction_range)
    known = system._asdict() | {"interaction_range": width}
    return [float(known[name]) for name in parameter_names(system)]


def parameter_slopes(system: NamedSystem, values: Tensor, positions: Tensor) -> Tensor:
    """Returns dH/d lambda at each walker for each parameter lambda, shape (n_walkers, n_parameters).

    H depends on lambda through its potentials, so that this is a function of the positions, and its mean over |Psi|^2
    is dE/d lambda of a stationary state. No parameter is divided by: the strength V_0 of the Gaussian interaction
    gives the interaction at V_0 = 1, also where V_0 is 0.

    Args:
        system: names of its interaction and its trap, and the number of particles; its other numbers do not count, so
            that a compiled function serves all systems of these names.
        values: of `parameter_names(system)`, shape (n_parameters,), in the dtype of the positions.
        positions: x in a_ho, shape (n_walkers, n_particles).

    Reference: Hellmann (1937), and Feynman, Phys. Rev. 56, 340 (1939).
    """
    names, width = parameter_names(system), resolved_range(system.interaction, system.interaction_range)
    kind = system._replace(interaction_range=1.0 if width is None else width)
    slopes = []
    for index in range(len(names)):
        direction = tf.one_hot(index, len(names), dtype=values.dtype)
        with tf.autodiff.ForwardAccumulator(values, direction) as tape:
            energy = _potential_energy(kind, dict(zip(names, tf.unstack(values), strict=True)), positions)
        slopes.append(tape.jvp(energy, unconnected_gradients=tf.UnconnectedGradients.ZERO))
    return tf.stack(slopes, axis=1) if slopes else tf.zeros_like(positions[:, :0])


def _potential_energy(system: NamedSystem, values: Mapping[str, Tensor], positions: Tensor) -> Tensor:
    """Trap and interaction of each walker, shape (n_walkers,), with tensors in the place of the parameters."""
    known = {**system._asdict(), **values}
    names = ("interaction_strength", "interaction_range", "pair_stiffness", "trap_quartic", "trap_separation")
    parameters = derived_parameters(system.n_particles, system.interaction, *(known[name] for name in names))
    distances = pair_differences(positions)
    # With any stiffness at all kappa r^2/2 is a part of the interaction.
    potential = regular_interaction(system._replace(pair_stiffness=1.0))
    energy = parametric_trap(system.trap)(positions, parameters) + tf.reduce_sum(
        potential(distances, parameters), axis=1
    )
    if system.interaction == "calogero":
        strength = values["interaction_strength"]
        energy += tf.reduce_sum(strength * (strength - 1.0) / distances**2, axis=1)
    return energy
