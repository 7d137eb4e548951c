"""How many numbers the wave functions with a name hold, counted from their sizes before TensorFlow is loaded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from tf_nqs import defaults

Sizes = Mapping[str, Any]
"""n_particles and the sizes of a wave function by their names in the settings; 0 for a size that it does not have."""

_TAILS = 2
"""Features of a pair that the pair network adds to its tanh features."""


class Counts(NamedTuple):
    """What is counted of one kind of wave function, each a function of its sizes.

    Attributes:
        parameters: number of parameters, without those that only a family has.
        depth: number of hidden layers.
        shifts: number of shifts that a family's network gets from the parameters of a system.
        features: numbers per walker in the largest layer.
        jets: numbers per walker in the largest layer with its derivatives by all positions.
        leaves: the two sizes that decide how many features there are.
        has_orbitals: whether pretraining fits it to free fermions.
    """

    parameters: Callable[[Sizes], int]
    depth: Callable[[Sizes], int]
    shifts: Callable[[Sizes], int]
    features: Callable[[Sizes], int]
    jets: Callable[[Sizes], int]
    leaves: tuple[str, str]
    has_orbitals: bool


def _equivariant(n_inputs: int, sizes: Sizes) -> int:
    """Number of parameters of all equivariant layers, of which the first has other inputs."""
    n_features, n_layers = sizes["n_features"], sizes["n_layers"]
    return (2 * n_inputs + 1) * n_features + max(n_layers - 1, 0) * (2 * n_features + 1) * n_features


def _pair_features(sizes: Sizes) -> int:
    return sizes["n_pair_features"] + _TAILS


def _slater_parameters(sizes: Sizes) -> int:
    orbitals = sizes["n_determinants"] * sizes["n_particles"] * (sizes["n_features"] + 2)
    return _equivariant(1, sizes) + orbitals


def _slater_features(sizes: Sizes) -> int:
    """Of one layer, or of the Slater matrices, if those are more."""
    n_particles = sizes["n_particles"]
    return n_particles * max(sizes["n_features"], sizes["n_determinants"] * n_particles)


def _jastrow_parameters(sizes: Sizes) -> int:
    n_tanh = sizes["n_pair_features"]
    pairs = (2 + max(sizes["n_pair_layers"] - 1, 0) * (n_tanh + 1)) * n_tanh
    heads = _pair_features(sizes) + sizes["n_features"]
    return pairs + _equivariant(1 + _pair_features(sizes), sizes) + heads + 2


def _jastrow_features(sizes: Sizes) -> int:
    """Of one layer, or of all pairs, if those are more."""
    return sizes["n_particles"] * max(sizes["n_features"], sizes["n_particles"] * _pair_features(sizes))


def _jastrow_jets(sizes: Sizes) -> int:
    """The features of a pair have derivatives by one distance alone."""
    n_particles = sizes["n_particles"]
    return (n_particles + 2) * n_particles * max(sizes["n_features"], 3 * _pair_features(sizes))


COUNTS: Final[Mapping[str, Counts]] = {
    "slater": Counts(
        parameters=_slater_parameters,
        depth=lambda sizes: sizes["n_layers"],
        shifts=lambda sizes: sizes["n_layers"] * sizes["n_features"],
        features=_slater_features,
        jets=lambda sizes: (sizes["n_particles"] + 2) * _slater_features(sizes),
        leaves=("n_features", "n_determinants"),
        has_orbitals=True,
    ),
    "jastrow": Counts(
        parameters=_jastrow_parameters,
        depth=lambda sizes: sizes["n_layers"] + sizes["n_pair_layers"],
        shifts=lambda sizes: (
            sizes["n_layers"] * sizes["n_features"] + sizes["n_pair_layers"] * sizes["n_pair_features"] + 2
        ),
        features=_jastrow_features,
        jets=_jastrow_jets,
        leaves=("n_features", "n_pair_features"),
        has_orbitals=False,
    ),
}
"""Ansatz -> what is counted of it."""


def counts_of(ansatz: str) -> Counts:
    """Returns what is counted of a wave function; that of slater for one of the user's own, about right at best.

    Args:
        ansatz: one of `named_ansatze.ANSATZE`, or `module:Class`.
    """
    return COUNTS.get(ansatz, COUNTS["slater"])


def parameters_of_conditions(n_condition_features: int, n_shifts: int) -> int:
    """Returns the number of parameters of the layer that tells a family's network of its systems.

    Args:
        n_condition_features: number of features of a system; 0 for a network of one system, which has no such layer.
        n_shifts: number of shifts that the layer returns.
    """
    if not n_condition_features:
        return 0
    n_hidden = defaults.N_CONDITION_FEATURES
    return (n_condition_features + 1) * n_hidden + (n_hidden + n_condition_features) * n_shifts
