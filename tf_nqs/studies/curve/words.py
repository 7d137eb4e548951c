"""What tables and pictures call the parameters."""

from __future__ import annotations

from tf_nqs.config.system import SYMBOLS
from tf_nqs.named_systems import NamedSystem
from tf_nqs.studies.curve.curves import Curve

_OTHERS = {"pair_stiffness": "pair stiffness", "trap_quartic": "trap_quartic", "trap_separation": "b"}


def symbol_of(system: NamedSystem, parameter: str) -> str:
    """Returns the symbol of a parameter, such as V0."""
    if parameter == "interaction_strength":
        return SYMBOLS.get(system.interaction, parameter)
    if parameter == "interaction_range":
        return "sigma0" if system.interaction == "gaussian" else "range"
    return _OTHERS[parameter]


def words_of(curve: Curve) -> str:
    """Returns the symbol of what varies along a curve; Point where it has no parameter."""
    return "Point" if curve.parameter is None else symbol_of(curve.points[0].system, curve.parameter)
