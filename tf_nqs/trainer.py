"""What the parts of the package need of a trainer: its compiled phases, and a protocol of the trainer itself.

`tf_nqs.training.VariationalMonteCarlo` is the trainer. It imports most of the functions that are given one, so these
name this protocol instead.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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


class Batch(NamedTuple):
    """What an update needs of the samples with one number of particles.

    Attributes:
        derivatives: by the parameters, see `tf_nqs.training.gradients.Gradient`.
        local_energy: clipped and finite, shape (n_walkers,), in hbar*omega.
        weights: R, shape (n_walkers,).
        factors: how strongly each system of a family counts, shape (n_systems,); None for one system.
    """

    derivatives: Any
    local_energy: Tensor
    weights: Tensor
    factors: Tensor | None = None


@dataclass(frozen=True)  # a tuple would be wrapped when it becomes an attribute of a Keras model
class Phases:
    """The compiled parts of an iteration, and of a measurement; each is traced and compiled when first called.

    Attributes:
        sample: WalkerState -> (WalkerState, acceptance).
        log_abs_psi: positions (n_walkers, n_particles) -> ln|Psi| (n_walkers,), in the ansatz' precision.
        local_energy: positions (n_walkers, n_particles) -> LocalEnergy.
        derivatives: (positions, local energies, weights R, factors of a family's systems) -> derivatives by the
            parameters, see `tf_nqs.training.gradients.Gradient`.
        update: batches, one for each number of particles; changes the parameters. Not compiled on its own, but as a
            part of the iteration.
        relations: (positions, kinetic energies) -> deviations from the relations of the exact state, for measurements.
    """

    sample: Callable[[WalkerState], tuple[WalkerState, Tensor]]
    log_abs_psi: LogAbsPsi
    local_energy: Callable[[Tensor], LocalEnergy]
    derivatives: Callable[..., Any]
    update: Callable[[list[Batch]], None]
    relations: Callable[[Tensor, Tensor], Tensor]


class DampedGradient(Protocol):
    """What rollbacks and logs need of `tf_nqs.training.NaturalGradient`."""

    n_rejected: keras.Variable

    def raise_damping(self) -> None:
        """Raises the damping tenfold; the raise wears off over later iterations."""


class Trainer(Protocol):
    """What other parts of the package need of a compiled `VariationalMonteCarlo`; its attributes are read only.

    Attributes:
        ansatz: the wave function, positions (n_walkers, n_particles) -> SignedLog.
        system: the Hamiltonian.
        sampler: how |Psi|^2 is sampled.
        zone: where a short-ranged interaction acts; None for an interaction of longer range.
        phases: the compiled parts of an iteration.
        compilation: how they are compiled.
        optimizer: the optimiser, built.
        natural_gradient: what makes the gradient a natural one; None for the plain gradient.
        reuse: where the samples of an iteration come from.
        variables: all variables but the optimiser's.
        positions: the walkers, shape (n_walkers, n_particles), in a_ho.
        seed: their random key, int32, shape (2,).
        proposal_width: standard deviation of the proposed moves, scalar, in a_ho.
        iteration: number of iterations done, int64.
        step_factor: factor on the length of every step; 1 unless a training was repaired.
        groups: the walkers with each number of particles; one for a single system.
        record: the numbers of the iterations of the last call.
        condition_record: those of a family's systems; None for one system.
        compiled: whether `compile` was called.
        compute_dtype: the ansatz', "float32" or "float64".
    """

    ansatz: keras.Model
    system: TrappedFermions
    sampler: SamplerProtocol
    zone: ContactZone | None
    phases: Phases
    compilation: Compilation
    optimizer: keras.optimizers.Optimizer
    natural_gradient: DampedGradient | None
    reuse: SampleReuse
    variables: list[keras.Variable]
    positions: keras.Variable
    seed: keras.Variable
    proposal_width: keras.Variable
    iteration: keras.Variable
    step_factor: keras.Variable
    groups: Sequence[Any]
    record: keras.Variable
    condition_record: keras.Variable | None
    compiled: bool
    compute_dtype: str

    @property
    def all_phases(self) -> list[Phases]:
        """The phases of the walkers with each number of particles."""

    @property
    def walkers(self) -> WalkerState:
        """Where the Markov chains stand."""

    def place_walkers(self, state: WalkerState, burn_in: bool | None = None) -> None:
        """Puts the walkers elsewhere; the next iteration draws new samples."""

    def with_near_pairs(self, positions: Tensor, weights: Tensor, number: Tensor | int) -> WeightedPositions:
        """Returns walkers with the samples that a short-ranged interaction needs besides."""

    def recent_iterations(self) -> dict[str, np.ndarray]:
        """Returns the columns of the iterations of the last call."""
