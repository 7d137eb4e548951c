"""Checks whether an energy can be the ground state's: below the fragments, and below a simple state."""

from __future__ import annotations

import math
from typing import Any

from tf_nqs.analysis.unvisited_well import unvisited_well
from tf_nqs.analysis.verdict import Doubt
from tf_nqs.exact import bound_pair_energy, critical_strength
from tf_nqs.named_systems import NamedSystem

_ERRORS = 2.0
"""Minimum number of standard errors by which a bound state is below its fragments."""


def not_the_ground_state(
    system: dict[str, Any] | None,
    energy: float,
    energy_error: float,
    target_error: float = 0.0,
    named: NamedSystem | None = None,
) -> Doubt | None:
    """Returns the reason why a measured energy cannot be the ground state's, or None.

    The reason comes from `no_bound_state`, `unvisited_well` or `not_below_zero`. There is none if the error is unknown
    (nan).

    Args:
        system: n_particles, interaction_strength, interaction_range and trap of a Gaussian interaction; None for
            another system.
        energy: the measured energy, in hbar*omega.
        energy_error: its standard error.
        target_error: requested error; an energy that is too high by less is accepted.
        named: names and parameters of any system; None where they are unknown.
    """
    if not math.isfinite(energy_error):
        return None
    if named is not None and (unbound := not_below_zero(named, energy, energy_error)):
        return Doubt("binding", unbound)
    if system is None:
        return None
    if unbound := no_bound_state(system, energy, energy_error):
        return Doubt("binding", unbound)
    if missed := unvisited_well(system, energy - target_error, energy_error):
        return Doubt("start" if "well" in missed else "training", missed)
    return None


def no_bound_state(system: dict[str, Any], energy: float, energy_error: float) -> str | None:
    """Returns a message if the energy does not show that particles without a trap are bound, else None.

    The energy is compared with that of distant fragments: for two particles, two free ones, energy 0; for more, as many
    bound pairs as possible, and a free particle if A is odd. The energies of larger fragments, which may be lower
    still, are not known.

    Args:
        system: n_particles, interaction_strength, interaction_range and trap.
        energy: the measured internal energy, in hbar*omega.
        energy_error: its standard error.
    """
    if system["trap"]:
        return None
    n_particles, strength, width = system["n_particles"], system["interaction_strength"], system["interaction_range"]
    n_pairs = n_particles // 2 if n_particles > 2 else 0
    pair = bound_pair_energy(strength, width) if n_pairs else None
    threshold = n_pairs * pair[0] if pair else 0.0
    if energy + _ERRORS * energy_error < threshold:
        return None
    fragments = f"{n_pairs} bound pair{'s' * (n_pairs > 1)} far from each other" if pair else "free particles at rest"
    critical = f"two fermions bind only below interaction_strength = {critical_strength(width):.4g} at this range"
    found = f"the energy of {energy:.6g} is not below {threshold:.6g}, the energy of {fragments}"
    return f"no bound state: {found}; {critical}"


def not_below_zero(system: NamedSystem, energy: float, energy_error: float) -> str | None:
    """Returns a message if the energy of a soft Coulomb attraction without a trap is not below 0, else None.

    Free particles at rest have the energy 0. Those of bound fragments, which may be lower, are not known.

    Args:
        system: its names and parameters; there is no message for other interactions, nor with a pair stiffness.
        energy: the measured internal energy, in hbar*omega.
        energy_error: its standard error.
    """
    if system.trap != "none" or system.interaction != "soft_coulomb" or system.stiffness:
        return None
    if energy + _ERRORS * energy_error < 0:
        return None
    return f"no bound state: the energy of {energy:.6g} is not below 0, the energy of free particles at rest"
