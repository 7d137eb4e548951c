"""Whether an energy can be that of the ground state: a bound one, and below every simple state."""

from __future__ import annotations

import math
from typing import Any

from tf_nqs.analysis.unvisited_well import unvisited_well
from tf_nqs.analysis.verdict import Doubt
from tf_nqs.exact import bound_pair_energy, critical_strength

_ERRORS = 2.0
"""Standard errors by which a bound state must lie below its fragments."""


def not_the_ground_state(
    system: dict[str, Any], energy: float, energy_error: float, target_error: float = 0.0
) -> Doubt | None:
    """Returns why a measured energy cannot be the ground state's, by `no_bound_state` or `unvisited_well`; else None.

    An energy whose error is unknown (nan) shows neither.

    Args:
        system: n_particles, interaction_strength, interaction_range and trap.
        energy: the measured one, in hbar*omega.
        energy_error: its standard error.
        target_error: wanted error; an energy that is too high by less is good enough.
    """
    if not math.isfinite(energy_error):
        return None
    if unbound := no_bound_state(system, energy, energy_error):
        return Doubt("binding", unbound)
    if missed := unvisited_well(system, energy - target_error, energy_error):
        return Doubt("start" if "well" in missed else "training", missed)
    return None


def no_bound_state(system: dict[str, Any], energy: float, energy_error: float) -> str | None:
    """Returns a sentence if particles without a trap are not shown to be bound, else None.

    Compared is with fragments far from each other: for two particles both alone, energy 0; for more as many bound pairs
    as there can be, and perhaps one alone. Larger fragments, which may lie lower still, are not known.

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
    return f"no bound state: the energy of {energy:.6g} is not below {threshold:.6g}, that of {fragments}; {critical}"
