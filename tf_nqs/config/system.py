"""The settings of the system: the fermions, their trap and their interaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from tf_nqs import defaults
from tf_nqs.config.errors import SettingsError
from tf_nqs.config.fields import Forms, named_or_imported
from tf_nqs.config.section import Section
from tf_nqs.named_systems import (
    INTERACTIONS,
    TRAPS,
    NamedSystem,
    check_bound,
    check_parameters,
    is_plain_gaussian,
    resolved_range,
    trap_name,
)

SYMBOLS = {"gaussian": "V0", "harmonic": "kappa", "coth": "c", "calogero": "l", "soft_coulomb": "q"}
"""Interaction -> what its formula calls the strength."""


class SystemSettings(Section):
    """The fermions, their trap and their interaction."""

    n_particles: int = Field(ge=1, le=64, description="Number of fermions, A.")
    interaction: str = Field(
        defaults.INTERACTION,
        description="Interaction of two particles; a function maps distances x_i - x_j to energies.",
        **named_or_imported(INTERACTIONS, "function"),
    )
    interaction_strength: float = Field(
        defaults.INTERACTION_STRENGTH,
        description="Strength of the interaction: V_0 of gaussian in units of hbar*omega*a_ho (negative attracts), "
        "kappa of harmonic, c of coth, l of calogero, q of soft_coulomb.",
    )
    interaction_range: float | None = Field(
        None,
        gt=0,
        description="Range of gaussian (sigma_0) and soft_coulomb in units of a_ho; default: "
        f"{defaults.INTERACTION_RANGE:g}. The other interactions have none.",
    )
    pair_stiffness: float = Field(
        defaults.PAIR_STIFFNESS,
        description="Stiffness kappa in units of hbar*omega/a_ho^2: adds kappa r^2/2 to any interaction.",
    )
    trap: Annotated[
        Literal["harmonic", "none", "double_well", "quartic"], BeforeValidator(trap_name), Forms("harmonic", "none")
    ] = Field(
        defaults.TRAP,
        json_schema_extra={"allowed": f"one of {', '.join(TRAPS)}, or true or false"},
        description="Trap that holds the particles; true means harmonic, false means none.",
    )
    trap_quartic: float = Field(
        defaults.TRAP_QUARTIC, gt=0, description="Coefficient of x^4 in the quartic trap in units of hbar*omega/a_ho^4."
    )
    trap_separation: float = Field(
        defaults.TRAP_SEPARATION,
        gt=0,
        description="Position b of the wells of the double well, which are at -b and b, in units of a_ho.",
    )

    def named(self) -> NamedSystem:
        """Returns the system by its names and parameters."""
        return NamedSystem(**self.model_dump())

    def resolved(self) -> dict[str, Any]:
        """Returns leaf name -> value, with the range that is used where none is given."""
        return self.model_dump() | {"interaction_range": resolved_range(self.interaction, self.interaction_range)}

    def gaussian(self) -> dict[str, Any] | None:
        """Returns n_particles, interaction_strength, interaction_range and trap (whether there is one).

        None for a system that is not the thesis' one: a Gaussian interaction alone, in the harmonic trap or in none.
        """
        if not is_plain_gaussian(self.named()):
            return None
        leaves = ("n_particles", "interaction_strength", "interaction_range")
        return {leaf: self.resolved()[leaf] for leaf in leaves} | {"trap": self.trap == "harmonic"}

    @property
    def has_trap(self) -> bool:
        """Whether a trap holds the particles."""
        return self.trap != "none"

    def title(self, varied: Mapping[str, Sequence[float]] | None = None) -> str:
        """Returns what is written above a plot.

        Args:
            varied: setting -> its values, of a family: two of interaction_strength or interaction_range are a range.
        """
        has_strength = self.interaction in SYMBOLS
        values = self.resolved() | dict(varied or {})
        width = _in_words("interaction_range", values["interaction_range"])
        strength = _in_words("interaction_strength", values["interaction_strength"])
        parts = [f"A = {_in_words('n_particles', values['n_particles'])}"]
        parts += [] if self.interaction == defaults.INTERACTION else [_WORDS.get(self.interaction, self.interaction)]
        parts += [f"{SYMBOLS[self.interaction]} = {strength}"] if has_strength else []
        parts += [f"{'sigma0' if self.interaction == 'gaussian' else 'range'} = {width}"] if width else []
        parts += [f"pair stiffness = {self.pair_stiffness:g}"] if self.pair_stiffness else []
        parts += [_TRAP_WORDS[str(self.trap)].format(self)] if self.trap != defaults.TRAP else []
        return ", ".join(parts)

    @model_validator(mode="after")
    def _must_be_bound(self) -> SystemSettings:
        """Refuses parameters without meaning, and systems without a bound ground state."""
        check_parameters(self.named())
        check_bound(self.named())
        return self


def check_diffusion(system: SystemSettings, of: str = "") -> None:
    """Refuses a reference by diffusion without a trap, where the walkers may need longer than any fixed time.

    Args:
        system: of the run.
        of: continues "trap = none", where the trap is that of another folder.

    Raises:
        SettingsError: the system has no trap.
    """
    if not system.has_trap:
        raise SettingsError(f"reference = diffusion contradicts trap = none{of}: must be auto, exact or none")


def _in_words(leaf: str, value: float | Sequence[float] | None) -> str:
    """A number, a range or a list for a title."""
    if not isinstance(value, Sequence):
        return "" if value is None else f"{value:g}"
    is_range = leaf != "n_particles" and len(value) == 2
    return (" to " if is_range else ", ").join(f"{one:g}" for one in value)


_WORDS = {"soft_coulomb": "soft Coulomb", "calogero": "Calogero", "none": "no interaction"}
"""Interaction -> what titles call it; the others by their names."""

_TRAP_WORDS = {
    "none": "no trap",
    "double_well": "double well, b = {0.trap_separation:g}",
    "quartic": "quartic trap, {0.trap_quartic:g}",
}
"""Trap -> what titles call it."""
