"""Which numbers of a trained wave function go into which weights of a new one, between single systems or families."""

from __future__ import annotations

from typing import Any, NamedTuple

import keras

from tf_nqs.ansatz.protocol import HasUnitOfLength
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

    The members of both families are the same afterwards, see `HasConditions.values_from`.

    Args:
        source: the trained wave function, one that `HasConditions`.
        ansatz: the new one, of the same class, with as many weights.

    Raises:
        TransferError: the network is not told of its systems in the same way, or has another unit of distances.
    """
    _check_features(source.conditions, ansatz.conditions)
    lengths = [one.length for one in (source, ansatz) if isinstance(one, HasUnitOfLength)]
    if len(set(lengths)) > 1:
        raise TransferError(f"has length = {lengths[0]:g}, the ansatz length = {lengths[1]:g}; must be equal")
    copied = []
    for old, new in zip(source.weights, ansatz.weights, strict=True):
        value, size = ansatz.values_from(source, old, new)
        if not size:
            shapes = f"{weight_name(old)} of shape {tuple(old.shape)}, the ansatz {tuple(new.shape)}"
            raise TransferError(f"has {shapes}; must be equal")
        copied.append(CopiedWeight(new, value, size))
    return copied


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
