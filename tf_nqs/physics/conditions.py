"""The systems of a family: which parameters vary, over which ranges, and how a network is told of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import tensorflow as tf

from tf_nqs import defaults
from tf_nqs.family_values import FEATURES_OF, value_of_member
from tf_nqs.types import Tensor
from tf_nqs.whole_numbers import whole_number

_KINK = 0.25
"""Scale of the feature that changes fastest at strength 0, in half ranges: the ground state changes fastest there."""

_MIDDLE_NUMBER, _NUMBER_SCALE = 3.5, 1.5
"""Of the feature of the number of particles."""


@dataclass(frozen=True)
class ConditionSpace:
    """The parameters that vary in a family of systems, and their ranges.

    Attributes:
        n_particles: numbers of fermions A, ascending.
        interaction_strength: lowest and highest one; twice the same if it does not vary.
        interaction_range: shortest and longest one, in a_ho; twice the same if it does not vary.
        strength_scale: the range of the strength that `features` are scaled by; None for its own. A network that starts
            from the weights of another family keeps the scales of that family: else it would be another function.
        range_scale: likewise for the range of the interaction, in a_ho.

    Raises:
        ValueError: n_particles is empty, not ascending or below 1, or a range is not finite, reversed, or of lengths
            that are not above 0.
    """

    n_particles: tuple[int, ...]
    interaction_strength: tuple[float, float]
    interaction_range: tuple[float, float] = (defaults.INTERACTION_RANGE, defaults.INTERACTION_RANGE)
    strength_scale: tuple[float, float] | None = None
    range_scale: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        numbers = tuple(whole_number("n_particles", one, 1) for one in self.n_particles)
        if not numbers or list(numbers) != sorted(set(numbers)):
            raise ValueError(f"n_particles = {list(self.n_particles)}: must be different numbers in ascending order")
        object.__setattr__(self, "n_particles", numbers)
        for name in ("interaction_strength", "interaction_range"):
            low, high = map(float, getattr(self, name))
            if not -math.inf < low <= high < math.inf:
                raise ValueError(f"{name} = [{low:g}, {high:g}]: must be two finite numbers in ascending order")
            object.__setattr__(self, name, (low, high))
        if not self.interaction_range[0] > 0:
            raise ValueError(f"interaction_range = {list(self.interaction_range)}: must be above 0")
        self._check_scale("strength_scale", self.interaction_strength, -math.inf)
        self._check_scale("range_scale", self.interaction_range, 0.0)

    def _check_scale(self, name: str, own: tuple[float, float], above: float) -> None:
        """Refuses a scale that is no range; one that is the parameter's own range becomes None."""
        if (scale := getattr(self, name)) is None:
            return
        low, high = map(float, scale)
        if not above < low < high < math.inf:
            raise ValueError(f"{name} = [{low:g}, {high:g}]: must be two finite numbers above {above:g}, ascending")
        object.__setattr__(self, name, None if (low, high) == own else (low, high))

    @classmethod
    def from_config(cls, config: dict[str, Any] | ConditionSpace) -> ConditionSpace:
        """Returns the space that `config` describes."""
        if isinstance(config, ConditionSpace):
            return config
        return cls(**{name: tuple(one) for name, one in config.items()})

    def config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor, as lists, without scales that are the parameters' own ranges."""
        return {name: list(one) for name, one in asdict(self).items() if one is not None}

    @property
    def scales(self) -> dict[str, tuple[float, float]]:
        """Parameter of the interaction -> range that its features are scaled by, of those that have features."""
        found = {
            "interaction_strength": self.strength_scale or self.interaction_strength,
            "interaction_range": self.range_scale or self.interaction_range,
        }
        return {name: scale for name, scale in found.items() if scale[0] < scale[1]}

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The parameter that each of the `features` belongs to."""
        varying = {*self.scales} | ({"n_particles"} if len(self.n_particles) > 1 else set())
        return tuple(name for name, number in FEATURES_OF.items() if name in varying for _ in range(number))

    @property
    def n_features(self) -> int:
        """How many numbers `features` returns for each walker."""
        return len(self.feature_names)

    def with_own_scales(self) -> ConditionSpace:
        """Returns the same systems, with features that are scaled by their own ranges."""
        return replace(self, strength_scale=None, range_scale=None)

    def scaled_as(self, source: ConditionSpace) -> ConditionSpace:
        """Returns the same systems for a network that starts from the weights of another family.

        Args:
            source: the systems that these weights were trained for.
        """
        scales = source.scales
        return replace(
            self, strength_scale=scales.get("interaction_strength"), range_scale=scales.get("interaction_range")
        )

    def features(self, n_particles: int, strength: Tensor, width: Tensor) -> Tensor:
        """Returns what the network is told of a system: numbers of about -1 to 1.

        With m and h the middle and half of the range of V_0: (V_0 - m)/h and V_0/sqrt(V_0^2 + (h/4)^2); ln sigma_0
        scaled to [-1, 1]; (A - 3.5)/1.5, and 1 for odd A, -1 for even A. Parameters that do not vary are left out. The
        ranges are `scales`: systems outside of them have larger features.

        Args:
            n_particles: number of fermions A.
            strength: V_0 or what takes its place, shape (n_walkers, 1).
            width: sigma_0 in a_ho, shape (n_walkers, 1).

        Returns:
            Shape (n_walkers, n_features).
        """
        columns, scales = [], self.scales
        if "interaction_strength" in scales:
            low, high = scales["interaction_strength"]
            half = (high - low) / 2
            columns = [(strength - (low + high) / 2) / half, strength / tf.sqrt(strength**2 + (_KINK * half) ** 2)]
        if "interaction_range" in scales:
            low, high = map(math.log, scales["interaction_range"])
            columns.append((tf.math.log(width) - (low + high) / 2) / ((high - low) / 2))
        if len(self.n_particles) > 1:
            of_number = ((n_particles - _MIDDLE_NUMBER) / _NUMBER_SCALE, 1.0 if n_particles % 2 else -1.0)
            columns += [one * tf.ones_like(strength) for one in of_number]
        return tf.concat(columns, axis=1)

    def values_of_member(
        self,
        n_particles: int | None = None,
        strength: float | None = None,
        width: float | None = None,
        extrapolate: bool = False,
        most_particles: int | None = None,
    ) -> tuple[int, float, float]:
        """Returns the parameters of one system of the family.

        Args:
            n_particles: number of fermions A; None for the only one.
            strength: interaction_strength; None for the only one.
            width: interaction_range in a_ho; None for the only one.
            extrapolate: whether the system may lie outside of what is covered.
            most_particles: largest A that a wave function can have; None for any.

        Raises:
            ValueError: one line that names the parameter and what is covered.
        """
        asked = {"n_particles": n_particles, "interaction_strength": strength, "interaction_range": width}
        found = []
        for name, value in asked.items():
            covered = getattr(self, name)
            covered = covered if name == "n_particles" else sorted(set(covered))
            found.append(value_of_member(name, value, covered, extrapolate, most_particles))
        return whole_number("n_particles", found[0], 1), float(found[1]), float(found[2])


def numbers_of_particles(n_particles: int | Sequence[int]) -> tuple[int, ...]:
    """Returns one number, or several, as a tuple."""
    return tuple(n_particles) if isinstance(n_particles, Sequence) else (n_particles,)
