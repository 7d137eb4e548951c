"""The flags that pick one member of a family's run, and the member that they pick."""

from __future__ import annotations

from typing import Any, NamedTuple

from tf_nqs.commands.flags import Flag, Given, setting_flag, switch_flag
from tf_nqs.config import Settings, SettingsError
from tf_nqs.config.errors import shown
from tf_nqs.config.family import VARIED
from tf_nqs.config.members import member_label
from tf_nqs.storage.run_folder import RunFolder

_OF_FAMILY = "For the run of a family"

_TEXTS = {
    "n_particles": f"{_OF_FAMILY}: number of fermions of the member.",
    "interaction_strength": f"{_OF_FAMILY}: strength of the member's interaction.",
    "interaction_range": f"{_OF_FAMILY}: range of the member's interaction, in units of a_ho.",
}


class Member(NamedTuple):
    """One system of a family.

    Attributes:
        values: n_particles, interaction_strength, interaction_range and extrapolate: the arguments of `Settings.member`
            and of `Run.at`.
        label: tells it from other members in names of files.
    """

    values: dict[str, Any]
    label: str


def member_flags() -> list[Flag]:
    """Returns the flags that pick a member."""
    only = "the only one of the family"
    numbers = [setting_flag(name, section="settings", text=_TEXTS[name], default=only) for name in VARIED]
    further = f"{_OF_FAMILY}: allow a member outside the trained values (true or false; default: false)."
    own = [flag._replace(is_setting=False, is_required=False) for flag in numbers]
    return [*own, switch_flag("extrapolate", further, label="--[no]extrapolate")]


def member_of(folder: RunFolder, given: Given) -> Member | None:
    """Returns the member of a family's run that the flags pick; None for the run of a single system.

    Args:
        folder: of a finished run.
        given: on the command line.

    Raises:
        SettingsError: the run has no such member, or is that of a single system.
    """
    asked = {name: given.own[name] for name in (*VARIED, "extrapolate") if name in given.own}
    if not folder.settings.is_family:
        for name, value in asked.items():
            raise SettingsError(
                f"{name} = {shown(value)}: has no meaning for {folder}, the run of a single system; must be left out"
            )
        return None
    system = folder.settings.member(**asked).system
    values = {name: getattr(system, name) for name in VARIED}
    return Member(values | {"extrapolate": asked.get("extrapolate", False)}, member_label(system))


def member_or_family(folder: RunFolder, given: Given) -> Member | None:
    """Does what `member_of` does, but returns None where no flag picks a member of a family: all of it is meant."""
    is_picked = any(name in given.own for name in VARIED)
    return None if folder.settings.is_family and not is_picked else member_of(folder, given)


def settings_of_member(settings: Settings, member: Member | None) -> Settings:
    """Returns the settings of a member of a family; of a single system's run those that it has."""
    return settings if member is None else settings.member(**member.values)
