"""Which numbers of a trained wave function go into which weights of a new one, between single systems or families."""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
import numpy as np

from tf_nqs.ansatz import FermionAnsatz
from tf_nqs.config import SettingsError
from tf_nqs.config.errors import shown


class TransferError(SettingsError):
    """Weights or walkers that cannot be transferred; its text is one line for the user."""


class CopiedWeight(NamedTuple):
    """A weight with its new value.

    Attributes:
        weight: of the new wave function.
        value: of its shape.
        size: how many of its numbers come from the trained wave function.
    """

    weight: keras.Variable
    value: Any
    size: int


def weight_name(weight: keras.Variable) -> str:
    """Returns the path of a weight within its model."""
    return weight.path.partition("/")[2]


def between_families(source: keras.Model, ansatz: keras.Model) -> list[CopiedWeight]:
    """Returns the weights of a family's wave function with the values that another family's gives them.

    The members of both families are the same afterwards: features that only the new family has get rows of zeros, and
    of determinants that are larger or smaller the first orbitals are copied.

    Args:
        source: the trained wave function.
        ansatz: the new one, of the same class, with as many weights.

    Raises:
        TransferError: the network is not told of its systems in the same way, or has another unit of distances.
    """
    _check_features(source.conditions, ansatz.conditions)
    lengths = [one.pair_network.length for one in (source, ansatz) if hasattr(one, "pair_network")]
    if len(set(lengths)) > 1:
        raise TransferError(f"has length = {lengths[0]:g}, the ansatz length = {lengths[1]:g}; must be equal")
    copied = []
    for old, new in zip(source.weights, ansatz.weights, strict=True):
        value = np.array(new.numpy())
        size = _copy(source, ansatz, old, value)
        if not size:
            shapes = f"{weight_name(old)} of shape {tuple(old.shape)}, the ansatz {tuple(new.shape)}"
            raise TransferError(f"has {shapes}; must be equal")
        copied.append(CopiedWeight(new, value, size))
    return copied


def _copy(source: keras.Model, ansatz: keras.Model, old: keras.Variable, value: np.ndarray) -> int:
    """Puts the numbers of a weight into an array, and returns how many; 0 if they do not fit."""
    given, shift = old.numpy(), source.condition_shift
    rows = _rows_of_features(source.conditions.feature_names, ansatz.conditions.feature_names)
    if old is shift.kernel or old is shift.output_kernel:
        n_hidden = 0 if old is shift.kernel else shift.n_hidden
        where = np.concatenate([np.arange(n_hidden), n_hidden + rows]).astype(int)
        if (n_hidden + ansatz.conditions.n_features, given.shape[1]) != value.shape:
            return 0
        value[...] = 0.0
        value[where] = given
        return given.size
    if isinstance(ansatz, FermionAnsatz) and source.n_particles != ansatz.n_particles and _is_of_orbitals(source, old):
        n_orbitals = min(source.n_particles, ansatz.n_particles)
        by_orbital = [
            array.reshape(-1, ansatz.n_determinants, one.n_particles)[..., :n_orbitals]
            for array, one in ((given, source), (value, ansatz))
        ]
        by_orbital[1][...] = by_orbital[0]
        return by_orbital[0].size
    if given.shape != value.shape:
        return 0
    value[...] = given
    return given.size


def _is_of_orbitals(source: FermionAnsatz, weight: keras.Variable) -> bool:
    """Whether a weight has numbers for each orbital, along its last axis."""
    layers = (source.orbital_layer, source.envelope)
    return any(weight is one for layer in layers for one in layer.weights)


def _rows_of_features(old: tuple[str, ...], new: tuple[str, ...]) -> np.ndarray:
    """At which place among the new features each of the old ones is; both are in the same order."""
    return np.array([place for place, name in enumerate(new) if name in old], int)


def _check_features(before: Any, now: Any) -> None:
    """Refuses a network that is told of its systems in another way, as it would be another function of them."""
    for name in before.feature_names:
        if name not in now.feature_names:
            raise TransferError(f"is a family of several {name}, the ansatz has no features for them; must have these")
    for name, scale in before.scales.items():
        if now.scales[name] != scale:
            raise TransferError(
                f"has features scaled by {name} = {shown([*scale])}, the ansatz by {shown([*now.scales[name]])}; "
                "must be equal, see ConditionSpace.scaled_as"
            )
