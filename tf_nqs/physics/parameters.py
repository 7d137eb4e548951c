"""The numbers in a Hamiltonian: data of compiled functions, not a part of them.

Another strength or range compiles nothing. What follows from the parameters is computed in float64 first, and rounded
once to the dtype of the positions.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import tensorflow as tf

from tf_nqs import defaults
from tf_nqs.named_systems import NamedSystem
from tf_nqs.types import Tensor


class SystemParameters(NamedTuple):
    """The parameters of a Hamiltonian and what follows from them: scalars, or one row per walker, (n_walkers, 1).

    Attributes:
        strength: interaction_strength: V_0, c or q, as the interaction has it.
        width: interaction_range, in a_ho; 1 for an interaction without one.
        inverse_width: 1/width.
        height: V_0/(sqrt(2 pi) sigma_0), the Gaussian interaction at r = 0.
        stiffness: of all r^2/2 together: pair_stiffness, and the strength of the harmonic interaction.
        frequency: Omega = sqrt(1 + A kappa), of the internal motion in the harmonic trap.
        trap_quartic: coefficient of x^4 in the quartic trap.
        trap_separation: b, half the distance of the wells of the double well, in a_ho.
    """

    strength: Any
    width: Any
    inverse_width: Any
    height: Any
    stiffness: Any
    frequency: Any
    trap_quartic: Any
    trap_separation: Any

    def cast(self, dtype: str | tf.DType) -> SystemParameters:
        """Returns the parameters as tensors of a dtype."""
        # A number of Python becomes a tensor of this dtype at once: TensorFlow's default is float32.
        return SystemParameters(
            *(tf.constant(one, dtype) if isinstance(one, float | int) else tf.cast(one, dtype) for one in self)
        )

    @classmethod
    def of_rows(cls, rows: Tensor) -> SystemParameters:
        """Returns the parameters of walkers, (n_walkers, 1) each, from a tensor (n_walkers, number of parameters)."""
        return cls(*tf.split(rows, len(cls._fields), axis=1))


def parameters_of(system: NamedSystem) -> SystemParameters:
    """Returns the parameters of a system as numbers of Python."""
    return derived_parameters(
        system.n_particles,
        system.interaction,
        system.interaction_strength,
        defaults.INTERACTION_RANGE if system.interaction_range is None else system.interaction_range,
        system.pair_stiffness,
        system.trap_quartic,
        system.trap_separation,
    )


def derived_parameters(
    n_particles: int,
    interaction: str,
    strength: Any,
    width: Any,
    pair_stiffness: Any = defaults.PAIR_STIFFNESS,
    trap_quartic: Any = defaults.TRAP_QUARTIC,
    trap_separation: Any = defaults.TRAP_SEPARATION,
) -> SystemParameters:
    """Returns all parameters from those that the settings give: numbers, or float64 arrays or tensors of one shape."""
    stiffness = pair_stiffness + (strength if interaction == "harmonic" else 0.0 * strength)
    square = 1.0 + n_particles * stiffness
    # Below -1/A nothing is bound in the harmonic trap; steeper traps do not use the frequency.
    frequency = math.sqrt(max(square, 0.0)) if isinstance(square, float) else square**0.5
    return SystemParameters(
        strength=strength,
        width=width,
        inverse_width=1.0 / width,
        height=strength / (math.sqrt(2 * math.pi) * width),
        stiffness=stiffness,
        frequency=frequency,
        trap_quartic=trap_quartic + 0.0 * strength,
        trap_separation=trap_separation + 0.0 * strength,
    )


def as_variables(parameters: SystemParameters) -> SystemParameters:
    """Returns parameters as variables in float64, which compiled functions read at every call."""
    return SystemParameters(*(tf.Variable(float(one), dtype=tf.float64, trainable=False) for one in parameters))


def assign(variables: SystemParameters, parameters: SystemParameters) -> None:
    """Gives variables other values."""
    for variable, value in zip(variables, parameters, strict=True):
        variable.assign(float(value))


def like(parameters: SystemParameters, tensor: Tensor) -> SystemParameters:
    """Returns parameters in the dtype of a tensor."""
    return parameters.cast(tensor.dtype)
