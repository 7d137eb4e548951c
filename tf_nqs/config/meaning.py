"""Settings of a family that would do nothing for its systems; refused where they are given beside a file."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from tf_nqs.config.errors import SettingsError
from tf_nqs.config.settings import Settings


def check_meaning(settings: Settings, varied: Mapping[str, tuple[Any, ...]], given: Collection[str]) -> None:
    """Refuses settings that would do nothing; the file of a run holds all of them, whether they do something or not.

    Args:
        settings: of a member of the family.
        varied: setting -> its values, of those that have several.
        given: the settings that were given by flags, or in a call.

    Raises:
        SettingsError: one line that names the setting.
    """
    has_range = any(leaf != "n_particles" and len(values) == 2 for leaf, values in varied.items())
    for leaf in ("drift", "margin"):
        if leaf in given and not has_range:
            raise SettingsError(
                f"{leaf} = {getattr(settings.family, leaf)}: has no meaning for a family without a range; must be left "
                "out, or interaction_strength or interaction_range be a range"
            )
    scale = settings.family.range_scale
    if "range_scale" in given and scale is not None and settings.system.resolved()["interaction_range"] is None:
        raise SettingsError(
            f"range_scale = {scale}: has no meaning with interaction = {settings.system.interaction}, which has no "
            "range; must be left out"
        )
