"""Measures the points of a curve, and the overlaps of neighbours."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from tf_nqs.analysis.statistics import SampledMean
from tf_nqs.execution.chunks import phase_of_rows
from tf_nqs.measurement.energy import Observed
from tf_nqs.measurement.evaluation import evaluate_energy, warm_up_measurement
from tf_nqs.named_systems import NamedSystem
from tf_nqs.physics.slopes import has_finite_slope, parameter_names, parameter_slopes, parameter_values
from tf_nqs.studies.curve.overlap import Ratios, overlap
from tf_nqs.studies.curve.points import CurvePoint
from tf_nqs.trainer import Trainer
from tf_nqs.types import Estimate, Tensor

_FEWEST_SAMPLINGS, _KEPT_SAMPLES = 4, 8192
"""Of the samples that are kept for overlaps: their file has 130 kB for four particles, and 1 - f an error of 2 %."""

_WALKERS_AT_ONCE = 4096
"""Of the samples at which a wave function is called."""

_SQUARE_SIZE = "square_size"


def measure_point(
    vmc: Trainer,
    name: str,
    system: NamedSystem,
    target_error: float,
    max_seconds: float,
    report: Callable[[SampledMean], None] | None = None,
) -> tuple[CurvePoint, np.ndarray]:
    """Returns the point of a frozen wave function, and samples of it.

    Args:
        vmc: a compiled trainer with the wave function; its walkers are moved.
        name: of the source.
        system: names and parameters of the trainer's system.
        target_error: wanted standard error of the energy, in hbar*omega.
        max_seconds: wall-clock time of burn-in and measurement, not counting compilation.
        report: called every few seconds with the energy so far.

    Returns:
        The point, without a reference; samples of shape (n_samplings, n_walkers, n_particles).
    """
    parameters = parameter_names(system)

    compiled = _compiled_values(_kind(system), *vmc.compilation)
    values = tf.constant(parameter_values(system), vmc.compute_dtype)

    def local_values(positions: Tensor, kinetic: Tensor) -> Tensor:
        del kinetic
        return compiled(positions, tf.broadcast_to(values, (positions.shape[0], len(parameters))))

    observed = Observed((_SQUARE_SIZE, *parameters), local_values, None, vmc.system.contact_exponent)
    warm_up_measurement(vmc, local_values)
    found = evaluate_energy(vmc, target_error, max_seconds, report=report, observed=observed)
    slopes = {parameter: found.relations[parameter] for parameter in parameters}
    if not has_finite_slope(system):
        slopes["interaction_strength"] = slopes["interaction_strength"]._replace(error=math.nan)
    point = CurvePoint(
        name=name,
        system=system,
        energy=Estimate(found.energy, found.energy_error),
        variance=found.variance,
        kinetic=Estimate(found.kinetic, found.kinetic_error),
        trap=Estimate(found.trap, found.trap_error),
        interaction=Estimate(found.interaction, found.interaction_error),
        rms_size=_root(found.relations[_SQUARE_SIZE]),
        slopes=slopes,
        n_samples=found.n_samples,
        target_error=target_error,
        in_equilibrium=found.in_equilibrium,
        is_mixed=found.is_mixed,
    )
    return point, _samples(vmc)


def _kind(system: NamedSystem) -> NamedSystem:
    """Returns the names of a system, and its number of particles; all other numbers at their defaults."""
    return NamedSystem(system.n_particles, system.interaction, trap=system.trap)


@functools.cache
def _compiled_values(
    kind: NamedSystem, jit_compile: bool, chunk_mebibytes: float
) -> Callable[[Tensor, Tensor], Tensor]:
    """Returns (positions, rows of parameters, all the same) -> mean square of the positions, and dH/d lambda.

    It is made once for all systems of a kind: another value of a parameter compiles nothing.
    """

    def local_values(positions: Tensor, rows: Tensor) -> Tensor:
        slopes = parameter_slopes(kind, rows[0], positions)
        return tf.concat([tf.reduce_mean(positions**2, axis=1, keepdims=True), slopes], axis=1)

    return phase_of_rows(local_values, jit_compile, chunk_mebibytes)


def _root(square: Estimate) -> Estimate:
    """Returns the square root of an estimate."""
    size = math.sqrt(square.value) if square.value >= 0 else math.nan
    return Estimate(size, square.error / (2 * size) if size > 0 else math.nan)


def _samples(vmc: Trainer) -> np.ndarray:
    """Returns samples of the wave function, from walkers in equilibrium."""
    n_samplings = max(_FEWEST_SAMPLINGS, math.ceil(_KEPT_SAMPLES / vmc.sampler.n_walkers))
    rows, walkers = [], vmc.walkers
    for _ in range(n_samplings):
        walkers, _ = vmc.phases.sample(walkers)
        rows.append(np.asarray(walkers.positions))
    vmc.place_walkers(walkers)
    return np.stack(rows)


def measure_overlap(first: Any, first_samples: np.ndarray, second: Any, second_samples: np.ndarray) -> Estimate:
    """Returns the overlap of two wave functions of equally many particles, see `tf_nqs.studies.curve.overlap`.

    Args:
        first: positions (n_walkers, n_particles) -> SignedLog.
        first_samples: of its density, shape (n_samplings, n_walkers, n_particles).
        second: as `first`.
        second_samples: as `first_samples`; of other numbers of samplings and walkers if need be.
    """
    return overlap(*(_ratios(first, second, samples) for samples in (first_samples, second_samples)))


def _ratios(first: Any, second: Any, samples: np.ndarray) -> Ratios:
    rows = samples.reshape(-1, samples.shape[2])
    signs, logs = zip(*(_signed_log(psi, rows) for psi in (first, second)), strict=True)
    with np.errstate(invalid="ignore"):  # both may vanish
        log_ratio = logs[1] - logs[0]
    return Ratios((signs[0] * signs[1]).reshape(samples.shape[:2]), log_ratio.reshape(samples.shape[:2]))


def _signed_log(psi: Any, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns sign and ln|Psi| of many walkers, in float64, some at a time."""
    dtype = getattr(psi, "compute_dtype", positions.dtype)
    starts = range(0, len(positions), _WALKERS_AT_ONCE)
    parts = [psi(tf.constant(positions[start : start + _WALKERS_AT_ONCE], dtype)) for start in starts]
    sign, log_abs_psi = (
        np.concatenate([np.asarray(one, np.float64) for one in side]) for side in zip(*parts, strict=True)
    )
    return sign, log_abs_psi
