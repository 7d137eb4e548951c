"""A whole run: settings -> objects -> training -> measurement -> run folder. The only place that knows everyone."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import keras
import numpy as np

from tf_nqs.analysis import make_criterion, not_the_ground_state, plot_energy, read_metrics, result_table
from tf_nqs.analysis.words import stop_words
from tf_nqs.callbacks import (
    EnergyEarlyStopping,
    ProgressLine,
    ReleaseLayers,
    RepairTraining,
    RestoreBestWeights,
    RunLog,
    StopOnSignal,
    TimeLimit,
    WeightsCheckpoint,
    save_weights,
)
from tf_nqs.callbacks.events import write_measured
from tf_nqs.config import Settings, to_toml
from tf_nqs.exact import Reference
from tf_nqs.experiment.build import (
    build_ansatz,
    build_system,
    build_trainer,
    find_reference,
    find_start_state,
    no_trap_line,
    reference_line,
)
from tf_nqs.experiment.ending import closing_lines, judged
from tf_nqs.experiment.profiling import profile_run
from tf_nqs.experiment.result import make_result
from tf_nqs.experiment.resume import Start, clear_what_follows, find_start, fit_from
from tf_nqs.experiment.transfer import carry_walkers, freeze_equivariant_layers, save_walkers, start_weights
from tf_nqs.runtime.live import clock_beside
from tf_nqs.runtime.signals import StopSignals, Terminated
from tf_nqs.runtime.terminal import printed_messages
from tf_nqs.storage.files import replace_text
from tf_nqs.storage.result import Convergence, RunResult
from tf_nqs.storage.run_folder import (
    CONFIG_FILE,
    METRICS_FILE,
    PLOT_FILE,
    RESULT_FILE,
    WEIGHTS_FILE,
    claim_run_folder,
    locked_run_folder,
    release_run_folder,
    reopen_run_folder,
)
from tf_nqs.training import VariationalMonteCarlo

logger = logging.getLogger(__name__)

_MANY_PARTICLES = 8
"""From here on ln|Psi| of random start weights loses digits in float32."""


def run(settings: Settings, callbacks: Sequence[keras.callbacks.Callback] = (), resume: bool = False) -> RunResult:
    """Trains, measures and writes the run folder.

    Args:
        settings: all settings; `run.run_dir` is a new or an empty folder, None for a dated one in `runs/`.
        callbacks: more Keras callbacks for the training, called after those that the settings ask for.
        resume: whether to go on with the run that `run.run_dir` holds, from its last checkpoint.

    Returns:
        What `result.json` holds.

    Raises:
        RunFolderError: the folder holds another run, or none to resume, or cannot be written.
        TransferError: there is nothing in `transfer.transfer_from` that can be transferred.
        Terminated: a signal such as SIGTERM has ended training, after a checkpoint; a SystemExit.
    """
    folder = reopen_run_folder(settings.run.run_dir) if resume else claim_run_folder(settings.run.run_dir)
    with printed_messages(settings.run.quiet), locked_run_folder(folder):
        return _run(settings, folder, callbacks, resume)


def _run(settings: Settings, folder: Path, callbacks: Sequence[keras.callbacks.Callback], resume: bool) -> RunResult:
    """Does the work of `run`, in a folder that belongs to it."""
    started = time.monotonic()
    try:
        start = find_start(settings, folder) if resume else Start()
        vmc, reference, start = _prepare(settings, folder, start)
        training_started = time.monotonic()
        if not start.checkpoint:
            find_start_state(vmc, settings, bool(start.transfer))
    except BaseException:
        release_run_folder(folder)
        raise

    convergence = train(vmc, settings, folder, reference, callbacks, start)
    seconds_training = start.seconds + time.monotonic() - training_started

    save_weights(vmc.ansatz, folder / WEIGHTS_FILE, int(vmc.iteration))
    if settings.run.profile and vmc.stop_reason not in ("failed", "interrupted"):
        profile_run(vmc, folder, settings.system.title())
    stopped = f"stopped after {int(vmc.iteration)} iterations ({stop_words(vmc.stop_reason)})"
    logger.info(f"{stopped}; measuring the energy ...")
    target_error, max_seconds = settings.evaluation.target_error, settings.evaluation.evaluation_max_seconds
    measurement = vmc.evaluate_energy(target_error, max_seconds, relations=False)
    system = settings.system.model_dump()
    lower = not_the_ground_state(system, measurement.energy, measurement.energy_error, target_error)
    if lower and vmc.stop_reason != "failed":
        convergence = convergence.with_explanation(lower.reason)
    save_walkers(vmc, folder)
    seconds_total = start.seconds + time.monotonic() - started
    result = make_result(settings, vmc, reference, measurement, convergence, seconds_training, seconds_total)
    metrics = _read_metrics(folder)
    result, doubts = judged(result, settings, metrics, [lower] if lower else [])
    _write_result(result, settings, folder, metrics)
    write_measured(folder, result.n_iterations, result.energy, result.energy_error)
    logger.info(result_table(asdict(result)))
    logger.info("\n".join(closing_lines(result, doubts, settings, folder)))
    return result


def _prepare(settings: Settings, folder: Path, start: Start) -> tuple[VariationalMonteCarlo, Reference, Start]:
    """Does all that comes before training: settings written, objects built, reference computed, phases compiled."""
    replace_text(folder / CONFIG_FILE, to_toml(settings))
    keras.utils.set_random_seed(settings.run.seed)
    ansatz = build_ansatz(settings)
    transfer = None if start.checkpoint else start_weights(settings.transfer, ansatz)
    if start.checkpoint and settings.transfer.freeze_equivariant:
        freeze_equivariant_layers(ansatz)
    vmc = build_trainer(settings, build_system(settings), ansatz)
    logger.info(f"{settings.system.n_particles} fermions, {ansatz.count_params()} parameters; results go to {folder}")
    if settings.system.n_particles >= _MANY_PARTICLES and settings.ansatz.dtype == "float32":
        logger.info("the Slater matrices of so many particles are nearly singular: consider --dtype=float64")
    all_copied = transfer is not None and not transfer.drawn
    if transfer:
        walkers = carry_walkers(transfer.source, vmc) if all_copied else "drawn anew and burnt in"
        transfer = transfer._replace(walkers=walkers)
        start = start._replace(transfer=transfer._asdict())
        logger.info("\n".join(transfer.lines()))
    reference = find_reference(settings)
    logger.info(reference_line(reference))
    if not settings.system.trap:
        logger.info(no_trap_line(settings))
    with clock_beside("compiling ...", settings.run.quiet):
        vmc.warm_up()
    return vmc, reference, start


def train(
    vmc: VariationalMonteCarlo,
    settings: Settings,
    folder: Path,
    reference: Reference,
    more_callbacks: Sequence[keras.callbacks.Callback] = (),
    start: Start | None = None,
) -> Convergence:
    """Runs the training loop with checkpoints; Ctrl-C or a terminating signal ends it; what was reached is kept.

    Args:
        vmc: the compiled trainer.
        settings: all settings.
        folder: the run folder, for metrics and weights.
        reference: shown beside the energy.
        more_callbacks: called after those that the settings ask for.
        start: where it starts; None for the beginning.

    Returns:
        What early stopping found, when layers were released, and what was repaired.

    Raises:
        Terminated: by a signal, after a checkpoint.
    """
    start = start or Start()
    if start.checkpoint:
        clear_what_follows(start, folder)
    training, stopping = settings.training, settings.stopping
    criterion = make_criterion(**stopping.model_dump(exclude={"window", "restore_best"}))
    early_stopping = EnergyEarlyStopping(stopping.window, criterion, folder) if criterion else None
    best = RestoreBestWeights(stopping.window) if stopping.restore_best else None
    if early_stopping and training.iterations < early_stopping.earliest_iteration:
        logger.info(f"early stopping cannot act before iteration {early_stopping.earliest_iteration}")
    repair = RepairTraining(training.max_repairs, early_stopping)
    callbacks = [repair, RunLog(folder, reference.energy, to_toml(settings)), WeightsCheckpoint(folder / WEIGHTS_FILE)]
    release = _releasing(vmc, settings, early_stopping)
    callbacks += [callback for callback in (early_stopping, release, best) if callback]
    if training.max_seconds is not None:
        callbacks.append(TimeLimit(training.max_seconds, start.seconds))
    if not settings.run.quiet:
        callbacks.append(ProgressLine(training.iterations, reference.energy, start.iteration))
    with StopSignals() as signals:
        fit_from(start, vmc, settings, folder, [*callbacks, *more_callbacks, StopOnSignal(signals)])
    if signals.terminated_by is not None:
        raise Terminated(signals.terminated_by, f"{int(vmc.iteration)} iterations are done, --resume goes on")
    if vmc.stop_reason == "interrupted":
        logger.info("interrupted, --resume can go on; once more Ctrl-C leaves without measuring")
    explanation = blocking = None
    if early_stopping:
        logger.info(explanation := early_stopping.explanation())
        blocking = early_stopping.blocking_criteria
    restored, released = best and best.best_iteration, release and release.switched_at
    n_rejected = int(vmc.natural_gradient.n_rejected) if vmc.natural_gradient else 0
    faults = repair.n_repairs, repair.n_restarted, repair.non_finite_share, n_rejected
    return Convergence(repair.failure or explanation, blocking, restored, released, start.transfer, *faults)


def _releasing(
    vmc: VariationalMonteCarlo,
    settings: Settings,
    early_stopping: EnergyEarlyStopping | None,
) -> ReleaseLayers | None:
    """Returns the callback that releases the frozen layers, if they are to be released."""
    transfer = settings.transfer
    if not (transfer.release_at or transfer.release_when_converged):
        return None
    layers, at = vmc.ansatz.equivariant_layers, transfer.release_at or None
    return ReleaseLayers(layers, at, early_stopping, transfer.release_when_converged)


def _read_metrics(folder: Path) -> dict[str, np.ndarray]:
    """Returns the columns of `metrics.csv`; nothing where there are none, or they are not from this run."""
    try:
        return read_metrics(folder / METRICS_FILE) if (folder / METRICS_FILE).is_file() else {}
    except ValueError as error:
        logger.info(f"{PLOT_FILE} cannot be drawn: {error}")
        return {}


def _write_result(result: RunResult, settings: Settings, folder: Path, metrics: dict[str, np.ndarray]) -> None:
    replace_text(folder / RESULT_FILE, json.dumps(asdict(result), indent=2, allow_nan=False) + "\n")
    if not metrics:
        return
    measured = None if result.energy is None else (result.energy, result.energy_error)
    title = settings.system.title()
    plot_energy(metrics, result.reference_energy, folder / PLOT_FILE, title, measured=measured)
