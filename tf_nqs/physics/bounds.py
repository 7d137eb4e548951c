"""Bounds that no state of a system can pass."""

from __future__ import annotations

import math

from tf_nqs.physics.hamiltonian import TrappedFermions


def lowest_energy(system: TrappedFermions) -> float | None:
    """Returns a bound below which no state's energy can lie: every potential at its minimum, no kinetic energy.

    E >= A min(trap) + A(A-1)/2 min(v). All traps that have a name have the minimum 0; v has its value at r = 0 or 0,
    min(0, V_0 / (sqrt(2 pi) sigma_0)) for the Gaussian interaction.

    Args:
        system: the Hamiltonian.

    Returns:
        The bound in hbar*omega; None for a custom trap or pair potential, whose minimum is not known, and for
        an interaction that has none: coth, and a stiffness below 0.
    """
    if system.pair_potential is not None or callable(system.trap) or system.interaction == "coth":
        return None
    stiffness = system.pair_stiffness + (system.interaction_strength if system.interaction == "harmonic" else 0.0)
    if stiffness < 0:
        return None
    n_pairs = system.n_particles * (system.n_particles - 1) // 2
    return n_pairs * min(0.0, _at_contact(system))


def _at_contact(system: TrappedFermions) -> float:
    """The value at r = 0 of an interaction that has a range; 0 for the others, of which it is the least."""
    if system.interaction_range is None:
        return 0.0
    height = system.interaction_strength / system.interaction_range
    return height / math.sqrt(2 * math.pi) if system.interaction == "gaussian" else height
