"""Samples of an older wave function, re-weighted to the current one, and when to draw new ones. Pure, in log space.

Everything is tensors in, tensors out, without a branch in Python on a tensor's value: XLA compiles it, and the state
can be kept in Keras weights.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Literal, NamedTuple

import tensorflow as tf

from tf_nqs import defaults
from tf_nqs.types import Tensor


class SampleReason(enum.IntEnum):
    """Why new samples are drawn, or not; of several reasons the one with the lowest number above 0 is given.

    The triggers have higher numbers than the schedule, so they are named only where they act before it.
    """

    REUSE = 0
    NO_SAMPLES = 1
    EVERY_ITERATION = 2
    SCHEDULE = 3
    CUT_OFF = 4
    EFFECTIVE_SAMPLES = 5
    LARGEST_WEIGHT = 6
    ENERGY_FALL = 7


@dataclass(frozen=True)
class ReusePolicy:
    """When samples are reused, and when new ones are drawn.

    Attributes:
        resampling: every_iteration never reuses samples. thesis follows the schedule of Eq. 20 on the ratios R
            themselves, and the cut-off. guarded follows it on R/mean(R), so that a mere change of the norm of Psi is no
            change, and the triggers of `least_effective_fraction`, `largest_weight` and `largest_fall`. Both draw new
            samples where every walker has the weight 0.
        sensitivity: s of Delta; the thesis' stricter option is 1e-3.
        longest_wait: iterations that samples serve, the first one included, while the wave function does not change.
        shortest_wait: the same when it has changed entirely.
        cut_off: thesis: largest |mean(R) - 1|, which a mere change of the norm of Psi passes too; 0 for no cut-off, as
            in the thesis' figures.
        least_effective_fraction: guarded: least share of the samples that the Kish effective sample size may have.
        largest_weight: guarded: largest R/mean(R) that a single walker may have.
        largest_fall: guarded: standard errors by which the energy on the same samples may fall. After a larger fall it
            is unknown whether the wave function has improved or has only been fitted to these samples.

    Raises:
        ValueError: an argument is out of its range.

    Reference: thesis, Secs. 3.3 and 4.2.
    """

    resampling: Literal["every_iteration", "thesis", "guarded"] = defaults.RESAMPLING
    sensitivity: float = defaults.SENSITIVITY
    longest_wait: int = defaults.LONGEST_WAIT
    shortest_wait: int = defaults.SHORTEST_WAIT
    cut_off: float = defaults.CUT_OFF
    least_effective_fraction: float = defaults.LEAST_EFFECTIVE_FRACTION
    largest_weight: float = defaults.LARGEST_WEIGHT
    largest_fall: float = defaults.LARGEST_FALL

    def __post_init__(self) -> None:
        policies = ("every_iteration", "thesis", "guarded")
        rules = {
            "resampling": (self.resampling in policies, f"one of {', '.join(policies)}"),
            "sensitivity": (self.sensitivity > 0, "above 0"),
            "shortest_wait": (self.shortest_wait >= 1, "at least 1"),
            "longest_wait": (self.longest_wait >= self.shortest_wait, "at least shortest_wait"),
            "cut_off": (self.cut_off >= 0, "at least 0"),
            "least_effective_fraction": (0 <= self.least_effective_fraction < 1, "at least 0 and below 1"),
            "largest_weight": (self.largest_weight > 1, "above 1"),
            "largest_fall": (self.largest_fall > 0, "above 0"),
        }
        for name, (is_met, rule) in rules.items():
            if not is_met:
                raise ValueError(f"{name} = {getattr(self, name)}: must be {rule}")


class ReuseState(NamedTuple):
    """State of the reuse of samples from iteration to iteration.

    Attributes:
        log_probability: ln|Psi|^2 of every walker when it was sampled, shape (n_walkers,).
        n_waited: iterations that these samples have served, int32 scalar; -1 where there are no samples yet.
        first_energy: E of the first of these iterations, scalar.
        energy_error: largest standard error of their energies, scalar. Updates with the samples lower their variance
            further than the variance of new samples: a later error alone would be too small.
        energy_fall: how far E has fallen since the first of them, in units of `energy_error`, scalar.
    """

    log_probability: Tensor
    n_waited: Tensor
    first_energy: Tensor
    energy_error: Tensor
    energy_fall: Tensor


class Reuse(NamedTuple):
    """What the current samples are still worth; all but the weights are scalars.

    Attributes:
        reason: `SampleReason`, int32.
        weights: R divided by the largest R, shape (n_walkers,): from 0 to 1, never nan; a common factor cancels in
            every estimate. To be used where samples are reused; fresh ones have 1.
        mean_weight: mean(R), raw (Eq. 19; the thesis calls it an effective sample size), float64.
        effective_samples: Kish effective sample size (sum R)^2 / sum R^2, from 0 to n_walkers.
        largest_weight: max(R) / mean(R), from 1 to n_walkers.
        delta: Delta of Eq. 20, from 0 (unchanged) to 1.
        wait: iterations that Eq. 20 lets these samples serve.
    """

    reason: Tensor
    weights: Tensor
    mean_weight: Tensor
    effective_samples: Tensor
    largest_weight: Tensor
    delta: Tensor
    wait: Tensor


def no_samples(n_walkers: int, dtype: str) -> ReuseState:
    """Returns the state before the first sampling call, and after anything else has moved the walkers."""
    return fresh_samples(tf.zeros(n_walkers, dtype))._replace(n_waited=tf.constant(-1, tf.int32))


def fresh_samples(log_probability: Tensor) -> ReuseState:
    """Returns the state right after sampling, before the first iteration with these samples.

    Args:
        log_probability: ln|Psi|^2 of the walkers where sampling left them, shape (n_walkers,).
    """
    zero = tf.zeros((), log_probability.dtype)
    return ReuseState(
        log_probability=log_probability,
        n_waited=tf.constant(0, tf.int32),
        first_energy=zero,
        energy_error=zero,
        energy_fall=zero,
    )


def after_iteration(state: ReuseState) -> ReuseState:
    """Returns the state after one more iteration with the same samples."""
    return state._replace(n_waited=state.n_waited + 1)


def with_energy(state: ReuseState, energy: Tensor, energy_error: Tensor) -> ReuseState:
    """Returns the state with the energy of the iteration that was just made with the samples.

    Args:
        state: of the samples, this iteration counted.
        energy: E = sum(R e_L) / sum(R).
        energy_error: its standard error.
    """
    first_energy = tf.where(state.n_waited <= 1, energy, state.first_energy)
    largest_error = tf.where(state.n_waited <= 1, energy_error, tf.maximum(state.energy_error, energy_error))
    fall = tf.math.divide_no_nan(first_energy - energy, largest_error)
    return state._replace(first_energy=first_energy, energy_error=largest_error, energy_fall=fall)


def log_ratio(log_probability: Tensor, sampled_log_probability: Tensor) -> Tensor:
    """Returns ln R = ln|Psi_new|^2 - ln|Psi_old|^2; -inf for walkers that count nothing.

    A walker where the new wave function vanishes has R = 0. One that stood on a node when it was sampled is no sample
    of |Psi_old|^2, and its ratio would be infinite: it counts nothing either, nor does one with a NaN.

    Args:
        log_probability: ln|Psi|^2 by the present weights, shape (n_walkers,).
        sampled_log_probability: the same by the weights at sampling, at the same positions.

    Returns:
        Shape (n_walkers,), finite or -inf.

    Reference: thesis, Eq. 16.
    """
    counts = tf.math.is_finite(log_probability) & tf.math.is_finite(sampled_log_probability)
    nothing = tf.fill(tf.shape(log_probability), tf.constant(float("-inf"), log_probability.dtype))
    return tf.where(counts, log_probability - sampled_log_probability, nothing)


def log_mean(log_values: Tensor) -> Tensor:
    """Returns ln of the mean of exp(log_values) over walkers, -inf if all of them are; shape ()."""
    n_walkers = tf.cast(tf.size(log_values), log_values.dtype)
    return tf.reduce_logsumexp(log_values) - tf.math.log(n_walkers)


def shifted_weights(log_weights: Tensor) -> Tensor:
    """Returns R / max(R), shape (n_walkers,); zeros if no walker counts.

    Args:
        log_weights: ln R, shape (n_walkers,), finite or -inf.
    """
    largest = tf.reduce_max(log_weights)
    return tf.exp(log_weights - tf.where(tf.math.is_finite(largest), largest, tf.zeros_like(largest)))


def effective_sample_size(log_weights: Tensor) -> Tensor:
    """Returns Kish's (sum R)^2 / sum R^2, from 1 to n_walkers; 0 if no walker counts.

    Args:
        log_weights: ln R, shape (n_walkers,), finite or -inf.

    Reference: L. Kish, Survey Sampling (1965), Sec. 11.7.
    """
    weights = shifted_weights(log_weights)
    return tf.math.divide_no_nan(tf.reduce_sum(weights) ** 2, tf.reduce_sum(weights**2))


def wave_function_change(log_weights: Tensor, sensitivity: float) -> Tensor:
    """Returns Delta = |1 - mean exp(-(R - 1)^2 / s)|, from 0 for R = 1 everywhere to 1.

    Sec. 4.2 says that Delta drops to zero as the wave function changes: it rises to 1, and the wait falls.

    Args:
        log_weights: ln R, shape (n_walkers,), finite or -inf.
        sensitivity: s.

    Reference: thesis, Eq. 20.
    """
    # expm1 keeps the digits of R - 1 near R = 1; a square that overflows is an exponential of 0.
    return tf.abs(1 - tf.reduce_mean(tf.exp(-(tf.math.expm1(log_weights) ** 2) / sensitivity)))


def scheduled_wait(delta: Tensor, longest_wait: int, shortest_wait: int) -> Tensor:
    """Returns longest - (longest - shortest) Delta, the iterations that samples may serve; shape ().

    Reference: thesis, Eq. 20.
    """
    return longest_wait - (longest_wait - shortest_wait) * delta


def assess_reuse(policy: ReusePolicy, state: ReuseState, log_probability: Tensor) -> Reuse:
    """Returns whether another iteration may use the samples, and their weights; called in every iteration.

    Args:
        policy: when new samples are drawn.
        state: of the samples; where there are none yet, they are assessed as if the weights had not changed.
        log_probability: ln|Psi|^2 of the same positions by the present weights, shape (n_walkers,).

    Returns:
        Reuse; where its `reason` is not `SampleReason.REUSE`, draw new samples.

    Reference: thesis, Eqs. 16-20 and Sec. 4.2.
    """
    log_weights = log_ratio(log_probability, tf.where(state.n_waited < 0, log_probability, state.log_probability))
    log_mean_weight = log_mean(log_weights)
    # In float64, as exp(ln R) leaves float32 at ln R = 88.
    mean_weight = tf.exp(tf.cast(log_mean_weight, tf.float64))
    n_walkers = tf.cast(tf.size(log_weights), log_weights.dtype)
    counts = tf.math.is_finite(log_mean_weight)
    norm = tf.where(counts, log_mean_weight, tf.zeros_like(log_mean_weight))
    largest_weight = tf.exp(tf.reduce_max(log_weights) - norm)
    effective_samples = effective_sample_size(log_weights)
    compared = log_weights - norm if policy.resampling == "guarded" else log_weights
    delta = wave_function_change(compared, policy.sensitivity)
    wait = scheduled_wait(delta, policy.longest_wait, policy.shortest_wait)

    triggers = {SampleReason.NO_SAMPLES: state.n_waited < 0}
    if policy.resampling == "every_iteration":
        triggers[SampleReason.EVERY_ITERATION] = tf.constant(True)
    else:
        triggers[SampleReason.SCHEDULE] = tf.cast(state.n_waited, wait.dtype) >= wait
    if policy.resampling == "thesis" and policy.cut_off:
        triggers[SampleReason.CUT_OFF] = tf.abs(mean_weight - 1) > policy.cut_off
    # Whatever the policy: where no walker counts, every mean would be 0/0.
    triggers[SampleReason.EFFECTIVE_SAMPLES] = ~counts
    if policy.resampling == "guarded":
        least = policy.least_effective_fraction * n_walkers
        triggers[SampleReason.EFFECTIVE_SAMPLES] |= effective_samples < least
        triggers[SampleReason.LARGEST_WEIGHT] = largest_weight > policy.largest_weight
        triggers[SampleReason.ENERGY_FALL] = ~(state.energy_fall <= policy.largest_fall)
    return Reuse(
        reason=_first_reason(triggers),
        weights=shifted_weights(log_weights),
        mean_weight=mean_weight,
        effective_samples=effective_samples,
        largest_weight=largest_weight,
        delta=delta,
        wait=wait,
    )


def _first_reason(triggers: dict[SampleReason, Tensor]) -> Tensor:
    """Returns the lowest number whose trigger holds, 0 if none does; int32."""
    reason = tf.constant(SampleReason.REUSE, tf.int32)
    for number, holds in sorted(triggers.items(), reverse=True):
        reason = tf.where(holds, tf.constant(number, tf.int32), reason)
    return reason
