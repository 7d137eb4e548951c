"""What the parts of the package need of a trainer: its compiled phases, and a protocol of the trainer itself.

`tf_nqs.training.VariationalMonteCarlo` is the trainer. It imports most of the functions that are given one, so these
name this protocol instead.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from tf_nqs.types import LocalEnergy, LogAbsPsi, Tensor, WalkerState

if TYPE_CHECKING:  # annotations only: nothing here needs TensorFlow
    import keras

    from tf_nqs.physics.contact_zone import ContactZone
    from tf_nqs.physics.hamiltonian import TrappedFermions
    from tf_nqs.sampling.near_pairs import WeightedPositions
    from tf_nqs.sampling.protocol import SamplerProtocol
    from tf_nqs.sampling.sample_reuse import SampleReuse


class Compilation(NamedTuple):
    """How functions of walkers are compiled, see `tf_nqs.execution.chunks.phase_of_rows`.

    Attributes:
        jit_compile: whether XLA compiles them.
        chunk_mebibytes: bound on their working memory, in MiB.
    """

    jit_compile: bool
    chunk_mebibytes: float


@dataclass(frozen=True)  # a tuple would be wrapped when it becomes an attribute of a Keras model
class Phases:
    """The compiled parts of an iteration, and of a measurement; each is traced and compiled when first called.

    Attributes:
        sample: WalkerState -> (WalkerState, acceptance).
        log_abs_psi: positions (n_walkers, n_particles) -> ln|Psi| (n_walkers,), in the ansatz' precision.
        local_energy: positions (n_walkers, n_particles) -> LocalEnergy.
        derivatives: (positions, local energies, weights R) -> derivatives by the parameters, see
            `tf_nqs.training.gradients.Gradient`.
        update: (these derivatives, local energies, weights R); changes the parameters. Not compiled on its own, but as
            a part of the iteration.
        relations: (positions, kinetic energies) -> deviations from the relations of the exact state, for measurements.
    """

    sample: Callable[[WalkerState], tuple[WalkerState, Tensor]]
    log_abs_psi: LogAbsPsi
    local_energy: Callable[[Tensor], LocalEnergy]
    derivatives: Callable[[Tensor, Tensor, Tensor], Any]
    update: Callable[[Any, Tensor, Tensor], None]
    relations: Callable[[Tensor, Tensor], Tensor]


class DampedGradient(Protocol):
    """What rollbacks and logs need of `tf_nqs.training.NaturalGradient`."""

    n_rejected: keras.Variable

    def raise_damping(self) -> None:
        """Raises the damping tenfold; the raise wears off over later iterations."""


class Trainer(Protocol):
    """What other parts of the package need of a compiled `VariationalMonteCarlo`."""

    @property
    def ansatz(self) -> keras.Model:
        """The wave function, positions (n_walkers, n_particles) -> SignedLog."""

    @property
    def system(self) -> TrappedFermions:
        """The Hamiltonian."""

    @property
    def sampler(self) -> SamplerProtocol:
        """How |Psi|^2 is sampled."""

    @property
    def zone(self) -> ContactZone | None:
        """Where a short-ranged interaction acts; None for an interaction of longer range."""

    @property
    def compute_dtype(self) -> str:
        """The ansatz' "float32" or "float64"."""

    @property
    def compiled(self) -> bool:
        """Whether `compile` was called."""

    @property
    def phases(self) -> Phases:
        """The compiled parts of an iteration."""

    @property
    def compilation(self) -> Compilation:
        """How the phases are compiled."""

    @property
    def optimizer(self) -> keras.optimizers.Optimizer:
        """The optimiser, built."""

    @property
    def natural_gradient(self) -> DampedGradient | None:
        """What makes the gradient a natural one; None for the plain gradient."""

    @property
    def reuse(self) -> SampleReuse:
        """Where the samples of an iteration come from."""

    @property
    def variables(self) -> list[keras.Variable]:
        """All variables but the optimiser's."""

    @property
    def positions(self) -> keras.Variable:
        """The walkers, shape (n_walkers, n_particles), in a_ho."""

    @property
    def seed(self) -> keras.Variable:
        """Their random key, int32, shape (2,)."""

    @property
    def proposal_width(self) -> keras.Variable:
        """Standard deviation of the proposed moves, scalar, in a_ho."""

    @property
    def iteration(self) -> keras.Variable:
        """Number of iterations done, int64."""

    @property
    def step_factor(self) -> keras.Variable:
        """Factor on the length of every step; 1 unless a training was repaired."""

    @property
    def record(self) -> keras.Variable:
        """The numbers of the iterations of the last call."""

    @property
    def walkers(self) -> WalkerState:
        """Where the Markov chains stand."""

    def place_walkers(self, state: WalkerState, burn_in: bool | None = None) -> None:
        """Puts the walkers elsewhere; the next iteration draws new samples."""

    def with_near_pairs(self, positions: Tensor, weights: Tensor, number: Tensor | int) -> WeightedPositions:
        """Returns walkers with the samples that a short-ranged interaction needs besides."""

    def recent_iterations(self) -> dict[str, np.ndarray]:
        """Returns the columns of the iterations of the last call."""
