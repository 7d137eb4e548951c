"""Whether the samples of a family see the interaction of all systems that are trained well enough."""

from __future__ import annotations

from tf_nqs.config import Settings, SettingsError
from tf_nqs.config.errors import shown
from tf_nqs.physics.family import FermionFamily, TooNarrowError


def check_contact_zones(settings: Settings) -> None:
    """Refuses a family with a system whose interaction is so narrow that samples of |Psi|^2 hardly ever see it.

    Training reaches further than the range that is asked for.

    Args:
        settings: all settings, of a family or of a single system, which is never refused.

    Raises:
        SettingsError: one line that names the setting and the smallest range that is allowed.
    """
    if not settings.is_family:
        return
    varied = settings.family.varied()
    given = varied.get("interaction_range")
    if given:
        varied["interaction_range"] = [*settings.family.trained_range()]
    if "n_particles" in varied:
        varied["n_particles"] = sorted(varied["n_particles"])
    try:
        FermionFamily(**settings.system.model_dump() | varied)
    except TooNarrowError as error:
        reached = f"{shown(given)}: training reaches down to {error.width:.3g}, which" if given else f"{error.width}:"
        raise SettingsError(f"interaction_range = {reached} {error.why}") from error
