"""Which settings of a file follow when another wave function, optimiser or interaction is chosen on top of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tf_nqs import defaults
from tf_nqs.config.errors import SettingsError
from tf_nqs.config.family import VARIED, representative, varied_values
from tf_nqs.named_ansatze import ALL_SIZES, recipe, resolved_sizes, without_meaning

_CHOOSERS = {
    "ansatz": defaults.ANSATZ,
    "optimizer": defaults.OPTIMIZER,
    "interaction": defaults.INTERACTION,
    "interaction_range": None,
}
"""Setting that defaults of other settings depend on -> its own default."""

_RECIPE = ("momentum", "damping", "damping_min", "leverage_bound", "clip_doubling_iterations")
"""Arguments of the optimiser that `config.toml` of a run holds, whether they were given or not."""


def following(leaves: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the settings of a file without those that the overrides replace by their choice of another kind.

    `config.toml` of a run holds the sizes of its wave function and the recipe of its optimiser. Under another wave
    function those that are the defaults of the former one would be no defaults any more, so they are left out, and so
    are sizes that only the former one has. The same holds where a single system is chosen on top of a family, or a
    family on top of a single system. Values that differ from the defaults stay. What the overrides give stays in any
    case, and is refused later where it has no meaning.

    Args:
        leaves: setting -> value of the file, not validated.
        overrides: setting -> value, which win over those of the file.
    """
    before, after = _kind(leaves), _kind({**leaves, **overrides})
    if before == after:
        return dict(leaves)
    brought = _defaults_of(before)
    is_other = before["ansatz"] != after["ansatz"] and isinstance(after["ansatz"], str)
    return {
        leaf: value
        for leaf, value in leaves.items()
        if brought.get(leaf) != value and not (is_other and without_meaning(after["ansatz"], leaf))
    }


def _kind(leaves: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what the defaults of other settings depend on: the choosers, and whether it is a family."""
    kind = {leaf: leaves.get(leaf, default) for leaf, default in _CHOOSERS.items()}
    return kind | {"of_family": any(isinstance(leaves.get(leaf), list | tuple) for leaf in VARIED)}


def _are_valid(choosers: Mapping[str, Any]) -> bool:
    """Returns whether the values of a file, which may be anything, have defaults that depend on them."""
    width = choosers["interaction_range"]
    is_width = width is None or (isinstance(width, int | float) and not isinstance(width, bool))
    names = [choosers[leaf] for leaf in ("ansatz", "optimizer", "interaction")]
    return is_width and all(isinstance(name, str) for name in names) and names[1] in defaults.OPTIMIZERS


def _defaults_of(kind: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the sizes and the recipe that a run of this kind has where none are given; not those that are None.

    A family has those of its representative. A kind that cannot be has none.
    """
    try:
        kind = {**kind, **representative(varied_values(kind))}
    except SettingsError:  # values of a list that are refused later
        return {}
    if not _are_valid(kind):
        return {}
    sizes = resolved_sizes(kind["ansatz"], dict.fromkeys(ALL_SIZES), kind["interaction"], kind["interaction_range"])
    known = recipe(kind["ansatz"], kind["optimizer"], kind["of_family"])
    found = sizes | {leaf: getattr(known, leaf) for leaf in _RECIPE}
    return {leaf: value for leaf, value in found.items() if value is not None}
