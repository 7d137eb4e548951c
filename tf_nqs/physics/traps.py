"""The traps that have a name: functions of the positions in a_ho, energies of each walker in hbar*omega.

| name | energy | parameters |
|---|---|---|
| harmonic | sum_i x_i^2/2 | |
| none | 0 | |
| double_well | sum_i (x_i^2 - b^2)^2/(8 b^2) | trap_separation = b, in a_ho: wells at -b and b |
| quartic | sum_i [x_i^2/2 + g x_i^4] | trap_quartic = g, in hbar*omega/a_ho^4 |
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from tf_nqs.physics.parameters import SystemParameters
from tf_nqs.types import PositionsToEnergy, Tensor


def harmonic_trap(positions: Tensor) -> Tensor:
    """Returns sum_i x_i^2/2, shape (n_walkers,), in hbar*omega, of positions (n_walkers, n_particles) in a_ho."""
    return 0.5 * tf.reduce_sum(positions**2, axis=1)


def no_trap(positions: Tensor) -> Tensor:
    """Returns 0, shape (n_walkers,), of positions (n_walkers, n_particles)."""
    return tf.zeros_like(positions[:, 0])


def double_well(positions: Tensor, parameters: SystemParameters) -> Tensor:
    """Returns sum_i (x_i^2 - b^2)^2/(8 b^2): two wells at -b and b, with a barrier of b^2/8 between them.

    Each well has the curvature of the harmonic trap, so that its lowest level is near 1/2 for large b.
    """
    square = parameters.trap_separation**2
    return tf.reduce_sum((positions**2 - square) ** 2 / (8 * square), axis=1)


def quartic_trap(positions: Tensor, parameters: SystemParameters) -> Tensor:
    """Returns sum_i [x_i^2/2 + g x_i^4], the anharmonic oscillator."""
    return harmonic_trap(positions) + tf.reduce_sum(parameters.trap_quartic * positions**4, axis=1)


ParametricTrap = Callable[[Tensor, SystemParameters], Tensor]
"""Positions (n_walkers, n_particles) and parameters -> energies (n_walkers,)."""


def parametric_trap(trap: str | PositionsToEnergy) -> ParametricTrap:
    """Returns a trap by its name, see the table above, or a function of the user's own, which has no parameters.

    Args:
        trap: one of `tf_nqs.named_systems.TRAPS`, or positions -> energies.
    """
    named: dict[str, ParametricTrap] = {"double_well": double_well, "quartic": quartic_trap}
    if isinstance(trap, str) and trap in named:
        return named[trap]
    own = {"harmonic": harmonic_trap, "none": no_trap}[trap] if isinstance(trap, str) else trap
    return lambda positions, parameters: own(positions)
