"""Whether the samples of a family see the interaction of all of its members well enough."""

from __future__ import annotations

import math
from typing import Any

from tf_nqs.config import Settings, SettingsError
from tf_nqs.config.errors import shown
from tf_nqs.config.family import corners
from tf_nqs.config.members import covered_values
from tf_nqs.physics import TrappedFermions
from tf_nqs.physics.contact_zone import contact_zone

_BISECTIONS = 10


def check_contact_zones(settings: Settings) -> None:
    """Refuses a family with a member whose interaction is so narrow that samples of |Psi|^2 hardly ever see it.

    A single system with such an interaction has samples of near pairs of its own.

    Args:
        settings: all settings, of a family or of a single system, which is never refused.

    Raises:
        SettingsError: one line that names the setting and the smallest range that is allowed.
    """
    if not settings.is_family:
        return
    varied = settings.family.varied()
    if "interaction_range" in varied:
        varied["interaction_range"] = [*settings.family.trained("interaction_range")]
    covered = {leaf: values for leaf, values in covered_values(settings.system, varied).items() if values}
    for n_particles in sorted(covered.pop("n_particles")):
        for member in corners(covered):
            system = settings.system.model_dump() | member | {"n_particles": n_particles}
            if _is_narrow(system):
                raise _too_narrow(settings, system)


def _too_narrow(settings: Settings, system: dict[str, Any]) -> SettingsError:
    given, reached = settings.family.varied().get("interaction_range"), system["interaction_range"]
    what = f"{shown(given)}: training reaches down to {reached:.3g}, which" if given else f"{reached}:"
    return SettingsError(
        f"interaction_range = {what} must be above {_smallest(system):.3g} for a family with "
        f"n_particles = {system['n_particles']}, or its samples hardly ever hold two particles within the range"
    )


def _is_narrow(system: dict[str, Any]) -> bool:
    return contact_zone(TrappedFermions(**system)) is not None


def _smallest(system: dict[str, Any]) -> float:
    """Returns the range, in a_ho, from which on a system is no longer narrow, rounded up a little."""
    narrow, wide = system["interaction_range"], 2.0 * system["interaction_range"]
    while _is_narrow(system | {"interaction_range": wide}):
        narrow, wide = wide, 2.0 * wide
    for _ in range(_BISECTIONS):
        middle = math.sqrt(narrow * wide)
        is_narrow = _is_narrow(system | {"interaction_range": middle})
        narrow, wide = (middle, wide) if is_narrow else (narrow, middle)
    return wide
