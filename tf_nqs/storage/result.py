"""The entries of `result.json`, and reading them."""

from __future__ import annotations

import json
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError


class Convergence(NamedTuple):
    """Report of transfer, freezing, early stopping and rollbacks; see `RunResult`."""

    stop_explanation: str | None = None
    blocking_criteria: list[str] | None = None
    restored_iteration: int | None = None
    released_iteration: int | None = None
    transfer: dict[str, Any] | None = None
    n_repairs: int = 0
    n_restarted: int = 0
    non_finite_share_training: float = 0.0
    n_rejected: int = 0
    members: list[dict[str, Any]] | None = None


@dataclass(frozen=True)
class RunResult:
    """The entries of `result.json`; energies in hbar*omega, None if a number does not exist or is unknown.

    Attributes:
        energy_error: standard error, corrected for autocorrelation; also None if the walkers were not in equilibrium or
            R-hat is above 1.05, because no error can be known then.
        energy_error_naive: uncorrected standard error, as if all samples were independent.
        n_samplings: iterations that drew new samples; the others re-weighted the current ones.
        stop_reason: iterations, early_stopping, time_limit, interrupted or failed.
        stop_explanation: reason why training failed; else, with early stopping, why it stopped training or why it did
            not; and evidence that the energy is not the ground state's.
        blocking_criteria: with early stopping, the checks that the last window did not pass; see `windows.csv`.
        restored_iteration: with restore_best, the iteration whose weights were restored and measured.
        released_iteration: the iteration after which frozen layers were trained too, if any.
        transfer: with transfer_from, the entries of `tf_nqs.experiment.transfer.Transfer`.
        n_repairs: rollbacks to the last good state, after faults.
        n_restarted: lost or stuck walkers of the training, which were moved to the positions of others.
        non_finite_share_training: share of the local energies of the training that were not finite, and left out.
        n_rejected: solutions of the natural gradient that were not finite, and were repeated with more damping.
        non_finite_share: share of the local energies of the measurement that were not finite, and left out.
        in_equilibrium: whether the burn-in before the measurement ended in equilibrium.
        is_mixed: whether the Markov chains of the measurement agree, by R-hat.
        converged: whether there is no doubt about the energy, see `tf_nqs.analysis.verdict.find_doubts`.
        not_converged_because: the doubts, in words.
        members: of a family, its systems at the end of training, each with n_particles, interaction_strength,
            interaction_range, energy, energy_error and variance, see `tf_nqs.callbacks.ConditionsLog`; the energy of a
            family as a whole, and all that belongs to it, is None.
    """

    energy: float | None
    energy_error: float | None
    energy_error_naive: float | None
    variance: float | None
    kinetic: float | None
    trap: float | None
    interaction: float | None
    acceptance: float | None
    r_hat: float | None
    effective_samples: float | None
    reference_energy: float | None
    reference_kind: str
    reference_uncertainty: float | None
    deviation_in_sigma: float | None
    n_parameters: int
    n_trainable_parameters: int
    n_iterations: int
    n_samplings: int
    stop_reason: str
    stop_explanation: str | None
    blocking_criteria: list[str] | None
    restored_iteration: int | None
    released_iteration: int | None
    transfer: dict[str, Any] | None
    n_repairs: int
    n_restarted: int
    non_finite_share_training: float
    n_rejected: int
    non_finite_share: float
    seconds_total: float
    seconds_training: float
    seconds_compile: float
    seed: int
    versions: dict[str, str]
    in_equilibrium: bool | None = None
    is_mixed: bool | None = None
    converged: bool | None = None
    not_converged_because: list[str] | None = None
    members: list[dict[str, Any]] | None = None


REQUIRED = frozenset(field.name for field in fields(RunResult) if field.default is MISSING)
"""Entries of every `result.json` of this package; those of older versions lack the others."""

_NEVER_NEGATIVE = (
    *("energy_error", "energy_error_naive", "variance", "reference_uncertainty"),
    *("seconds_total", "seconds_training", "seconds_compile"),
    *("n_iterations", "n_samplings", "n_parameters", "n_trainable_parameters", "effective_samples"),
)


def read_result(path: Path) -> dict[str, Any]:
    """Returns the entries of a `result.json`, which may come from elsewhere, or lack entries of later versions.

    Args:
        path: the file.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not a JSON object, or an entry has another type than in `RunResult` or an impossible sign; one
            line.
    """
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
        json.dumps(result, allow_nan=False)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(result, dict):
        raise ValueError("no JSON object")
    kinds = get_type_hints(RunResult)
    for name in result.keys() & kinds.keys():
        adapter: TypeAdapter[Any] = TypeAdapter(kinds[name], config=ConfigDict(strict=True, allow_inf_nan=False))
        try:
            adapter.validate_python(result[name])
        except ValidationError:
            raise ValueError(f"{name} has another type") from None
    for name in _NEVER_NEGATIVE:
        if (result.get(name) or 0) < 0:
            raise ValueError(f"{name} is negative")
    if result.get("reference_energy") is not None and "reference_kind" not in result:
        raise ValueError("reference_energy without reference_kind")
    return result
