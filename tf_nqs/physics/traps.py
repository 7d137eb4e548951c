"""The traps that have a name: functions of the positions in a_ho, energies of each walker in hbar*omega.

| name | energy | parameters |
|---|---|---|
| harmonic | sum_i x_i^2/2 | |
| none | 0 | |
| double_well | sum_i (x_i^2 - b^2)^2/(8 b^2) | trap_separation = b, in a_ho: wells at -b and b |
| quartic | sum_i [x_i^2/2 + g x_i^4] | trap_quartic = g, in hbar*omega/a_ho^4 |
"""

from __future__ import annotations

import tensorflow as tf

from tf_nqs import defaults
from tf_nqs.types import PositionsToEnergy, Tensor


def harmonic_trap(positions: Tensor) -> Tensor:
    """Returns sum_i x_i^2/2, shape (n_walkers,), in hbar*omega, of positions (n_walkers, n_particles) in a_ho."""
    return 0.5 * tf.reduce_sum(positions**2, axis=1)


def no_trap(positions: Tensor) -> Tensor:
    """Returns 0, shape (n_walkers,), of positions (n_walkers, n_particles)."""
    return tf.zeros_like(positions[:, 0])


def double_well(trap_separation: float) -> PositionsToEnergy:
    """Returns the trap sum_i (x_i^2 - b^2)^2/(8 b^2): two wells at -b and b, with a barrier of b^2/8 between them.

    Each well has the curvature of the harmonic trap, so that its lowest level is near 1/2 for large b.

    Args:
        trap_separation: b, half the distance of the wells, in a_ho.

    Returns:
        Callable, positions (n_walkers, n_particles) in a_ho -> energies (n_walkers,) in hbar*omega.
    """
    return lambda positions: tf.reduce_sum((positions**2 - trap_separation**2) ** 2, axis=1) / (8 * trap_separation**2)


def quartic_trap(trap_quartic: float) -> PositionsToEnergy:
    """Returns the trap sum_i [x_i^2/2 + g x_i^4], the anharmonic oscillator.

    Args:
        trap_quartic: g, in hbar*omega/a_ho^4.

    Returns:
        Callable, positions (n_walkers, n_particles) in a_ho -> energies (n_walkers,) in hbar*omega.
    """
    return lambda positions: harmonic_trap(positions) + trap_quartic * tf.reduce_sum(positions**4, axis=1)


def named_trap(
    trap: str,
    trap_quartic: float = defaults.TRAP_QUARTIC,
    trap_separation: float = defaults.TRAP_SEPARATION,
) -> PositionsToEnergy:
    """Returns a trap by its name, see the table above.

    Args:
        trap: one of `tf_nqs.named_systems.TRAPS`.
        trap_quartic: g of the quartic trap.
        trap_separation: b of the double well, in a_ho.
    """
    plain = {"harmonic": harmonic_trap, "none": no_trap}
    if trap in plain:
        return plain[trap]
    return double_well(trap_separation) if trap == "double_well" else quartic_trap(trap_quartic)
