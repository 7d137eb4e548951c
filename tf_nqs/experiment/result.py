"""The numbers of a finished run, put together for `result.json`."""

from __future__ import annotations

import math
import platform
from typing import Any, Protocol

import keras
import numpy as np
import scipy
import tensorflow as tf
import tensorflow_probability as tfp

import tf_nqs
from tf_nqs.analysis.notation import finite_or_none
from tf_nqs.config import Settings
from tf_nqs.exact import Reference
from tf_nqs.storage.result import Convergence, RunResult
from tf_nqs.training import EnergyMeasurement, VariationalMonteCarlo


class HasEnergy(Protocol):
    """A measured energy and its standard error, in hbar*omega."""

    @property
    def energy(self) -> float:
        """The energy."""

    @property
    def energy_error(self) -> float:
        """Its standard error."""


def make_result(
    settings: Settings,
    vmc: VariationalMonteCarlo,
    reference: Reference,
    measurement: EnergyMeasurement | None,
    convergence: Convergence,
    seconds_training: float,
    seconds_total: float,
) -> RunResult:
    """Returns the entries of `result.json`, without a verdict; None for numbers that are not finite.

    Args:
        settings: of the run.
        vmc: the trainer.
        reference: the exact energy, or the best one known.
        measurement: of the trained wave function; None for a family, which has no energy of its own.
        convergence: report of early stopping, transfer and rollbacks.
        seconds_training: time of the training.
        seconds_total: time of the whole run.
    """
    values = dict.fromkeys(EnergyMeasurement._fields) if measurement is None else measurement._asdict()
    known = {name: value for name, value in values.items() if name in RunResult.__annotations__}
    measured: dict[str, Any] = {name: finite_or_none(value) for name, value in known.items()}
    has_failed = measurement is not None and not math.isfinite(measurement.energy)
    if has_failed and convergence.stop_explanation is None:
        convergence = convergence._replace(stop_explanation="no sample of the measurement has a finite energy")
    return RunResult(
        **measured,
        reference_energy=reference.energy,
        reference_kind=reference.kind,
        reference_uncertainty=reference.uncertainty,
        deviation_in_sigma=deviation_in_sigma(measurement, reference) if measurement else None,
        n_parameters=vmc.ansatz.count_params(),
        n_trainable_parameters=sum(math.prod(weight.shape) for weight in vmc.ansatz.trainable_variables),
        n_iterations=int(vmc.iteration.numpy()),
        n_samplings=int(vmc.reuse.n_samplings.numpy()),
        stop_reason="failed" if has_failed else vmc.stop_reason,
        **convergence._asdict(),
        non_finite_share=measurement.non_finite_share if measurement else 0.0,
        seconds_total=seconds_total,
        seconds_training=seconds_training,
        seconds_compile=vmc.seconds_compile,
        seed=settings.run.seed,
        versions=versions(),
    )


def deviation_in_sigma(measurement: HasEnergy, reference: Reference) -> float | None:
    """Returns the deviation from the reference in standard errors, combined with its uncertainty; None if unknown."""
    if reference.energy is None or reference.uncertainty is None:
        return None
    sigma = math.hypot(measurement.energy_error, reference.uncertainty)
    return finite_or_none((measurement.energy - reference.energy) / sigma) if sigma > 0 else None


def versions() -> dict[str, str]:
    """Returns package -> version, for all packages that the numbers of a run depend on."""
    packages = (tf_nqs, tf, keras, tfp, np, scipy)
    return {"python": platform.python_version()} | {package.__name__: package.__version__ for package in packages}
