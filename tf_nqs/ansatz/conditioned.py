"""What makes a wave function one of a whole family of systems: it is told the parameters of each walker's system."""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tf_nqs.layers.condition_shift import NO_SHIFTS, ConditionShift, Shifts
from tf_nqs.physics.conditions import ConditionSpace
from tf_nqs.physics.parameters import SystemParameters
from tf_nqs.types import LogDerivatives, Shape, SignedLog, Tensor


class ConditionedAnsatz(keras.Model):
    """Base of the package's wave functions: of one system, or of a family of systems.

    A family's wave function has one more layer, `ConditionShift`, which shifts the pre-activations of the others by
    the parameters of a walker's system. All that a wave function computes is computed with shifts, none for one system.

    Attributes:
        conditions: the systems of a family; None for a wave function of one system.
    """

    conditions: ConditionSpace | None

    most_particles: int | None = None
    """Largest number of particles that a member can have; None where no weight depends on it."""

    @abc.abstractmethod
    def shift_sizes(self) -> dict[str, int]:
        """Returns layer -> number of shifts that it takes."""

    @abc.abstractmethod
    def psi(self, positions: Tensor, shifts: Shifts) -> SignedLog:
        """Returns Psi with shifts."""

    @abc.abstractmethod
    def derivatives(self, positions: Tensor, shifts: Shifts) -> tuple[SignedLog, LogDerivatives]:
        """Returns Psi and its derivatives with shifts, without terms that diverge at contact."""

    @abc.abstractmethod
    def member(
        self, n_particles: int, interaction_strength: float, interaction_range: float, extrapolate: bool = False
    ) -> ConditionedAnsatz:
        """Returns the wave function of one system of the family, see `ConditionSpace.values_of_member`."""

    def _build_conditions(self) -> None:
        """Builds the shift layer of a family."""
        if self.conditions is not None:
            self.condition_shift = ConditionShift(self.shift_sizes(), name="condition_shift", dtype=self.dtype_policy)
            self.condition_shift.build((None, self.conditions.n_features))

    def call(
        self, positions: Tensor, interaction_strength: Tensor | None = None, interaction_range: Tensor | None = None
    ) -> SignedLog:
        self._check_shape(positions.shape)
        if self.conditions is None:
            return self.psi(positions, NO_SHIFTS)
        given = (interaction_strength, interaction_range)
        strength, width = (
            _per_walker(name, value, getattr(self.conditions, name), positions)
            for name, value in zip(("interaction_strength", "interaction_range"), given, strict=True)
        )
        return self.psi(positions, self.shifts(positions.shape[1], strength, width))

    def shifts(self, n_particles: int, strength: Tensor, width: Tensor) -> Shifts:
        """Returns the shifts of systems of the family.

        Args:
            n_particles: number of fermions A of all of them.
            strength: interaction_strength, shape (n_walkers, 1).
            width: interaction_range in a_ho, shape (n_walkers, 1).
        """
        assert self.conditions is not None
        strength, width = (tf.cast(one, self.compute_dtype) for one in (strength, width))
        return self.condition_shift(self.conditions.features(n_particles, strength, width))

    def at(self, n_particles: int, parameters: SystemParameters) -> WaveFunctionAt:
        """Returns the wave function at the systems of some walkers, a function of their positions alone.

        Args:
            n_particles: number of fermions A of these walkers.
            parameters: of their systems, one row per walker.
        """
        return WaveFunctionAt(self, self.shifts(n_particles, parameters.strength, parameters.width))

    def log_abs_psi(self, positions: Tensor) -> Tensor:
        """Returns ln|Psi|, shape (n_walkers,), of positions (n_walkers, n_particles)."""
        return self(positions).log_abs_psi

    def values_from(
        self, source: ConditionedAnsatz, old: keras.Variable, new: keras.Variable
    ) -> tuple[NDArray[Any], int]:
        """Returns the values of a weight that make the members of another family members of this one too.

        Features that only this family has get rows of zeros.

        Args:
            source: the wave function of the other family, of the same class.
            old: a weight of it.
            new: the same weight of this wave function.

        Returns:
            Values of the shape of `new`, and how many of them are those of `old`: 0 if they do not fit.
        """
        assert self.conditions is not None and source.conditions is not None
        values, given, shift = np.array(new.numpy()), old.numpy(), source.condition_shift
        if old is shift.kernel or old is shift.output_kernel:
            n_hidden = 0 if old is shift.kernel else shift.n_hidden
            names = self.conditions.feature_names
            rows = [place for place, name in enumerate(names) if name in source.conditions.feature_names]
            if (n_hidden + len(names), given.shape[1]) != values.shape:
                return values, 0
            values[...] = 0.0
            values[[*range(n_hidden), *(n_hidden + row for row in rows)]] = given
            return values, given.size
        if given.shape != values.shape:
            return values, 0
        values[...] = given
        return values, given.size

    def _member_shifts(self, n_particles: int, strength: float, width: float, extrapolate: bool) -> Shifts:
        """The shifts of one system, shape (1, size), once it is known to belong to the family."""
        if self.conditions is None:
            raise ValueError("member: this wave function belongs to one system, not to a family")
        most = self.most_particles
        n_particles, strength, width = self.conditions.values_of_member(n_particles, strength, width, extrapolate, most)
        return self.shifts(n_particles, *(tf.constant([[one]], self.compute_dtype) for one in (strength, width)))

    def _check_shape(self, shape: Shape) -> None:
        numbers = (self.n_particles,) if self.conditions is None else self.conditions.n_particles
        if len(shape) != 2 or shape[1] not in numbers:
            allowed = " or ".join(f"(n_walkers, {number})" for number in numbers)
            raise ValueError(f"positions of shape {tuple(shape)}: must be {allowed}")

    def _conditions_config(self) -> dict[str, Any]:
        """The part of the configuration that only a family has: that of one system's wave function stays as it was."""
        return {} if self.conditions is None else {"conditions": self.conditions.config()}


class WaveFunctionAt:
    """A family's wave function at given systems of the walkers: positions -> (sign, ln|Psi|), with its derivatives."""

    def __init__(self, ansatz: ConditionedAnsatz, shifts: Shifts):
        self.ansatz, self.shifts = ansatz, shifts

    def __call__(self, positions: Tensor) -> SignedLog:
        return self.ansatz.psi(positions, self.shifts)

    def forward_laplacian(self, positions: Tensor) -> tuple[SignedLog, LogDerivatives]:
        """Returns Psi and its derivatives by the positions, carried forward through the layers."""
        return self.ansatz.derivatives(positions, self.shifts)


def wave_function_at(ansatz: keras.Model, n_particles: int, rows: Tensor | None = None) -> Callable[[Tensor], Any]:
    """Returns a function of positions alone: the wave function at the systems of some walkers.

    Args:
        ansatz: of a family; of one system it is returned as it is.
        n_particles: number of fermions A of these walkers.
        rows: parameters of their systems, shape (n_walkers, number of parameters); None for one system.
    """
    return ansatz if rows is None else ansatz.at(n_particles, SystemParameters.of_rows(rows))


def checked_conditions(conditions: ConditionSpace | Mapping[str, Any] | None, n_particles: int) -> Any:
    """Returns the systems of a family, from a configuration too; None for one system.

    Raises:
        ValueError: n_particles is not the largest number of the family's particles.
    """
    if conditions is None:
        return None
    space = ConditionSpace.from_config(dict(conditions) if isinstance(conditions, Mapping) else conditions)
    if space.n_particles[-1] != n_particles:
        raise ValueError(
            f"n_particles = {n_particles}: must be the largest number of particles of the family, "
            f"{space.n_particles[-1]}"
        )
    return space


def _per_walker(name: str, value: Any, limits: tuple[float, float], positions: Tensor) -> Tensor:
    """Returns a parameter as one row per walker."""
    if value is None:
        if limits[0] < limits[1]:
            raise ValueError(f"{name}: must be given, as the wave function is that of a family")
        value = limits[0]
    value = tf.reshape(tf.cast(value, positions.dtype), (-1, 1))
    return tf.broadcast_to(value, (tf.shape(positions)[0], 1))
