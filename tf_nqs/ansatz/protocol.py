"""What the package asks of a wave function: what every one must have, and what it may have besides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from tf_nqs.layers.condition_shift import Shifts
from tf_nqs.physics.conditions import ConditionSpace
from tf_nqs.physics.parameters import SystemParameters
from tf_nqs.types import LogDerivatives, SignedLog, Tensor


class WaveFunction(Protocol):
    """What every wave function has. A subclass of `keras.Model` with a `call` has all of it but for `get_config`.

    The trainer, the samplers and the measurements call it, and read `compute_dtype`, `trainable_variables` and
    `layers`. A run folder and a resumed run hold its weights: `save_weights`, `load_weights`. `get_config` and
    `from_config` are asked for by sampling in another precision, by transfer and by `.keras` files; a class that is
    registered with `keras.saving.register_keras_serializable` can be read back in another process. The results and an
    export count `weights`. The memory estimate knows a class by its name in the settings, `tf_nqs.ansatz_counts`: it is
    asked for before TensorFlow is loaded.

    What depends on one wave function's insides is asked for by one of the other protocols of this module. `isinstance`
    tells whether a wave function has it; where it does not, the feature is left out, or refused in one line.
    """

    def __call__(self, positions: Tensor) -> SignedLog:
        """Returns sign and ln|Psi|, each of shape (n_walkers,), of positions (n_walkers, n_particles) in a_ho.

        Each walker's value depends on its own positions alone. An exchange of two particles keeps ln|Psi| and flips
        the sign. Where Psi vanishes, ln|Psi| is -inf; it is nowhere NaN.
        """

    @property
    def compute_dtype(self) -> str:
        """float32 or float64: what it computes in, and what it returns."""

    @property
    def dtype_policy(self) -> Any:
        """The Keras policy that `compute_dtype` belongs to."""

    @property
    def layers(self) -> list[Any]:
        """The Keras layers that it is made of."""

    @property
    def weights(self) -> list[Any]:
        """All weights, in an order that its configuration fixes."""

    @property
    def trainable_variables(self) -> list[Any]:
        """The weights that training changes now; freezing a layer leaves out its own."""

    def get_weights(self) -> list[Any]:
        """Returns copies of all weights, for `set_weights`."""

    def set_weights(self, weights: list[Any]) -> None:
        """Sets all weights."""

    def count_params(self) -> int:
        """Returns the number of parameters."""

    def save_weights(self, filepath: Any, overwrite: bool = True) -> None:
        """Writes a `.weights.h5` file."""

    def load_weights(self, filepath: Any, skip_mismatch: bool = False) -> None:
        """Reads a `.weights.h5` file."""

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor, `dtype` and `n_particles` among them."""


@runtime_checkable
class HasNumberOfParticles(Protocol):
    """It is made for one number of particles, which must be the system's.

    Attributes:
        n_particles: A.
    """

    n_particles: int


@runtime_checkable
class HasForwardLaplacian(Protocol):
    """It carries its derivatives by the positions through its layers; else nested GradientTapes differentiate it."""

    def forward_laplacian(self, positions: Tensor) -> tuple[SignedLog, LogDerivatives]:
        """Returns Psi, and its gradient (n_walkers, n_particles) and Laplacian (n_walkers,), both divided by Psi."""


@runtime_checkable
class HasRegularDerivatives(Protocol):
    """Its contact exponent l may be above 1. The terms of 1/r^2 that this gives can be left out of the Laplacian.

    An interaction l (l - 1)/r^2 cancels them: leave both out before anything is rounded. Its configuration has l as
    `contact_exponent`.
    """

    @property
    def contact_exponent(self) -> float:
        """l: Psi goes as abs(x_i - x_j)^l where two particles meet."""

    def regular_derivatives(self, positions: Tensor) -> tuple[SignedLog, LogDerivatives]:
        """Returns the same as `forward_laplacian`, the Laplacian without 2 l (l - 1) sum_(i<j) 1/(x_i - x_j)^2."""


@runtime_checkable
class HasOrbitals(Protocol):
    """It is made of Slater matrices: pretraining fits them to free fermions, and an export has them as a signature."""

    def orbitals(self, positions: Tensor) -> Tensor:
        """Returns the matrices, shape (n_walkers, n_determinants, n_particles, n_particles)."""


@runtime_checkable
class HasMovableOrbitals(HasOrbitals, Protocol):
    """Its orbitals can be put where particles are: a fit to the states of a trap or a narrow well starts from there."""

    def move_orbitals(self, centre: float, reach: float) -> None:
        """Makes the orbitals functions of x - centre that fall off at the reach only; both in a_ho."""

    def shrink_orbitals(self, size: float) -> None:
        """Makes the orbitals functions of x_i - X in units of a size in a_ho, X the centre of mass."""


@runtime_checkable
class HasUnitOfLength(Protocol):
    """It measures distances in a unit that follows the interaction. All members of a family share it.

    A transfer between systems may change it, one between families may not. Its configuration has it as `length`.
    """

    @property
    def length(self) -> float:
        """The unit, in a_ho."""


@runtime_checkable
class HasEquivariantLayers(Protocol):
    """It has layers that make features of particles whatever their number: those that freezing keeps as they are."""

    @property
    def equivariant_layers(self) -> Sequence[Any]:
        """The Keras layers, none of whose weights has a shape that depends on the number of particles."""


@runtime_checkable
class HasClusterStart(Protocol):
    """It can be a bound state from the start, without a fit: all particles within a short distance of each other."""

    def start_in_cluster(self, size: float) -> None:
        """Becomes free fermions of an oscillator of this size, in a_ho, about their centre of mass.

        The centre of mass stays in the ground state of the trap.
        """


@runtime_checkable
class HasConditions(Protocol):
    """It can be that of a family of systems, `ConditionedAnsatz`; it then depends on the parameters of a system too.

    Attributes:
        conditions: the systems of the family; None for one system.
        most_particles: largest number of particles that a member can have; None for any.
    """

    conditions: ConditionSpace | None
    most_particles: int | None

    def shifts(self, n_particles: int, strength: Tensor, width: Tensor) -> Shifts:
        """Returns what makes it the wave function of some systems, see `ConditionedAnsatz.shifts`."""

    def at(self, n_particles: int, parameters: SystemParameters) -> Any:
        """Returns the wave function at the systems of some walkers: of positions alone, with its derivatives."""

    def member(
        self, n_particles: int, interaction_strength: float, interaction_range: float, extrapolate: bool = False
    ) -> WaveFunction:
        """Returns the wave function of one system of the family."""

    def values_from(self, source: Any, old: Any, new: Any) -> tuple[Any, int]:
        """Returns what a transfer between families copies into a weight, see `ConditionedAnsatz.values_from`."""


@runtime_checkable
class HasOrbitalsOfMembers(HasOrbitals, Protocol):
    """It can be that of a family, and its members are made of Slater matrices."""

    def orbitals_at(self, positions: Tensor, shifts: Shifts) -> Tensor:
        """Returns `orbitals` of the systems that the shifts belong to."""
