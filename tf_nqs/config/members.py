"""One member of a family: which there are, and what tells them apart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tf_nqs.config.errors import SettingsError, must_be_given
from tf_nqs.config.family import VARIED
from tf_nqs.config.fields import checked_value
from tf_nqs.config.system import SystemSettings


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
    covered: Mapping[str, tuple[Any, ...]], asked: Mapping[str, Any], extrapolate: bool
) -> dict[str, Any]:
    """Returns setting -> value of one member of a family.

    Args:
        covered: setting -> its values, one, the ends of a range, or some numbers; empty if the system has none.
        asked: setting -> the value asked for, None for the only one that there is.
        extrapolate: whether strength and range may lie outside of what is covered.

    Raises:
        SettingsError: a value is missing, or not covered.
    """
    found = {}
    for leaf, values in covered.items():
        value, field = asked.get(leaf), SystemSettings.model_fields[leaf]
        if value is None and len(values) > 1:
            raise must_be_given(leaf, _described(leaf, values))
        if value is None:
            found[leaf] = values[0] if values else None
            continue
        value = found[leaf] = checked_value(leaf, value, field)
        is_number = leaf == "n_particles"
        is_inside = value in values if is_number else bool(values) and min(values) <= value <= max(values)
        if not is_inside and (is_number or not values or not extrapolate):
            allowed = f"must be {_described(leaf, values)}" if values else "must be left out"
            further = "" if is_number or not values else ", or be asked for with --extrapolate or extrapolate=True"
            raise SettingsError(f"{leaf} = {value}: was not trained; {allowed}{further}")
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


def _described(leaf: str, values: tuple[Any, ...]) -> str:
    if len(values) == 1:
        return f"{values[0]}"
    if leaf == "n_particles":
        return f"one of {', '.join(map(str, sorted(values)))}"
    return f"from {min(values):g} to {max(values):g}"
