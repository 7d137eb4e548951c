"""The walkers with one number of particles: those of one system, or of the systems of a family."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from tf_nqs.execution.by_system import by_system, rows_by_system
from tf_nqs.physics.energy import mask_non_finite
from tf_nqs.physics.family import FermionFamily
from tf_nqs.physics.hamiltonian import TrappedFermions
from tf_nqs.sampling.near_pairs import WeightedPositions, estimate_of_walkers
from tf_nqs.sampling.protocol import SamplerProtocol
from tf_nqs.sampling.sample_reuse import SampleLog, SampleReuse
from tf_nqs.sampling.sampling_call import Adapt
from tf_nqs.trainer import Phases
from tf_nqs.training.conditions import ConditionPolicy, Conditions, condition_factors
from tf_nqs.types import EnergyEstimate, LocalEnergy, Tensor, WalkerState

_KEY = 100
"""Beside the trainer's seed: of the walkers with more particles than the first ones."""


class Measured(NamedTuple):
    """The samples of an iteration with their local energies.

    Attributes:
        positions: shape (n_samples, n_particles), in a_ho.
        raw_weights: R, shape (n_samples,).
        weights: R, 0 where the local energy is not finite.
        local_energy: parts of shape (n_samples,), in hbar*omega.
        clipped: their sum, cut for the gradient, and finite.
        walkers: for the next iteration.
        log: what is recorded of the samples.
    """

    positions: Tensor
    raw_weights: Tensor
    weights: Tensor
    local_energy: LocalEnergy
    clipped: Tensor
    walkers: WalkerState
    log: SampleLog


@dataclass(frozen=True)
class WalkerGroup:
    """Walkers with one number of particles, as variables of the trainer.

    Attributes:
        system: their Hamiltonian, or that of a representative of their systems.
        conditions: their systems; None for one system.
        positions: shape (n_walkers, n_particles), in a_ho.
        seed: their random key.
        proposal_width: of their moves, in a_ho; one for each system of a family.
        reuse: what re-weighting remembers.
    """

    system: TrappedFermions
    conditions: Conditions | None
    positions: keras.Variable
    seed: keras.Variable
    proposal_width: keras.Variable
    reuse: SampleReuse

    @property
    def n_systems(self) -> int:
        """How many systems the walkers belong to, in equal blocks."""
        return self.conditions.n_conditions if self.conditions is not None else 1

    @property
    def walkers(self) -> WalkerState:
        """Where the Markov chains stand."""
        return WalkerState(*map(tf.convert_to_tensor, (self.positions, self.seed, self.proposal_width)))

    def assign(self, state: WalkerState) -> None:
        """Puts the walkers elsewhere."""
        for variable, value in zip((self.positions, self.seed, self.proposal_width), state, strict=True):
            variable.assign(value)

    def measured(
        self,
        phases: Phases,
        adapt: Adapt,
        with_near_pairs: Callable[[Tensor, Tensor], WeightedPositions],
        clip: Callable[[Tensor, Tensor], Tensor],
    ) -> Measured:
        """Draws the samples of an iteration, and computes their local energies, clipped for the gradient as well.

        Args:
            phases: the compiled parts of an iteration for these walkers.
            adapt: the sampler's.
            with_near_pairs: adds the samples that a short-ranged interaction needs to positions and weights.
            clip: cuts the local energies of one system, by their weights.
        """
        samples, walkers = self.reuse.next_samples(self.walkers, phases.sample, adapt, phases.log_abs_psi)
        positions, raw_weights = with_near_pairs(samples.positions, samples.weights)
        local_energy = phases.local_energy(positions)
        weights = mask_non_finite(local_energy, raw_weights)
        clipped = rows_by_system(clip, self.n_systems, local_energy.total, weights)
        return Measured(positions, raw_weights, weights, local_energy, clipped, walkers, samples.log)

    def estimates(self, measured: Measured) -> EnergyEstimate:
        """Returns the energy of each system: scalars for one system, else of shape (n_systems,)."""
        energy, weights = measured.local_energy, measured.raw_weights
        if self.conditions is None:
            return estimate_of_walkers(energy, weights, self.reuse.n_walkers)
        per_system = self.reuse.n_walkers // self.n_systems
        found = by_system(
            lambda *rows: estimate_of_walkers(LocalEnergy(*rows[:3]), rows[3], per_system),
            self.n_systems,
            *energy,
            weights,
        )
        return EnergyEstimate(*(tf.reshape(one, (self.n_systems,)) for one in found))  # scalars of a family of one


def factors_of(groups: Sequence[WalkerGroup], measured: Sequence[Measured]) -> list[tuple[Tensor, ...]]:
    """Returns how strongly each system of a family counts, a tensor for each group; nothing for one system."""
    if groups[0].conditions is None:
        return [()]
    numbers = [group.n_systems for group in groups]
    found = condition_factors([one.clipped for one in measured], [one.weights for one in measured], numbers)
    return [(one,) for one in found]


class StartOfGroup(NamedTuple):
    """Walkers that a training starts from, and their systems; None for one system."""

    walkers: WalkerState
    conditions: Conditions | None


def walkers_of_family(
    sampler: SamplerProtocol,
    system: TrappedFermions,
    family: FermionFamily | None,
    policy: ConditionPolicy | None,
    seed: int,
    dtype: Any,
) -> StartOfGroup:
    """Returns the walkers that a training starts from, with one number of particles.

    Args:
        sampler: makes them.
        system: their Hamiltonian, or that of a representative of their systems.
        family: which they belong to; None for one system.
        policy: how many systems of a family there are; None for the default.
        seed: of the trainer.
        dtype: policy of the ansatz.

    Raises:
        ValueError: the walkers cannot be divided by the systems, or there is a policy without a family.
    """
    n_particles = system.n_particles
    is_first = family is None or n_particles == family.conditions.n_particles[0]
    key = tf.constant([seed, 0 if is_first else _KEY + n_particles], tf.int32)
    walkers = sampler.initial_state(n_particles, key, dtype.compute_dtype)
    if family is None:
        if policy is not None:
            raise ValueError("conditions: need a FermionFamily as system, this is one system")
        return StartOfGroup(walkers, None)
    name = f"conditions_of_{n_particles}_particles"
    conditions = Conditions(
        family, n_particles, sampler.n_walkers, policy or ConditionPolicy(), seed, name=name, dtype=dtype
    )
    width = tf.fill((conditions.n_conditions,), walkers.proposal_width)
    return StartOfGroup(walkers._replace(proposal_width=width), conditions)


def mean_over_systems(estimates: list[EnergyEstimate]) -> EnergyEstimate:
    """Returns means over all systems of a family; of one system its energy as it is.

    The systems are independent of each other, so the error of the mean is sqrt(sum_k error_k^2)/n.

    Args:
        estimates: one for each number of particles, scalars or of shape (n_systems,).
    """
    if len(estimates) == 1 and not estimates[0].energy.shape.rank:
        return estimates[0]
    joined = EnergyEstimate(
        *(tf.concat([tf.reshape(part, (-1,)) for part in parts], axis=0) for parts in zip(*estimates, strict=True))
    )
    means = EnergyEstimate(*map(tf.reduce_mean, joined))
    number = tf.cast(tf.size(joined.energy), joined.energy.dtype)
    return means._replace(
        energy_error=tf.norm(joined.energy_error) / number, n_non_finite=tf.reduce_sum(joined.n_non_finite)
    )


def mean_log(logs: list[SampleLog]) -> SampleLog:
    """Returns what is recorded of the samples of all systems: means, and the sum of the restarted walkers."""
    if len(logs) == 1 and not any(tf.convert_to_tensor(one).shape.rank for one in logs[0]):
        return logs[0]
    means = {
        name: tf.reduce_mean(
            tf.concat([tf.reshape(tf.cast(getattr(log, name), tf.float64), (-1,)) for log in logs], axis=0)
        )
        for name in SampleLog._fields
    }
    restarted = tf.add_n([tf.cast(log.n_restarted, tf.float64) for log in logs])
    return SampleLog(**means | {"n_restarted": restarted})
