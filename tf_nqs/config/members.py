"""One member of a family: which there are, and what tells them apart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tf_nqs.config.errors import SettingsError
from tf_nqs.config.family import VARIED
from tf_nqs.config.fields import checked_value
from tf_nqs.config.system import SystemSettings
from tf_nqs.family_values import value_of_member


def covered_values(system: SystemSettings, varied: Mapping[str, Any]) -> dict[str, tuple[Any, ...]]:
    """Returns setting -> the values that a run covers: those of `varied`, one, or none that the interaction has.

    Args:
        system: a member.
        varied: setting -> its values, of those that have several.
    """
    of_member = system.resolved()
    one = {leaf: () if of_member[leaf] is None else (of_member[leaf],) for leaf in VARIED}
    return {leaf: tuple(varied.get(leaf, one[leaf])) for leaf in VARIED}


def member_values(
    covered: Mapping[str, tuple[Any, ...]],
    asked: Mapping[str, Any],
    extrapolate: bool,
    most_particles: int | None = None,
) -> dict[str, Any]:
    """Returns setting -> value of one member of a family.

    Args:
        covered: setting -> its values, one, the ends of a range, or some numbers; empty if the system has none.
        asked: setting -> the value asked for, None for the only one that there is.
        extrapolate: whether the values may lie outside of what is covered.
        most_particles: largest number of particles that the wave function can have; None for any.

    Raises:
        SettingsError: a value is missing, or not covered.
    """
    found = {}
    for leaf, values in covered.items():
        value = asked.get(leaf)
        if value is not None:
            value = checked_value(leaf, value, SystemSettings.model_fields[leaf])
        try:
            found[leaf] = value_of_member(leaf, value, values, extrapolate, most_particles)
        except ValueError as error:
            raise SettingsError(str(error)) from error
    return found


def member_label(system: SystemSettings) -> str:
    """Returns what tells a member from others in names of files: A4_V7.3_s0.5; without _s where there is no range."""
    values = system.resolved()
    numbers = [f"A{system.n_particles}", f"V{_short(system.interaction_strength)}"]
    return "_".join(numbers + ([f"s{_short(width)}"] if (width := values["interaction_range"]) is not None else []))


def members_label(systems: Sequence[SystemSettings]) -> str:
    """Returns what several members are called in names of files: A4_V-10to10_s0.5, by the smallest and the largest.

    Args:
        systems: of the members, of one family.
    """
    parts = [f"A{_span(system.n_particles for system in systems)}"]
    parts.append(f"V{_span(system.interaction_strength for system in systems)}")
    widths = [system.resolved()["interaction_range"] for system in systems]
    return "_".join(parts + ([] if None in widths else [f"s{_span(widths)}"]))


def _span(values: Iterable[float]) -> str:
    found = sorted(set(values))
    return _short(found[0]) if len(found) == 1 else f"{_short(found[0])}to{_short(found[-1])}"


def _short(value: float) -> str:
    """A number with all of its digits, but without ".0" at its end, or the sign of 0."""
    return repr(value + 0.0).removesuffix(".0")
