"""A family of Hamiltonians, which differ in the number of particles and in strength and range of the interaction."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from tf_nqs import defaults
from tf_nqs.named_systems import INTERACTIONS, check_bound, resolved_range
from tf_nqs.physics.conditions import ConditionSpace, numbers_of_particles
from tf_nqs.physics.contact_zone import contact_zone, smallest_range
from tf_nqs.physics.hamiltonian import TrappedFermions

Values = float | Sequence[float]
"""A number, two for a range, or three and more for a list."""


class TooNarrowError(ValueError):
    """A family with an interaction so narrow that samples of |Psi|^2 hardly ever see it; its text is one line.

    A single system with such an interaction has samples of near pairs of its own.

    Args:
        n_particles: number of fermions A.
        width: interaction_range, in a_ho.
        smallest: from which on it would be allowed.

    Attributes:
        why: continues the name of the setting and its value.
        width: as given.
    """

    def __init__(self, n_particles: int, width: float, smallest: float):
        self.width = width
        self.why = (
            f"must be above {smallest:.3g} for a family with n_particles = {n_particles}, or its samples hardly ever "
            "hold two particles within the range"
        )
        super().__init__(f"interaction_range = {width}: {self.why}")


class FermionFamily:
    """Systems of trapped fermions whose ground states one network learns.

    Args:
        n_particles: one number of fermions A, or several.
        interaction_strength: a number, two for a range, or three and more for a list; see `TrappedFermions`.
        interaction_range: likewise, in a_ho; None for an interaction without one, and for 0.5.
        interaction: gaussian, harmonic, coth or soft_coulomb.
        trap: as for `TrappedFermions`.
        pair_stiffness: as for `TrappedFermions`.
        trap_quartic: as for `TrappedFermions`.
        trap_separation: as for `TrappedFermions`.

    Attributes:
        conditions: the parameters that vary, for the wave function's argument `conditions`.
        strengths: interaction_strength as numbers: one, two for a range, or more for a list.
        widths: interaction_range likewise.
        systems: one representative system for each number of particles.

    Raises:
        ValueError: a range is reversed or empty, a list has a repeat, nothing varies, a system at an end of a range
            cannot be or is not bound without a trap, or the interaction is none whose parameters may vary, or so
            short-ranged that it needs samples of its own.

    Example:
        >>> family = FermionFamily(n_particles=4, interaction_strength=(-20.0, 20.0))
        >>> ansatz = tf_nqs.JastrowAnsatz(4, conditions=family.conditions)
        >>> system = family.member(interaction_strength=7.3)
    """

    def __init__(
        self,
        n_particles: int | Sequence[int],
        interaction_strength: Values = defaults.INTERACTION_STRENGTH,
        interaction_range: Values | None = None,
        interaction: str = defaults.INTERACTION,
        trap: bool | str = defaults.TRAP,
        pair_stiffness: float = defaults.PAIR_STIFFNESS,
        trap_quartic: float = defaults.TRAP_QUARTIC,
        trap_separation: float = defaults.TRAP_SEPARATION,
    ):
        if interaction not in INTERACTIONS or interaction in ("calogero", "none"):
            raise ValueError(
                f"interaction = {interaction!r}: the systems of a family must have gaussian, harmonic, coth or "
                "soft_coulomb interactions"
            )
        self.interaction = interaction
        self.others: dict[str, Any] = {
            "interaction": interaction,
            "trap": trap,
            "pair_stiffness": pair_stiffness,
            "trap_quartic": trap_quartic,
            "trap_separation": trap_separation,
        }
        self.has_range = resolved_range(interaction, None) is not None
        if interaction_range is not None and not self.has_range:
            raise ValueError(f"interaction_range = {interaction_range}: interaction = {interaction} has none")
        width = defaults.INTERACTION_RANGE if interaction_range is None else interaction_range
        self.strengths = _checked("interaction_strength", interaction_strength)
        self.widths = _checked("interaction_range", width)
        self.conditions = ConditionSpace(
            numbers_of_particles(n_particles),
            (min(self.strengths), max(self.strengths)),
            (min(self.widths), max(self.widths)),
        )
        if not self.conditions.n_features:
            raise ValueError("family: at least one of n_particles, interaction_strength, interaction_range must vary")
        middle = sum(self.conditions.interaction_strength) / 2
        self.systems = tuple(self._system(number, middle, max(self.widths)) for number in self.conditions.n_particles)
        self._check_ends()

    def member(
        self,
        n_particles: int | None = None,
        interaction_strength: float | None = None,
        interaction_range: float | None = None,
        extrapolate: bool = False,
    ) -> TrappedFermions:
        """Returns one system of the family; a parameter that does not vary may be left out.

        Args:
            n_particles: A.
            interaction_strength: as the interaction has it.
            interaction_range: in a_ho.
            extrapolate: whether the system may lie outside the family.

        Raises:
            ValueError: a parameter that varies is left out, or the system is outside the family.
        """
        return self._system(
            *self.conditions.values_of_member(n_particles, interaction_strength, interaction_range, extrapolate)
        )

    def _system(self, n_particles: int, strength: float, width: float) -> TrappedFermions:
        interaction_range = width if self.has_range else None
        return TrappedFermions(n_particles, strength, interaction_range, **self.others)

    def can_be(self, n_particles: int, strength: float, width: float) -> bool:
        """Whether such a system can be, and without a trap may be bound."""
        try:
            check_bound(self._system(n_particles, strength, width).named)
        except ValueError:
            return False
        return True

    def _check_ends(self) -> None:
        """Refuses a family with a system at an end of a range that cannot be, is not bound, or is too narrow."""
        for number in self.conditions.n_particles:
            for strength in self.conditions.interaction_strength:
                for width in self.conditions.interaction_range:
                    system = self._system(number, strength, width)
                    check_bound(system.named)
                    if self.has_range and contact_zone(system):
                        smallest = smallest_range(functools.partial(self._system, number, strength), width)
                        raise TooNarrowError(number, width, smallest)


def _checked(name: str, values: Values) -> tuple[float, ...]:
    """Returns a number, a range or a list as a tuple."""
    if not isinstance(values, Sequence):
        return (float(values),)
    numbers = tuple(map(float, values))
    if len(numbers) < 2:
        raise ValueError(f"{name} = {list(values)}: must be a number, two for a range, or three and more for a list")
    if len(numbers) == 2 and not numbers[0] < numbers[1]:
        raise ValueError(f"{name} = {list(values)}: the first of two numbers must be the lower end of a range")
    if len(set(numbers)) < len(numbers):
        raise ValueError(f"{name} = {list(values)}: must hold each number once")
    return numbers
