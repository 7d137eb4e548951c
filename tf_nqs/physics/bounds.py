"""Bounds that no state of a system can pass."""

from __future__ import annotations

import math

import numpy as np

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
    width = 1.0 if system.interaction_range is None else system.interaction_range
    bound = float(lowest_energies(system, system.n_particles, system.interaction_strength, width))
    return None if math.isnan(bound) else bound


def lowest_energies(
    system: TrappedFermions, n_particles: float | np.ndarray, strength: float | np.ndarray, width: float | np.ndarray
) -> np.ndarray:
    """Returns the bounds of systems that differ in what varies in a family; NaN where a bound is not known.

    Args:
        system: one of them, whose other parameters all share.
        n_particles: numbers of fermions A.
        strength: strengths of the interaction, of the same shape.
        width: its ranges in a_ho, of the same shape; of no meaning for an interaction without one.
    """
    stiffness = np.asarray(system.pair_stiffness + (strength if system.interaction == "harmonic" else 0.0 * strength))
    if system.pair_potential is not None or callable(system.trap) or system.interaction == "coth":
        return np.full_like(stiffness, np.nan)
    n_pairs = np.asarray(n_particles) * (np.asarray(n_particles) - 1) // 2
    at_contact = strength / width if system.interaction_range is not None else 0.0 * strength
    if system.interaction == "gaussian":
        at_contact = at_contact / math.sqrt(2 * math.pi)
    return np.where(stiffness < 0, np.nan, n_pairs * np.minimum(0.0, at_contact))
