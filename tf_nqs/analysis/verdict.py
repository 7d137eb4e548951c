"""The verdict on a run: converged, or the reasons why its energy is not that of a converged ground state."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from tf_nqs.analysis.trend import N_BATCHES, series_trend

MOST_SIGMAS_ABOVE = 3.0
"""Maximum number of standard errors above the reference for a ground state."""

_MOST_SIGMAS_BELOW = 4.0
"""Maximum number of standard errors below the reference. No state has an energy below it, so the samples are wrong."""

_LARGEST_LOST_SHARE = 1e-3
"""Maximum share of samples without a finite energy; a smaller share changes the energy less than other faults."""

_LARGEST_SCATTER = 0.1
"""Maximum ratio of the standard deviation of the local energy to |kinetic| + |trap| + |interaction|.

Trained states have 0.001 to 0.03.
"""

_FAR_OFF_TARGET = 10.0
"""Maximum ratio of error to target error."""

_TREND_SHARE, _LEAST_TREND, _TREND_CONFIDENCE = 1 / 3, 50, 0.99
"""Share of the iterations that are tested for a trend, their minimum number, and the confidence of its interval."""

Cause = Literal["failure", "training", "sampling", "precision", "wave_function", "binding", "start"]
"""Cause of a doubt, which decides the suggested remedy."""


class Doubt(NamedTuple):
    """A reason not to use an energy.

    Attributes:
        cause: what is wrong.
        reason: the reason in words, without a full stop.
    """

    cause: Cause
    reason: str


def find_doubts(
    result: Mapping[str, Any],
    target_error: float,
    energies: ArrayLike = (),
    others: Sequence[Doubt] = (),
) -> list[Doubt]:
    """Returns the reasons why the energy of a run is not that of a converged ground state; none for a converged run.

    A run has converged if none of these holds: training failed or was interrupted; the walkers were not in
    equilibrium, or their chains have not mixed; more than 0.1 % of the samples have no finite energy; the error is
    unknown, or more than ten times the target error; the energy lies above the reference by more than 3 standard errors
    and more than the target error, or below it by more than 4; the energy still fell in the last third of the
    iterations; the local energy scatters by more than a tenth of the energies' size; early stopping was blocked.

    Args:
        result: keys as in `RunResult`, energies in hbar*omega; a key that is missing or None raises no doubt.
        target_error: requested error of the energy, in hbar*omega.
        energies: energies of the training iterations, shape (n_iterations,).
        others: further doubts, placed before those of the measurement.
    """
    if result.get("stop_reason") == "failed":
        return [Doubt("failure", f"training failed ({result.get('stop_explanation') or 'reason unknown'})"), *others]
    return [
        *_training_doubts(result),
        *others,
        *_measurement_doubts(result, target_error),
        *_reference_doubts(result, target_error),
        *_trend_doubts(result, target_error, np.asarray(energies, np.float64)),
    ]


def verdict_text(result: Mapping[str, Any]) -> str | None:
    """Returns "converged", or "not converged: ..."; None for a result without a verdict, as older versions wrote it.

    Args:
        result: with the keys `converged` and `not_converged_because` of `RunResult`.
    """
    if result.get("converged") is None:
        return None
    if result["converged"]:
        return "converged"
    reasons = result.get("not_converged_because")
    return f"not converged: {'; '.join(reasons)}" if reasons else "not converged"


def is_above_reference(result: Mapping[str, Any]) -> bool:
    """Returns whether an energy is above its reference by more standard errors than chance explains."""
    return (result.get("deviation_in_sigma") or 0.0) > MOST_SIGMAS_ABOVE


def _training_doubts(result: Mapping[str, Any]) -> list[Doubt]:
    reason, blocking = result.get("stop_reason"), result.get("blocking_criteria")
    if reason == "interrupted":
        return [Doubt("training", "training was interrupted")]
    if blocking and reason != "early_stopping":
        return [Doubt("training", f"early stopping was blocked by {', '.join(blocking)}")]
    return []


def _measurement_doubts(result: Mapping[str, Any], target_error: float) -> list[Doubt]:
    found, r_hat, error = [], result.get("r_hat"), result.get("energy_error")
    if result.get("energy") is None:
        return [Doubt("failure", "no sample of the measurement has a finite energy")]
    if result.get("in_equilibrium") is False:
        found.append(Doubt("sampling", "the walkers had not reached equilibrium when the measurement began"))
    if result.get("is_mixed") is False:
        how = "" if r_hat is None else f" (R-hat {r_hat:.3g})"
        found.append(Doubt("sampling", f"the Markov chains have not mixed{how}"))
    lost = result.get("non_finite_share") or 0.0
    if lost > _LARGEST_LOST_SHARE:
        found.append(Doubt("wave_function", f"{100 * lost:.2g} % of the samples have no finite energy"))
    if error is None and not found:
        found.append(Doubt("sampling", "the error of the energy is unknown"))
    if error is not None and error > _FAR_OFF_TARGET * target_error:
        found.append(Doubt("precision", f"the error is {error / target_error:.0f} times the target error"))
    parts = [abs(result.get(name) or 0.0) for name in ("kinetic", "trap", "interaction")]
    scatter = math.sqrt(result.get("variance") or 0.0)
    if scatter > _LARGEST_SCATTER * sum(parts) > 0:
        share = f"{100 * scatter / sum(parts):.0f} %"
        found.append(Doubt("wave_function", f"the local energy scatters by {share} of the energies' size"))
    return found


def _reference_doubts(result: Mapping[str, Any], target_error: float) -> list[Doubt]:
    energy, reference, sigmas = (result.get(name) for name in ("energy", "reference_energy", "deviation_in_sigma"))
    if energy is None or reference is None or sigmas is None:
        return []
    if is_above_reference(result) and energy - reference > target_error:
        return [Doubt("training", f"the energy is {sigmas:,.1f} standard errors above the reference")]
    if sigmas < -_MOST_SIGMAS_BELOW:
        text = f"the energy is {-sigmas:,.1f} standard errors below the reference, but no state has such an energy"
        return [Doubt("sampling", text)]
    return []


def _trend_doubts(result: Mapping[str, Any], target_error: float, energies: np.ndarray) -> list[Doubt]:
    """Returns a doubt if the energy still falls; spikes make the trend uncertain and raise no doubt."""
    length = max(_LEAST_TREND, math.ceil(_TREND_SHARE * energies.size))
    last = energies[-length:]
    last = last[np.isfinite(last)]
    if energies.size and last.size < N_BATCHES:
        return [Doubt("training", f"too few iterations ({energies.size}) to judge whether the energy still falls")]
    if not energies.size:
        return []
    trend = series_trend(last, _TREND_CONFIDENCE)
    fall = -trend.slope * last.size
    if trend.high < 0 and fall > max(target_error, result.get("energy_error") or 0.0):
        return [Doubt("training", f"the energy still fell, by {fall:.2g} in the last {last.size} iterations")]
    return []
