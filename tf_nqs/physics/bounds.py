"""Bounds that no state of a system can pass."""

from __future__ import annotations

import math

from tf_nqs.physics.hamiltonian import TrappedFermions


def lowest_energy(system: TrappedFermions) -> float | None:
    """Returns a bound below which no state's energy can lie: every potential at its minimum, no kinetic energy.

    E >= A min(trap) + A(A-1)/2 min(v). The harmonic trap and no trap have the minimum 0, the Gaussian interaction
    min(0, V_0 / (sqrt(2 pi) sigma_0)).

    Args:
        system: the Hamiltonian.

    Returns:
        The bound in hbar*omega; None for a trap or a pair potential of one's own, whose minimum is not known.
    """
    if system.pair_potential is not None or callable(system.trap):
        return None
    n_pairs = system.n_particles * (system.n_particles - 1) // 2
    return n_pairs * min(0.0, system.interaction_strength / (math.sqrt(2 * math.pi) * system.interaction_range))
