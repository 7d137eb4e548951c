"""The interactions and traps that have a name, what their parameters may be, and which of them bind the particles.

Formulas and sources: `tf_nqs.physics.interactions` and `tf_nqs.physics.traps`. Lengths in a_ho, energies in hbar*omega.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from tf_nqs import defaults

INTERACTIONS = ("gaussian", "harmonic", "coth", "calogero", "soft_coulomb", "none")
"""Names of the pair interactions; `module:function` names one of the user's own."""

TRAPS = ("harmonic", "none", "double_well", "quartic")
"""Names of the traps."""

PARAMETER_OF_TRAP = {"quartic": "trap_quartic", "double_well": "trap_separation"}
"""Trap -> the parameter that it alone has."""

WITH_RANGE = ("gaussian", "soft_coulomb")
"""Interactions that have an interaction_range; the others have none."""

WITH_STRENGTH = ("gaussian", "harmonic", "coth", "calogero", "soft_coulomb")
"""Interactions that have an interaction_strength; the others have none."""


class NamedSystem(NamedTuple):
    """A Hamiltonian by the names and parameters of its parts, as the settings in `[system]` give them.

    Attributes:
        n_particles: number of fermions A.
        interaction: one of `INTERACTIONS`, or `module:function`.
        interaction_strength: V_0, kappa, c, l or q, as the interaction has it; 0 where it has none.
        interaction_range: in a_ho; None for the default of an interaction that has one, and for all others.
        pair_stiffness: kappa, which adds kappa r^2/2 to the interaction.
        trap: one of `TRAPS`.
        trap_quartic: coefficient of x^4 in the quartic trap.
        trap_separation: b, half the distance of the two wells, in a_ho.
    """

    n_particles: int
    interaction: str = defaults.INTERACTION
    interaction_strength: float = defaults.INTERACTION_STRENGTH
    interaction_range: float | None = None
    pair_stiffness: float = defaults.PAIR_STIFFNESS
    trap: str = defaults.TRAP
    trap_quartic: float = defaults.TRAP_QUARTIC
    trap_separation: float = defaults.TRAP_SEPARATION

    @property
    def stiffness(self) -> float:
        """All of the r^2/2 between two particles: pair_stiffness, and the strength of the harmonic interaction."""
        return self.pair_stiffness + (self.interaction_strength if self.interaction == "harmonic" else 0.0)

    @property
    def internal_frequency(self) -> float:
        """Omega = sqrt(1 + A kappa), of the motion about the centre of mass in the harmonic trap, in units of omega."""
        return math.sqrt(1.0 + self.n_particles * self.stiffness)

    @property
    def contact_exponent(self) -> float:
        """l: the ground state goes as abs(r)^l where two particles meet; 1 but for calogero, and for one particle."""
        has_contact = self.interaction == "calogero" and self.n_particles > 1
        return float(self.interaction_strength) if has_contact else 1.0

    @property
    def is_free(self) -> bool:
        """Whether the particles do not interact."""
        has_strength = self.interaction in ("gaussian", "soft_coulomb") and self.interaction_strength != 0
        return self.n_particles == 1 or not (self.has_its_own_form or has_strength or self.stiffness)

    @property
    def has_its_own_form(self) -> bool:
        """Whether the interaction does not vanish for any strength: coth and calogero, and a function."""
        return self.interaction in ("coth", "calogero") or self.interaction not in INTERACTIONS


def trap_name(trap: Any) -> Any:
    """Returns the name of a trap given as a boolean: harmonic for True, none for False; anything else as it is."""
    return {True: "harmonic", False: "none"}[trap] if isinstance(trap, bool) else trap


def resolved_range(interaction: str, interaction_range: float | None) -> float | None:
    """Returns the range of an interaction: the default where it is left out, None for one that has no range."""
    return defaults.INTERACTION_RANGE if interaction_range is None and interaction in WITH_RANGE else interaction_range


def is_plain_gaussian(system: NamedSystem) -> bool:
    """Returns whether a system is the thesis' one: a Gaussian interaction alone, in the harmonic trap or in none."""
    return system.interaction == "gaussian" and not system.pair_stiffness and system.trap in ("harmonic", "none")


def has_closed_form(system: NamedSystem) -> bool:
    """Returns whether the ground state is known in closed form, see `tf_nqs.exact.closed_forms`.

    It is in the harmonic trap, for the interactions none, harmonic, coth and calogero, each with any pair stiffness;
    and for gaussian and soft_coulomb of strength 0.
    """
    is_solved = system.interaction in ("none", "harmonic", "coth", "calogero")
    has_no_strength = system.interaction in WITH_RANGE and system.interaction_strength == 0
    return system.trap == "harmonic" and (is_solved or has_no_strength)


def check_parameters(system: NamedSystem) -> None:
    """Refuses parameters that the parts of a system do not have, or cannot have.

    Raises:
        ValueError: one line that names the setting and what is allowed.
    """
    _check_interaction(system)
    for trap, name in PARAMETER_OF_TRAP.items():
        if system.trap != trap and getattr(system, name) != NamedSystem._field_defaults[name]:
            raise _without_meaning(name, getattr(system, name), "trap", system.trap)
    for name in PARAMETER_OF_TRAP.values():
        if not 0 < getattr(system, name) < math.inf:
            raise ValueError(f"{name} = {getattr(system, name)}: must be positive and finite")
    _check_stiffness(system)


def _check_interaction(system: NamedSystem) -> None:
    """Refuses a strength or a range that the interaction does not have, or cannot have."""
    name, strength, width = system.interaction, system.interaction_strength, system.interaction_range
    for leaf in ("interaction_strength", "pair_stiffness"):
        if not math.isfinite(getattr(system, leaf)):
            raise ValueError(f"{leaf} = {getattr(system, leaf)}: must be finite")
    if width is not None and not 0 < width < math.inf:
        raise ValueError(f"interaction_range = {width}: must be positive and finite")
    if width is not None and name not in WITH_RANGE:
        raise _without_meaning("interaction_range", width, "interaction", name)
    if strength != defaults.INTERACTION_STRENGTH and name not in WITH_STRENGTH:
        raise _without_meaning("interaction_strength", strength, "interaction", name)
    if name == "coth" and not strength > 0:
        raise ValueError(
            f"interaction_strength = {strength} contradicts interaction = coth: must be above 0, as it is c"
        )
    if name == "calogero" and not strength >= 1:
        raise ValueError(
            f"interaction_strength = {strength} contradicts interaction = calogero: must be at least 1, as it is l"
        )


def _without_meaning(leaf: str, value: float, part: str, name: str) -> ValueError:
    return ValueError(f"{leaf} = {value} contradicts {part} = {name}, which has none: must be left out")


def _check_stiffness(system: NamedSystem) -> None:
    """Refuses particles that repel each other more strongly than the trap can hold, at large distances.

    sum_(i<j) r^2 = A sum_i (x_i - X)^2, so that the harmonic trap and kappa give the internal motion the frequency
    sqrt(1 + A kappa). Traps that rise as x^4 hold any kappa, but the coth interaction itself needs that root. Nothing
    is known of a trap of the user's own.
    """
    is_steep = system.trap not in ("harmonic", "none") and system.interaction != "coth"
    lowest = 0.0 if system.trap == "none" and system.interaction != "coth" else -1.0 / system.n_particles
    if system.stiffness == 0 or is_steep or system.stiffness > lowest:
        return
    names = [name for name in ("interaction_strength", "pair_stiffness") if _is_stiff(system, name)]
    limit = "0" if lowest == 0 else f"-1/n_particles = {lowest:g}"
    raise ValueError(
        f"{' + '.join(names)} = {system.stiffness:g} contradicts trap = {system.trap}: "
        f"must be above {limit}, or there is no bound ground state"
    )


def _is_stiff(system: NamedSystem, leaf: str) -> bool:
    """Whether a setting is a part of the stiffness that is not zero."""
    return bool(getattr(system, leaf)) and (leaf == "pair_stiffness" or system.interaction == "harmonic")


def check_bound(system: NamedSystem) -> None:
    """Refuses a system without a trap whose interaction does not bind the particles to each other.

    A pair stiffness above 0 binds, with any interaction. Without it an attraction is needed: V_0 < 0 (which may still
    be too weak) or q < 0. Nothing is known of a function of the user's own.

    Raises:
        ValueError: one line that names the settings.
    """
    if system.trap != "none":
        return
    if system.n_particles == 1:
        raise ValueError(
            "trap = none contradicts n_particles = 1: "
            "without a trap it must be at least 2, or there is no bound ground state"
        )
    if system.stiffness > 0 or system.interaction not in INTERACTIONS:
        return
    if system.interaction not in WITH_RANGE:
        leaf = "interaction_strength" if system.interaction == "harmonic" else "pair_stiffness"
        raise ValueError(
            f"trap = none contradicts interaction = {system.interaction}: "
            f"without a trap {leaf} must be above 0, or there is no bound ground state"
        )
    if system.interaction_strength >= 0:
        raise ValueError(
            f"trap = none contradicts interaction_strength = {system.interaction_strength}: "
            "without a trap it must be below 0, or there is no bound ground state"
        )
