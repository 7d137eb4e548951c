"""What `result.json` holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Convergence(NamedTuple):
    """What early stopping found; see `RunResult`."""

    stop_explanation: str | None = None
    blocking_criteria: list[str] | None = None
    restored_iteration: int | None = None


@dataclass(frozen=True)
class RunResult:
    """What `result.json` holds; energies in hbar*omega, None where a number does not exist.

    Attributes:
        stop_reason: iterations, early_stopping, time_limit, interrupted or failed.
        stop_explanation: with early stopping, why training was stopped or what has kept it from being stopped.
        blocking_criteria: with early stopping, the checks that the last window did not pass; see `windows.csv`.
        restored_iteration: with restore_best, the iteration whose weights were given back and measured.
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
    stop_reason: str
    stop_explanation: str | None
    blocking_criteria: list[str] | None
    restored_iteration: int | None
    seconds_total: float
    seconds_training: float
    seconds_compile: float
    seed: int
    versions: dict[str, str]
