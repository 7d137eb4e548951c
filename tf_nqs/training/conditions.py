"""The systems that the walkers of a family belong to: which they are, and how they move through the family's ranges."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from tf_nqs import defaults
from tf_nqs.execution.by_system import by_system
from tf_nqs.physics.family import FermionFamily
from tf_nqs.physics.parameters import SystemParameters, derived_parameters
from tf_nqs.types import Tensor
from tf_nqs.whole_numbers import whole_number

_KEY = 19
"""Beside the trainer's seed: the conditions draw numbers of their own."""

_SLOWER = 0.3
"""Of the drift of the range, which has no strata: in units of the whole range, not of a stratum."""


class ConditionPolicy(NamedTuple):
    """How many systems of a family are trained at the same time, and how they move.

    Attributes:
        n_conditions: number of systems, of each number of particles.
        drift: standard deviation of their moves from iteration to iteration, in strata.
        margin: by which share of its length a trained range exceeds the wanted one at each end: the ends of a trained
            range are learned worst.
    """

    n_conditions: int = defaults.N_CONDITIONS
    drift: float = defaults.DRIFT
    margin: float = defaults.MARGIN

    def check(self) -> None:
        """Refuses numbers out of their ranges.

        Raises:
            ValueError: one line that names the number.
        """
        whole_number("n_conditions", self.n_conditions, 1)
        for name, value in (("drift", self.drift), ("margin", self.margin)):
            if not 0 <= value < 1:
                raise ValueError(f"{name} = {value}: must be at least 0 and below 1")


class Conditions(keras.layers.Layer):
    """The systems of the walkers with one number of particles: equal blocks of walkers, one for each system.

    Each system has its own stratum of the range of the strength, and any place in that of the range, both of which it
    drifts through from iteration to iteration, reflected at the ends; its walkers just follow. Lists are not left.

    Args:
        family: the family.
        n_particles: number of fermions A of these systems.
        n_walkers: number of walkers of all of them.
        policy: how many systems there are, and how they move.
        seed: of the trainer.
        **kwargs: arguments of `keras.layers.Layer`; the dtype is the ansatz'.

    Raises:
        ValueError: the walkers cannot be divided by the systems, or leave fewer than two for each; or there are more
            values in the family's lists than systems.
    """

    def __init__(
        self, family: FermionFamily, n_particles: int, n_walkers: int, policy: ConditionPolicy, seed: int, **kwargs: Any
    ):
        super().__init__(**kwargs)
        policy.check()
        self.n_conditions = policy.n_conditions
        self.per_condition = n_walkers // self.n_conditions
        if n_walkers % self.n_conditions or self.per_condition < 2:
            raise ValueError(
                f"n_walkers = {n_walkers}: must be a multiple of n_conditions = {self.n_conditions}, at least twice it"
            )
        self.n_particles, self.family, self.policy = n_particles, family, policy
        self.key = (seed, _KEY + n_particles)
        rng = np.random.default_rng(self.key)
        start = rng.uniform(size=(self.n_conditions, 2))
        logs = tuple(math.log(one) for one in family.widths)
        strata = self.n_conditions if len(family.strengths) == 1 else 1
        self.width = _axis(logs, strata, policy.margin * (max(logs) - min(logs)), tf.exp)
        margin = self._margin(family, policy.margin)
        strata = max(self.n_conditions // self.width.n_listed, 1)  # each listed range has all strengths
        self.strength = _axis(family.strengths, strata, margin, tf.identity)
        if self.n_conditions < (n_listed := self.strength.n_listed * self.width.n_listed):
            raise ValueError(
                f"n_conditions = {self.n_conditions}: must be at least {n_listed}, one for each of the listed systems"
            )
        self.places = self.add_weight(
            shape=start.shape, dtype="float64", initializer="zeros", trainable=False, name=f"places_{n_particles}"
        )
        self.places.assign(start)
        self.built = True

    def _margin(self, family: FermionFamily, margin: float) -> float:
        """By how much the trained range of the strength exceeds the wanted one; 0 where such systems cannot be."""
        low, high = family.conditions.interaction_strength
        extra = margin * (high - low)
        ends = [(one, width) for one in (low - extra, high + extra) for width in family.conditions.interaction_range]
        return extra if all(family.can_be(self.n_particles, *end) for end in ends) else 0.0

    def parameters(self) -> SystemParameters:
        """Returns the parameters of the systems as they are now, in float64, shape (n_conditions,) each."""
        places, index = tf.convert_to_tensor(self.places), tf.range(self.n_conditions)
        strength = self.strength.at(places[:, 0], index // self.width.n_listed if self.strength.is_range else index)
        width = self.width.at(places[:, 1], index // self.strength.n_listed)  # all pairs of two lists
        others = self.family.others
        return derived_parameters(
            self.n_particles,
            self.family.interaction,
            strength,
            width,
            *(others[name] for name in ("pair_stiffness", "trap_quartic", "trap_separation")),
        )

    def rows(self) -> Tensor:
        """Returns the parameters of each walker's system, shape (n_walkers, number of parameters)."""
        table = tf.cast(tf.stack(list(self.parameters()), axis=1), self.compute_dtype)
        return tf.ensure_shape(
            tf.repeat(table, self.per_condition, axis=0), (self.n_conditions * self.per_condition, table.shape[1])
        )

    def drift(self, iteration: Tensor) -> None:
        """Moves the systems: one step of their random walks.

        Args:
            iteration: number of the iteration.
        """
        key = tf.random.experimental.stateless_fold_in(tf.constant(self.key, tf.int32), iteration)
        noise = tf.random.stateless_normal((self.n_conditions, 2), key, dtype=tf.float64)
        slower = 1.0 if len(self.strength.values) == 1 else _SLOWER
        moved = tf.abs(self.places + self.policy.drift * noise * tf.constant([1.0, slower], tf.float64))
        self.places.assign(1.0 - tf.abs(1.0 - tf.math.floormod(moved, 2.0)))  # a long step is reflected at both ends


def rows_of(conditions: Conditions | None) -> tuple[Tensor, ...]:
    """Returns the parameters of the systems of walkers, one row per walker; nothing where all belong to one system."""
    return () if conditions is None else (conditions.rows(),)


class _Axis(NamedTuple):
    """The values of one parameter: a number, a range that is cut into strata, or a list.

    Attributes:
        values: one number, two for a range, or more for a list.
        strata: into how many the range is cut; one for each system, or one for all of them.
        of: from what drifts to the parameter.
    """

    values: tuple[float, ...]
    strata: int
    of: Callable[[Tensor], Tensor]

    @property
    def is_range(self) -> bool:
        """Whether systems may have any value between two."""
        return len(self.values) == 2

    @property
    def n_listed(self) -> int:
        """How many values systems take in turn: those of a list."""
        return len(self.values) if len(self.values) > 2 else 1

    def at(self, places: Tensor, index: Tensor) -> Tensor:
        """Returns the parameter of systems at their places in [0, 1], which have these indices."""
        values = tf.constant(self.values, tf.float64)
        if not self.is_range:
            return self.of(tf.gather(values, index % len(self.values)))
        share = (tf.cast(index % self.strata, tf.float64) + places) / self.strata
        return self.of(values[0] + share * (values[1] - values[0]))


def _axis(values: tuple[float, ...], strata: int, margin: float, of: Callable[[Tensor], Tensor]) -> _Axis:
    """Returns an axis; a range becomes longer by the margin at both ends."""
    ends = (values[0] - margin, values[1] + margin) if len(values) == 2 else values
    return _Axis(ends, strata, of)


def condition_factors(local_energies: list[Tensor], weights: list[Tensor], numbers: list[int]) -> list[Tensor]:
    """Returns how strongly each system counts: 1/(standard deviation of its local energy), with a mean of 1.

    Else the strong couplings, whose energies scatter most, would drown the others.

    Args:
        local_energies: clipped and finite, shape (n_walkers,), one tensor for each number of particles.
        weights: R, of the same shapes.
        numbers: of systems in each tensor.

    Returns:
        Factors, shape (n_conditions,), one tensor for each number of particles; constants to the gradient.
    """

    def deviation(energy: Tensor, weight: Tensor) -> Tensor:
        mean = tf.math.divide_no_nan(tf.reduce_sum(weight * energy), tf.reduce_sum(weight))
        variance = tf.math.divide_no_nan(tf.reduce_sum(weight * (energy - mean) ** 2), tf.reduce_sum(weight))
        return tf.sqrt(variance)

    deviations = [
        tf.reshape(by_system(deviation, *one), (-1,)) for one in zip(numbers, local_energies, weights, strict=True)
    ]
    inverse = [1.0 / (one + _LEAST_DEVIATION) for one in deviations]
    mean = tf.reduce_mean(tf.concat(inverse, axis=0))
    return [tf.stop_gradient(one / mean) for one in inverse]


_LEAST_DEVIATION = 1e-3
"""Added to standard deviations, in hbar*omega: no system counts for all."""
