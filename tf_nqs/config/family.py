"""The settings of a family: one network for all systems of a range of strengths, ranges and numbers of particles."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final

from pydantic import Field, ValidationInfo, field_validator

from tf_nqs import defaults
from tf_nqs.config.errors import SettingsError, must_be, shown
from tf_nqs.config.fields import checked_value, field_allowed, from_text
from tf_nqs.config.section import LARGEST_COUNT, Count, Section
from tf_nqs.config.system import SystemSettings
from tf_nqs.named_ansatze import ANSATZE
from tf_nqs.named_systems import WITH_STRENGTH
from tf_nqs.whole_numbers import FEWEST_WALKERS

VARIED = ("n_particles", "interaction_strength", "interaction_range")
"""Settings of the system that may have several values."""

SCALES: Final = {"interaction_strength": "strength_scale", "interaction_range": "range_scale"}
"""Setting of the system -> that of the range which the network's input is scaled by."""

_SEVERAL: Final = {
    "n_particles": "or a list of at least two different ones",
    "interaction_strength": "or a range of two with the lower one first, or a list of at least three different ones",
    "interaction_range": "or a range of two with the lower one first, or a list of at least three different ones",
}
_SCALE_PATTERN: Final = r"^{0}:{0}$".format(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")

_SPELLED: Final = {
    "n_particles": "or a list such as 2,3,4",
    "interaction_strength": "or a range such as -20:20, or a list such as -20,0,5",
    "interaction_range": "or a range such as 0.3:1, or a list such as 0.25,0.5,1",
}

_SCALE: Final = "a range low:high of two finite numbers"


class FamilySection(Section):
    """The conditions of a family: the systems that are sampled in one iteration."""

    n_conditions: Count = Field(
        defaults.N_CONDITIONS,
        description="Family: number of systems in one iteration for each number of particles; each has its own part "
        "of the ranges, or a value of the lists.",
    )
    walkers_per_condition: int = Field(
        defaults.WALKERS_PER_CONDITION,
        ge=FEWEST_WALKERS,
        le=LARGEST_COUNT,
        description="Family: number of Markov chains of each system; n_walkers, for each number of particles, is "
        "n_conditions * walkers_per_condition.",
    )
    drift: float = Field(
        defaults.DRIFT,
        ge=0,
        lt=1,
        description="Family: standard deviation of a system's drift in one iteration, as a share of the length of its "
        "part of the range.",
    )
    margin: float = Field(
        defaults.MARGIN,
        ge=0,
        lt=1,
        description="Family: share of its length by which training extends each range at both ends; for "
        "interaction_range, a share of the length on a logarithmic scale.",
    )
    average_decay: float = Field(
        defaults.AVERAGE_DECAY,
        ge=0,
        lt=1,
        description="Family: decay per iteration of the running average of the weights, which is measured and saved; "
        "0 for the last weights.",
    )
    strength_scale: str | None = Field(
        None,
        pattern=_SCALE_PATTERN,
        json_schema_extra={"allowed": _SCALE},
        description="Family: range of interaction_strength, as low:high, that scales the network's input; default: "
        "the range of the family in transfer_from, otherwise the family's own.",
    )
    range_scale: str | None = Field(
        None,
        pattern=_SCALE_PATTERN,
        json_schema_extra={"allowed": f"{_SCALE} above 0"},
        description="Family: the same for interaction_range.",
    )

    @field_validator("strength_scale", "range_scale")
    @classmethod
    def _must_be_a_range(cls, text: str | None, info: ValidationInfo) -> str | None:
        """Refuses a scale that is no range of finite numbers, and spells the others in one way."""
        if text is None:
            return None
        name, ends = str(info.field_name), _ends(text)
        lowest = 0.0 if name == "range_scale" else -math.inf
        if ends is None or not lowest < ends[0] < ends[1] < math.inf:
            raise must_be(name, text, field_allowed(cls.model_fields[name]))
        return f"{ends[0]!r}:{ends[1]!r}"

    def scale(self, leaf: str) -> tuple[float, float] | None:
        """Returns the two ends of strength_scale or range_scale; None where it is not given."""
        text = getattr(self, leaf)
        return None if text is None else _ends(text)


def _ends(text: str) -> tuple[float, float] | None:
    """Returns the two numbers of low:high; None where the text is something else."""
    try:
        low, high = map(float, text.split(":"))
    except ValueError:
        return None
    return low, high


class FamilySettings(FamilySection):
    """The family of a run: its conditions, and the values of the system's settings that it covers.

    Attributes:
        n_particles: all numbers of particles; empty, as the other two are, for a run of a single system.
        interaction_strength: one number, the two ends of a range, or at least three numbers of a list.
        interaction_range: the same, in a_ho; empty for an interaction that has no range.
    """

    n_particles: Annotated[tuple[int, ...], Field(exclude=True)] = ()
    interaction_strength: Annotated[tuple[float, ...], Field(exclude=True)] = ()
    interaction_range: Annotated[tuple[float, ...], Field(exclude=True)] = ()

    def varied(self) -> dict[str, list[Any]]:
        """Returns setting -> its values, as a config gives them, of those that have several."""
        return {leaf: [*values] for leaf in VARIED if len(values := getattr(self, leaf)) > 1}

    def is_range(self, leaf: str) -> bool:
        """Returns whether a setting has all values between two, and not some numbers."""
        return leaf != "n_particles" and len(getattr(self, leaf)) == 2

    def trained_range(self) -> tuple[float, ...]:
        """Returns the values of interaction_range that training covers.

        The two ends of a range lie further out, by the share `margin` of the length of its logarithm. A list, or one
        value, is covered as it is.
        """
        if not self.is_range("interaction_range"):
            return tuple(self.interaction_range)
        low, high = self.interaction_range
        factor = (high / low) ** self.margin
        return low / factor, high * factor


def values_from_text(leaf: str, text: str) -> Any:
    """Returns what the text of a flag spells: a number, [low, high] for low:high, a list for numbers with commas.

    Args:
        leaf: one of `VARIED`.
        text: of the flag.

    Raises:
        SettingsError: it spells none of these.
    """
    field, is_range = SystemSettings.model_fields[leaf], ":" in text
    if not is_range and "," not in text:
        return checked_value(leaf, from_text(field, text), field)
    values = [from_text(field, part) for part in text.split(":" if is_range else ",")]
    is_spelled = not any(isinstance(value, str) for value in values)
    is_form = len(values) == 2 if is_range else (leaf == "n_particles" or len(values) != 2)
    if not is_spelled or not is_form or (is_range and leaf == "n_particles"):
        raise must_be(leaf, text, several_allowed(leaf))
    return values


def several_allowed(leaf: str) -> str:
    """Returns what the flag of a setting of a family may be, as the end of a sentence that starts with 'must be'."""
    return f"{field_allowed(SystemSettings.model_fields[leaf])}, {_SPELLED[leaf]}"


def varied_values(leaves: Mapping[str, Any]) -> dict[str, tuple[Any, ...]]:
    """Returns setting -> its values, of those settings of the system that are given several.

    Args:
        leaves: setting -> given value.

    Raises:
        SettingsError: the values of a list are not allowed.
    """
    given = {leaf: leaves[leaf] for leaf in VARIED if isinstance(leaves.get(leaf), list | tuple)}
    return {leaf: _checked_values(leaf, values) for leaf, values in given.items()}


def _checked_values(leaf: str, given: list[Any] | tuple[Any, ...]) -> tuple[Any, ...]:
    field = SystemSettings.model_fields[leaf]
    problem = must_be(leaf, [*given], f"{field_allowed(field)}, {_SEVERAL[leaf]}")
    try:
        values = tuple(checked_value(leaf, value, field) for value in given)
    except SettingsError as error:
        raise problem from error
    is_reversed = leaf != "n_particles" and len(values) == 2 and not values[0] < values[1]
    if len(values) < 2 or is_reversed or len(set(values)) < len(values):
        raise problem
    return values


def representative(varied: Mapping[str, tuple[Any, ...]]) -> dict[str, Any]:
    """Returns setting -> the value of one member of a family: what it is built and titled by.

    The most particles, the middle of a range of strengths or the first one of a list, and the geometric mean of the
    smallest and the largest interaction_range: the unit of a pair network follows from that.
    """
    middle: dict[str, Any] = {}
    for leaf, values in varied.items():
        if leaf == "n_particles":
            middle[leaf] = max(values)
        elif leaf == "interaction_range":
            middle[leaf] = math.sqrt(min(values)) * math.sqrt(max(values))
        else:
            middle[leaf] = 0.5 * values[0] + 0.5 * values[1] if len(values) == 2 else values[0]
    return middle


def corners(values: Mapping[str, tuple[Any, ...]]) -> Iterator[dict[str, Any]]:
    """Yields setting -> value of the members with the smallest and the largest value of each setting.

    What a system may be is an interval of each setting: if these members can be, all can.
    """
    ends = {leaf: sorted({min(of), max(of)}) for leaf, of in values.items()}
    for member in itertools.product(*ends.values()):
        yield dict(zip(ends, member, strict=True))


def check_family(settings: Any, varied: Mapping[str, tuple[Any, ...]]) -> None:
    """Refuses settings that no family can have.

    Args:
        settings: `Settings` of a member.
        varied: setting -> its values, of those that have several.

    Raises:
        SettingsError: one line that names the setting and what is allowed.
    """
    interaction = settings.system.interaction
    if interaction not in WITH_STRENGTH or interaction == "calogero":
        allowed = [name for name in WITH_STRENGTH if name != "calogero"]
        raise SettingsError(
            f"interaction = {shown(interaction)} contradicts a family of systems: must be one of {', '.join(allowed)}, "
            "whose strength is not part of the wave function"
        )
    kind, resampling = settings.ansatz.ansatz, settings.reweighting.resampling
    if kind not in ANSATZE:
        raise SettingsError(f"ansatz = {shown(kind)} contradicts a family of systems: must be {' or '.join(ANSATZE)}")
    if resampling != "every_iteration":
        raise SettingsError(
            f"resampling = {resampling} contradicts a family of systems: must be every_iteration, "
            "as the systems change in every iteration"
        )
    if settings.stopping.restore_best:
        raise SettingsError(
            "restore_best = true contradicts a family of systems: must be false, as the mean energy of a window moves "
            "with the systems, which drift"
        )
    if settings.evaluation.reference == "diffusion":
        raise SettingsError(
            "reference = diffusion contradicts a family of systems, which has no energy of its own: must be auto, "
            "exact or none"
        )
    if settings.run.profile and "n_particles" in varied:
        raise SettingsError(
            "profile = true contradicts several values of n_particles: must be false, as the phases of "
            "one of them alone would be timed"
        )
    n_values = math.prod(len(of) for leaf, of in varied.items() if leaf != "n_particles" and len(of) > 2)
    if settings.family.n_conditions < n_values:
        raise SettingsError(
            f"n_conditions = {settings.family.n_conditions} contradicts the lists in [system]: "
            f"must be at least {n_values}, one for each of their members"
        )


def check_single(varied: Mapping[str, Any], where: str) -> None:
    """Refuses several values of a setting where only one system makes sense.

    Args:
        varied: setting -> its values, of those that have several.
        where: continues "must be one number", e.g. "in a stage of a chain".

    Raises:
        SettingsError: there is such a setting.
    """
    for leaf, values in varied.items():
        raise SettingsError(f"{leaf} = {shown([*values])}: must be one number {where}")
