"""Where the samples of an iteration come from: newly drawn, or the last ones with other weights."""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
import tensorflow as tf

from tf_nqs.execution.agreement import tensors_of_chief
from tf_nqs.sampling.protocol import SamplerProtocol
from tf_nqs.sampling.restart import count_unmoved, restart_lost
from tf_nqs.sampling.reweighting import (
    Reuse,
    ReusePolicy,
    ReuseState,
    SampleReason,
    after_iteration,
    assess_reuse,
    fresh_samples,
    no_samples,
    with_energy,
)
from tf_nqs.sampling.sampling_call import Adapt, Sample
from tf_nqs.types import EnergyEstimate, LogAbsPsi, Tensor, WalkerState


class SampleLog(NamedTuple):
    """What is recorded of the samples of an iteration; scalars.

    `n_waited` to `largest_weight`, and `energy_fall`, describe the samples that the iteration found, and so explain
    `sample_reason`. Where there were none, or every iteration draws its own, they are those of new samples.

    Attributes:
        acceptance: accepted share of the proposed moves, in the sampling call that drew these samples.
        proposal_width: standard deviation of these moves, in a_ho.
        n_waited: iterations that the samples had served.
        wait: iterations that Eq. 20 lets them serve.
        mean_weight: mean(R), raw.
        effective_samples: Kish's (sum R)^2 / sum R^2.
        largest_weight: max(R) / mean(R).
        sampled: 1 if new samples were drawn, all with R = 1; 0 if the last ones were used, with their R.
        sample_reason: `SampleReason`, why new samples were drawn; 0 if none were.
        n_restarted: walkers that were lost or stuck, and were put where others stand before these samples were drawn.
        energy_fall: fall of the energy on the same samples, in standard errors.
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
    """Weighted walkers: an iteration takes its means over them.

    Attributes:
        positions: shape (n_walkers, n_particles), in a_ho.
        weights: R up to a common factor, shape (n_walkers,).
        log: what is recorded of them.
    """

    positions: Tensor
    weights: Tensor
    log: SampleLog


class _Drawn(NamedTuple):
    """Walkers for the next iteration, and the numbers of the sampling call that moved them.

    Attributes:
        walkers: the walkers, with an adapted proposal width.
        weights: R up to a common factor, shape (n_walkers,).
        acceptance: accepted share of the proposed moves.
        proposal_width: standard deviation of these moves, in a_ho.
        n_unmoved: sampling calls since each walker moved, int32, shape (n_walkers,).
        n_restarted: walkers restarted before the call; 0 where there was none.
    """

    walkers: WalkerState
    weights: Tensor
    acceptance: Tensor
    proposal_width: Tensor
    n_unmoved: Tensor
    n_restarted: Tensor


class SampleReuse(keras.layers.Layer):
    """Gives each iteration its samples by a policy; what it must remember is Keras state.

    Where every iteration draws its own samples, nothing is remembered of them and ln|Psi| is not computed.

    Walkers that are lost, or have not moved for the sampler's `stuck_steps`, are restarted before samples are drawn,
    see `tf_nqs.sampling.restart`. Iterations without sampling do not count: no walker could have moved.

    Each update fits the wave function more closely to the samples that it uses: their energy and its variance fall
    further than those of new samples would. So the error of an iteration is the largest since the samples were drawn
    (`with_error`), and the policy limits the fall of the energy. Iterations that share samples share their noise, so a
    mean over them has no smaller error.

    Args:
        policy: when samples are reused.
        sampler: draws the samples.
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
        """The state of the current samples, a `ReuseState`; each sampling call replaces it. Empty without reuse."""
        return () if self.never_reuses else tuple(self.state)

    def forget(self) -> None:
        """Forgets the samples: to be called after anything but `next_samples` has moved the walkers."""
        self.n_unmoved.assign(tf.zeros_like(self.n_unmoved))
        if not self.never_reuses:
            self._remember(no_samples(self.n_walkers, self.compute_dtype))

    def next_samples(
        self, walkers: WalkerState, sample: Sample, adapt: Adapt, log_abs_psi: LogAbsPsi
    ) -> tuple[Samples, WalkerState]:
        """Returns the samples of an iteration, and the walkers for the next one.

        Args:
            walkers: the current walkers.
            sample: moves them by one sampling call.
            adapt: adapts the proposal width after a sampling call.
            log_abs_psi: ln|Psi| by the current weights, in the ansatz' own precision.
        """
        if self.never_reuses:
            return self._always_new(self._draw(walkers, sample, adapt))
        state = self._recall()
        reuse = self._assess(state, 2 * log_abs_psi(walkers.positions))

        def draw() -> tuple[_Drawn, ReuseState]:
            drawn = self._draw(walkers, sample, adapt)
            return drawn, fresh_samples(2 * log_abs_psi(drawn.walkers.positions))

        def keep() -> tuple[_Drawn, ReuseState]:
            kept = _Drawn(
                walkers=walkers,
                weights=reuse.weights,
                acceptance=tf.convert_to_tensor(self.acceptance),
                proposal_width=tf.convert_to_tensor(self.proposal_width),
                n_unmoved=tf.convert_to_tensor(self.n_unmoved),
                n_restarted=tf.constant(0),
            )
            return kept, state

        sampled = reuse.reason != SampleReason.REUSE
        current, next_state = tf.cond(sampled, draw, keep)
        self._remember(after_iteration(next_state))
        self.n_unmoved.assign(current.n_unmoved)
        self.acceptance.assign(current.acceptance)
        self.proposal_width.assign(current.proposal_width)
        self.n_samplings.assign_add(tf.cast(sampled, tf.int64))
        log = SampleLog(
            acceptance=current.acceptance,
            proposal_width=current.proposal_width,
            n_waited=tf.maximum(state.n_waited, 0),
            wait=reuse.wait,
            mean_weight=reuse.mean_weight,
            effective_samples=reuse.effective_samples,
            largest_weight=reuse.largest_weight,
            sampled=sampled,
            sample_reason=reuse.reason,
            n_restarted=current.n_restarted,
            energy_fall=state.energy_fall,
        )
        return Samples(current.walkers.positions, current.weights, log), current.walkers

    def _assess(self, state: ReuseState, log_probability: Tensor) -> Reuse:
        """Returns what the samples are still worth; in several processes the chief decides whether new ones are drawn.

        On unlike machines a threshold may be passed on one alone.
        """
        reuse = assess_reuse(self.policy, state, log_probability)
        (reason,) = tensors_of_chief([reuse.reason])
        return reuse._replace(reason=reason)

    def with_error(self, estimate: EnergyEstimate) -> EnergyEstimate:
        """Returns the energy of this iteration's samples with a corrected error, and remembers both."""
        if self.never_reuses:
            return estimate
        state = with_energy(self._recall(), estimate.energy, estimate.energy_error)
        self._remember(state)
        return estimate._replace(energy_error=state.energy_error)

    def _always_new(self, drawn: _Drawn) -> tuple[Samples, WalkerState]:
        """The samples of an iteration, and the walkers for the next one, where every iteration draws its own."""
        self.n_samplings.assign_add(1)
        self.n_unmoved.assign(drawn.n_unmoved)
        log = SampleLog(
            acceptance=drawn.acceptance,
            proposal_width=drawn.proposal_width,
            n_waited=0,
            wait=1,
            mean_weight=1,
            effective_samples=self.n_walkers,
            largest_weight=1,
            sampled=1,
            sample_reason=SampleReason.EVERY_ITERATION,
            n_restarted=drawn.n_restarted,
            energy_fall=0,
        )
        return Samples(drawn.walkers.positions, drawn.weights, log), drawn.walkers

    def _draw(self, walkers: WalkerState, sample: Sample, adapt: Adapt) -> _Drawn:
        """Restarts lost walkers, makes one sampling call, and adapts the proposal width."""
        n_unmoved = tf.convert_to_tensor(self.n_unmoved)
        walkers, n_unmoved, n_restarted = restart_lost(walkers, n_unmoved, self.most_unmoved)
        moved, acceptance = sample(walkers)
        return _Drawn(
            walkers=adapt(moved, acceptance),
            weights=tf.ones_like(moved.positions[:, 0]),
            acceptance=acceptance,
            proposal_width=moved.proposal_width,
            n_unmoved=count_unmoved(walkers.positions, moved.positions, n_unmoved),
            n_restarted=n_restarted,
        )

    def _remember(self, state: ReuseState) -> None:
        for variable in self.state:
            variable.assign(getattr(state, variable.name))

    def _recall(self) -> ReuseState:
        return ReuseState(**{variable.name: tf.convert_to_tensor(variable) for variable in self.state})

    def _add_state(self, name: str, shape: tuple[int, ...], dtype: Any) -> keras.Variable:
        return self.add_weight(shape=shape, dtype=dtype, initializer="zeros", trainable=False, name=name)
