"""The wave functions that have a name, which sizes each of them has, and the optimiser's defaults for each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tf_nqs import defaults
from tf_nqs.named_systems import WITH_RANGE, resolved_range

ANSATZE = ("slater", "jastrow")
"""slater is `FermionAnsatz`, jastrow is `JastrowAnsatz`; `module:Class` names one of the user's own."""

SIZES: Final[Mapping[str, Mapping[str, Any]]] = {
    "slater": {
        "n_features": defaults.N_FEATURES,
        "n_layers": defaults.N_LAYERS,
        "n_determinants": defaults.N_DETERMINANTS,
    },
    "jastrow": {
        "n_features": defaults.N_JASTROW_FEATURES,
        "n_layers": defaults.N_LAYERS,
        "n_pair_features": defaults.N_PAIR_FEATURES,
        "n_pair_layers": defaults.N_PAIR_LAYERS,
        "pair_length": defaults.PAIR_LENGTH,
    },
}
"""Ansatz -> the sizes that it has, with their defaults. pair_length is that of an interaction without a range."""

ALL_SIZES = ("n_features", "n_layers", "n_determinants", "n_pair_features", "n_pair_layers", "pair_length")
"""All sizes of a wave function. One of the user's own has those that its constructor takes."""

_RANGES_PER_LENGTH = 2.0
"""The unit of the distances in the pair network, in ranges of the interaction."""


def without_meaning(ansatz: str, leaf: str) -> bool:
    """Returns whether a setting is a size of other wave functions alone; False for one of the user's own."""
    return leaf in ALL_SIZES and ansatz in SIZES and leaf not in SIZES[ansatz]


def check_sizes(ansatz: str, given: Mapping[str, Any]) -> None:
    """Refuses a size that the wave function does not have.

    Args:
        ansatz: one of `ANSATZE`, or `module:Class`.
        given: size -> its value, None for one that is left out.

    Raises:
        ValueError: one line that names both.
    """
    for leaf, value in given.items():
        if value is not None and without_meaning(ansatz, leaf):
            raise no_such_size(ansatz, leaf, value)


def no_such_size(ansatz: str, leaf: str, value: Any) -> ValueError:
    """Returns the error about a size that a wave function does not have."""
    return ValueError(f"{leaf} = {value}: has no meaning for ansatz = {ansatz}; must be left out")


def resolved_sizes(
    ansatz: str, given: Mapping[str, Any], interaction: str, interaction_range: float | None
) -> dict[str, Any]:
    """Returns size -> the value that is used; None for what the wave function does not have or chooses itself.

    Args:
        ansatz: one of `ANSATZE`, or `module:Class`.
        given: size -> its value, None for its default.
        interaction: one of the interactions' names, or `module:function`.
        interaction_range: of the interaction, None for its default.
    """
    known = dict(SIZES.get(ansatz, {}))
    width = resolved_range(interaction, interaction_range)
    if "pair_length" in known and interaction in WITH_RANGE and width is not None:
        known["pair_length"] = _RANGES_PER_LENGTH * width
    return {leaf: known.get(leaf) if given[leaf] is None else given[leaf] for leaf in ALL_SIZES}


def recipe(ansatz: str, optimizer: str, of_family: bool = False) -> defaults.Recipe:
    """Returns the optimiser's defaults for a wave function; those of slater for one of the user's own.

    Args:
        ansatz: one of `ANSATZE`, or `module:Class`.
        optimizer: its name.
        of_family: whether one network learns a family of systems; Adam has the same defaults then.
    """
    if of_family and optimizer != "adam":
        return defaults.FAMILY_RECIPE
    return defaults.RECIPES[ansatz if ansatz in ANSATZE else "slater", optimizer]


def described_defaults(argument: str) -> str:
    """Returns the defaults of an optimiser's argument in words, for the help text of its setting."""
    by_kind = {
        kind: {name: f"{getattr(one, argument):g}" for (of, name), one in defaults.RECIPES.items() if of == kind}
        for kind in ANSATZE
    }
    words = {
        kind: next(iter(values.values()))
        if len(set(values.values())) == 1
        else ", ".join(f"{value} for {name}" for name, value in values.items())
        for kind, values in by_kind.items()
    }
    of_family = f"{getattr(defaults.FAMILY_RECIPE, argument):g}"
    family = [f"{of_family} for a family"] if {of_family} != {*words.values()} else []
    if len(set(words.values())) == 1:
        return "; ".join([words["slater"], *family])
    return "; ".join([*(f"with {kind} {text}" for kind, text in words.items()), *family])
