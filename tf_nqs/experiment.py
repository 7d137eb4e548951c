"""A whole run: settings -> objects -> training -> measurement -> run folder. The only place that knows everyone."""

from __future__ import annotations

import json
import math
import platform
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import keras
import numpy as np
import scipy
import tensorflow as tf
import tensorflow_probability as tfp

import tf_nqs
from tf_nqs.analysis import make_criterion, plot_energy, read_metrics, result_table
from tf_nqs.builders import (
    CONFIG_FILE,
    METRICS_FILE,
    PLOT_FILE,
    RESULT_FILE,
    WEIGHTS_FILE,
    build_ansatz,
    build_system,
    build_trainer,
    find_reference,
)
from tf_nqs.callbacks import (
    EnergyEarlyStopping,
    ProgressLine,
    RestoreBestWeights,
    RunLog,
    StopOnNonFinite,
    TimeLimit,
    WeightsCheckpoint,
    save_weights,
)
from tf_nqs.config import Settings, to_toml
from tf_nqs.exact import Reference
from tf_nqs.run_folder import claim_run_folder, release_run_folder
from tf_nqs.run_result import Convergence, RunResult
from tf_nqs.training import EnergyMeasurement, VariationalMonteCarlo, pretrain

_MANY_PARTICLES = 8
"""From here on ln|Psi| of random start weights loses digits in float32."""


def run(settings: Settings) -> RunResult:
    """Trains, measures and writes the run folder.

    Args:
        settings: all settings; `run.run_dir` is a new or an empty folder, None for a dated one in `runs/`.

    Returns:
        What `result.json` holds.

    Raises:
        RunFolderError: the folder holds another run, or cannot be written.
    """
    started = time.monotonic()
    folder = claim_run_folder(settings.run.run_dir)
    say = (lambda *_: None) if settings.run.quiet else (lambda text: print(text, flush=True))
    try:
        vmc, reference = _prepare(settings, folder, say)
    except BaseException:
        release_run_folder(folder)
        raise

    training_started = time.monotonic()
    convergence = train(vmc, settings, folder, reference, say)
    seconds_training = time.monotonic() - training_started

    save_weights(vmc.ansatz, folder / WEIGHTS_FILE)
    say(f"stopped after {int(vmc.iteration)} iterations ({vmc.stop_reason}); measuring the energy ...")
    measurement = vmc.evaluate_energy(settings.evaluation.target_error, settings.evaluation.evaluation_max_seconds)
    if measurement.n_non_finite:
        say(f"{measurement.n_non_finite} samples without a finite energy were left out")
    if measurement.energy_error > settings.evaluation.target_error:
        say("target_error was not reached within evaluation_max_seconds")
    seconds_total = time.monotonic() - started
    result = _result(settings, vmc, reference, measurement, convergence, seconds_training, seconds_total)
    _write_result(result, settings, folder)
    say(result_table(asdict(result)))
    return result


def _prepare(settings: Settings, folder: Path, say: Callable[[str], None]) -> tuple[VariationalMonteCarlo, Reference]:
    """Does all that comes before training: settings written, objects built, reference computed, phases compiled."""
    (folder / CONFIG_FILE).write_text(to_toml(settings), encoding="utf-8")
    keras.utils.set_random_seed(settings.run.seed)
    ansatz = build_ansatz(settings)
    vmc = build_trainer(settings, build_system(settings), ansatz)
    say(f"{settings.system.n_particles} fermions, {ansatz.count_params()} parameters; results go to {folder}")
    if settings.system.n_particles >= _MANY_PARTICLES and settings.ansatz.dtype == "float32":
        say("the Slater matrices of so many particles are nearly singular: consider --dtype=float64")
    reference = find_reference(settings)
    say(_reference_line(reference))
    pretrain(ansatz, settings.training.pretrain_iterations, vmc.sampler, settings.run.seed)
    say("compiling ...")
    vmc.warm_up()
    return vmc, reference


def train(
    vmc: VariationalMonteCarlo, settings: Settings, folder: Path, reference: Reference, say: Callable[[str], None]
) -> Convergence:
    """Runs the training loop; Ctrl-C ends it, and what was reached is kept.

    Args:
        vmc: the compiled trainer.
        settings: all settings.
        folder: the run folder, for metrics and weights.
        reference: shown beside the energy.
        say: prints a line, or does not.

    Returns:
        What early stopping found.
    """
    training, stopping = settings.training, settings.stopping
    criterion = make_criterion(**stopping.model_dump(exclude={"window", "restore_best"}))
    early_stopping = EnergyEarlyStopping(stopping.window, criterion, folder, say) if criterion else None
    best = RestoreBestWeights(stopping.window) if stopping.restore_best else None
    if criterion and training.iterations <= (least := criterion.n_successes * stopping.window):
        say(f"early stopping cannot act before iteration {least + stopping.window}")
    callbacks = [StopOnNonFinite(), RunLog(folder), WeightsCheckpoint(folder / WEIGHTS_FILE)]
    callbacks += [callback for callback in (early_stopping, best) if callback]
    if training.max_seconds is not None:
        callbacks.append(TimeLimit(training.max_seconds))
    if not settings.run.quiet:
        callbacks.append(ProgressLine(training.iterations, reference.energy))
    try:
        vmc.fit(training.iterations, callbacks=callbacks)
    except KeyboardInterrupt:
        vmc.stop_reason = "interrupted"
        for callback in callbacks:
            callback.on_train_end()
        say("interrupted; once more Ctrl-C leaves without measuring")
    if early_stopping is None:
        return Convergence(restored_iteration=best and best.best_iteration)
    say(explanation := early_stopping.explanation())
    return Convergence(explanation, early_stopping.blocking_criteria, best and best.best_iteration)


def _result(
    settings: Settings,
    vmc: VariationalMonteCarlo,
    reference: Reference,
    measurement: EnergyMeasurement,
    convergence: Convergence,
    seconds_training: float,
    seconds_total: float,
) -> RunResult:
    """Puts the result together; numbers that are not finite become None, as JSON has no NaN."""
    deviation = None
    if reference.energy is not None:
        sigma = math.hypot(measurement.energy_error, reference.uncertainty)
        deviation = (measurement.energy - reference.energy) / sigma if sigma > 0 else None
    measured = measurement._asdict()
    measured.pop("n_non_finite")
    return RunResult(
        **{name: _finite(value) for name, value in measured.items()},
        reference_energy=reference.energy,
        reference_kind=reference.kind,
        reference_uncertainty=reference.uncertainty,
        deviation_in_sigma=_finite(deviation),
        n_parameters=vmc.ansatz.count_params(),
        n_trainable_parameters=sum(math.prod(weight.shape) for weight in vmc.ansatz.trainable_variables),
        n_iterations=int(vmc.iteration),
        stop_reason=vmc.stop_reason if math.isfinite(measurement.energy) else "failed",
        **convergence._asdict(),
        seconds_total=seconds_total,
        seconds_training=seconds_training,
        seconds_compile=vmc.seconds_compile,
        seed=settings.run.seed,
        versions=_versions(),
    )


def _finite(value):
    return value if value is not None and math.isfinite(value) else None


def _versions():
    packages = (tf_nqs, tf, keras, tfp, np, scipy)
    return {"python": platform.python_version()} | {package.__name__: package.__version__ for package in packages}


def _write_result(result: RunResult, settings: Settings, folder: Path) -> None:
    text = json.dumps(asdict(result), indent=2, allow_nan=False)
    (folder / f"unfinished-{RESULT_FILE}").write_text(text + "\n", encoding="utf-8")
    (folder / f"unfinished-{RESULT_FILE}").replace(folder / RESULT_FILE)
    system = settings.system
    title = f"A = {system.n_particles}, V0 = {system.interaction_strength:g}, sigma0 = {system.interaction_range:g}"
    if not (folder / METRICS_FILE).is_file():  # interrupted before the first iteration
        return
    measured = None if result.energy is None else (result.energy, result.energy_error or 0.0)
    plot_energy(
        read_metrics(folder / METRICS_FILE), result.reference_energy, folder / PLOT_FILE, title, measured=measured
    )


def _reference_line(reference: Reference) -> str:
    if reference.energy is None:
        return "no exact reference for this system"
    return f"reference energy {reference.energy:.6f} ({reference.kind}, uncertainty {reference.uncertainty:.0e})"
