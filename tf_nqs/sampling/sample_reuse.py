"""Where the samples of an iteration come from: drawn anew, or the last ones with other weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from tf_nqs.sampling.protocol import SamplerProtocol
from tf_nqs.sampling.restart import count_unmoved, restart_lost
from tf_nqs.sampling.reweighting import (
    ReusePolicy,
    ReuseState,
    SampleReason,
    after_iteration,
    assess_reuse,
    fresh_samples,
    no_samples,
    with_energy,
)
from tf_nqs.types import EnergyEstimate, LogAbsPsi, Tensor, WalkerState


class SampleLog(NamedTuple):
    """What is recorded of the samples of an iteration; scalars.

    `n_waited` to `largest_weight`, and `energy_fall`, are about the samples at hand when the iteration began, and so
    explain `sample_reason`. Where there were none, or nobody asked (every_iteration), they are those of new ones.

    Attributes:
        acceptance: accepted share of the proposed moves, of the sampling that drew these samples.
        proposal_width: standard deviation of these moves, in a_ho.
        n_waited: iterations that the samples at hand had served.
        wait: iterations that Eq. 20 lets them serve.
        mean_weight: mean(R), raw.
        effective_samples: Kish's (sum R)^2 / sum R^2.
        largest_weight: max(R) / mean(R).
        sampled: 1 if new samples were drawn, all with R = 1; 0 if those at hand were used, with their R.
        sample_reason: `SampleReason`, why they were drawn; 0 if they were not.
        n_restarted: walkers that were lost or stuck, and were put where others stand before these samples were drawn.
        energy_fall: errors by which the energy on the samples at hand had fallen.
    """

    acceptance: Tensor
    proposal_width: Tensor
    n_waited: Tensor
    wait: Tensor
    mean_weight: Tensor
    effective_samples: Tensor
    largest_weight: Tensor
    sampled: Tensor
    sample_reason: Tensor
    n_restarted: Tensor
    energy_fall: Tensor


class Samples(NamedTuple):
    """What an iteration takes its means over.

    Attributes:
        positions: shape (n_walkers, n_particles), in a_ho.
        weights: R up to a common factor, shape (n_walkers,).
        log: what is recorded of them.
    """

    positions: Tensor
    weights: Tensor
    log: SampleLog


class SampleReuse(keras.layers.Layer):
    """Gives each iteration its samples, as a policy says; what it must remember is Keras state.

    Where every iteration draws its own samples, nothing is remembered of them and ln|Psi| is not computed.

    Walkers that are lost, or have not moved for the sampler's `stuck_steps`, are restarted before samples are drawn,
    see `tf_nqs.sampling.restart`. Iterations without sampling do not count: no walker could have moved.

    The more updates have used the same samples, the more the wave function is fitted to just these: their energy and
    its variance fall further than those of new ones would. So the error of an iteration is the largest since the
    samples were drawn (`with_error`), and the policy limits the fall of the energy. Iterations that share samples share
    their noise, so a mean over them has no smaller error.

    Args:
        policy: when samples are reused.
        sampler: what draws the samples.
        **kwargs: arguments of `keras.layers.Layer`; the dtype is the ansatz'.
    """

    def __init__(self, policy: ReusePolicy, sampler: SamplerProtocol, **kwargs: Any):
        super().__init__(**kwargs)
        self.policy = policy
        self.n_walkers = n_walkers = sampler.n_walkers
        self.most_unmoved = sampler.most_unmoved
        self.n_samplings = self._add_state("n_samplings", (), "int64")
        self.n_unmoved = self._add_state("n_unmoved", (n_walkers,), "int32")
        if self.never_reuses:
            self.built = True
            return
        unknown = no_samples(n_walkers, self.compute_dtype)._asdict()
        self.state = [self._add_state(name, value.shape, value.dtype.name) for name, value in unknown.items()]
        self.acceptance = self._add_state("acceptance", (), self.compute_dtype)
        self.proposal_width = self._add_state("proposal_width", (), self.compute_dtype)
        self.forget()
        self.built = True

    @property
    def never_reuses(self) -> bool:
        """Whether every iteration draws its own samples."""
        return self.policy.resampling == "every_iteration"

    @property
    def of_samples(self) -> tuple[keras.Variable, ...]:
        """What is known of the samples at hand, a `ReuseState`; each sampling replaces it. Empty if none is reused."""
        return () if self.never_reuses else tuple(self.state)

    def forget(self) -> None:
        """To be called when anything but `next_samples` has moved the walkers: they are no known samples any more."""
        self.n_unmoved.assign(tf.zeros_like(self.n_unmoved))
        if not self.never_reuses:
            self._remember(no_samples(self.n_walkers, self.compute_dtype))

    def next_samples(
        self,
        walkers: WalkerState,
        sample: Callable[[WalkerState], tuple[WalkerState, Tensor]],
        adapt: Callable[[WalkerState, Tensor], WalkerState],
        log_abs_psi: LogAbsPsi,
    ) -> tuple[Samples, WalkerState]:
        """Returns the samples of an iteration, and the walkers for the next one.

        Args:
            walkers: where they stand.
            sample: moves them, state -> (state, acceptance).
            adapt: (state, acceptance) -> state with another proposal width; called where they were moved.
            log_abs_psi: ln|Psi| by the present weights, in the ansatz' own precision.
        """
        if self.never_reuses:
            moved, acceptance, n_unmoved, n_restarted = self._sample(sample, walkers)
            self.n_samplings.assign_add(1)
            self.n_unmoved.assign(n_unmoved)
            reason = SampleReason.EVERY_ITERATION
            log = SampleLog(acceptance, moved.proposal_width, 0, 1, 1, self.n_walkers, 1, 1, reason, n_restarted, 0)
            return Samples(moved.positions, tf.ones_like(moved.positions[:, 0]), log), adapt(moved, acceptance)

        state = self._recall()
        reuse = assess_reuse(self.policy, state, 2 * log_abs_psi(walkers.positions))

        def draw() -> tuple[Any, ...]:
            moved, acceptance, *unmoved = self._sample(sample, walkers)
            fresh = fresh_samples(2 * log_abs_psi(moved.positions))
            weights = tf.ones_like(reuse.weights)
            return adapt(moved, acceptance), weights, fresh, acceptance, moved.proposal_width, *unmoved

        def keep() -> tuple[Any, ...]:
            last = map(tf.convert_to_tensor, (self.acceptance, self.proposal_width, self.n_unmoved))
            return walkers, reuse.weights, state, *last, tf.constant(0)

        sampled = reuse.reason != SampleReason.REUSE
        next_walkers, weights, next_state, acceptance, width, n_unmoved, n_restarted = tf.cond(sampled, draw, keep)
        self._remember(after_iteration(next_state))
        self.n_unmoved.assign(n_unmoved)
        self.acceptance.assign(acceptance)
        self.proposal_width.assign(width)
        self.n_samplings.assign_add(tf.cast(sampled, tf.int64))
        worth = (reuse.wait, reuse.mean_weight, reuse.effective_samples, reuse.largest_weight, sampled, reuse.reason)
        log = SampleLog(acceptance, width, tf.maximum(state.n_waited, 0), *worth, n_restarted, state.energy_fall)
        return Samples(next_walkers.positions, weights, log), next_walkers

    def with_error(self, estimate: EnergyEstimate) -> EnergyEstimate:
        """Returns the energy of this iteration's samples with the error that it deserves, and remembers both."""
        if self.never_reuses:
            return estimate
        state = with_energy(self._recall(), estimate.energy, estimate.energy_error)
        self._remember(state)
        return estimate._replace(energy_error=state.energy_error)

    def _sample(
        self, sample: Callable[[WalkerState], tuple[WalkerState, Tensor]], walkers: WalkerState
    ) -> tuple[WalkerState, Tensor, Tensor, Tensor]:
        """Moved walkers, acceptance, the calls since each of them moved, how many were restarted before."""
        n_unmoved = tf.convert_to_tensor(self.n_unmoved)
        walkers, n_unmoved, n_restarted = restart_lost(walkers, n_unmoved, self.most_unmoved)
        moved, acceptance = sample(walkers)
        return moved, acceptance, count_unmoved(walkers.positions, moved.positions, n_unmoved), n_restarted

    def _remember(self, state: ReuseState) -> None:
        for variable, value in zip(self.state, state, strict=True):
            variable.assign(value)

    def _recall(self) -> ReuseState:
        return ReuseState(*map(tf.convert_to_tensor, self.state))

    def _add_state(self, name: str, shape: tuple[int, ...], dtype: Any) -> keras.Variable:
        return self.add_weight(shape=shape, dtype=dtype, initializer="zeros", trainable=False, name=name)
