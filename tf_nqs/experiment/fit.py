"""One training with its callbacks: from its start to its end, to Ctrl-C or to a terminating signal."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Sequence

import keras

from tf_nqs.analysis import make_criterion
from tf_nqs.callbacks import (
    ConditionsLog,
    EnergyEarlyStopping,
    FamilyEarlyStopping,
    ProgressLine,
    ReleaseLayers,
    RepairTraining,
    RestoreBestWeights,
    RunCheckpoint,
    RunLog,
    StopOnSignal,
    TimeLimit,
    WeightsCheckpoint,
    resume_callbacks,
)
from tf_nqs.config import Settings, to_toml
from tf_nqs.config.resume import comparable
from tf_nqs.exact import Reference
from tf_nqs.execution.agreement import is_chief, numbers_together
from tf_nqs.experiment.resume import clear_what_follows
from tf_nqs.experiment.start import Start
from tf_nqs.runtime.signals import TERMINATING, StopSignals, Terminated
from tf_nqs.storage.result import Convergence
from tf_nqs.storage.run_folder import RunFolder
from tf_nqs.training import VariationalMonteCarlo

logger = logging.getLogger(__name__)


def train(
    vmc: VariationalMonteCarlo,
    settings: Settings,
    folder: RunFolder,
    reference: Reference,
    start: Start,
    more_callbacks: Sequence[keras.callbacks.Callback] = (),
) -> Convergence:
    """Trains with checkpoints until a limit, early stopping, Ctrl-C or a terminating signal.

    Args:
        vmc: the compiled trainer.
        settings: all settings.
        folder: for metrics, weights and checkpoints.
        reference: shown beside the energy.
        start: where training starts.
        more_callbacks: called after those that the settings ask for.

    Returns:
        Report of early stopping, of released layers and of rollbacks.

    Raises:
        Terminated: a signal such as SIGTERM ended training, after a checkpoint.
    """
    training, stopping = settings.training, settings.stopping
    early_stopping = _early_stopping(settings, folder)
    best = RestoreBestWeights(stopping.window) if stopping.restore_best else None
    if early_stopping and training.iterations < early_stopping.earliest_iteration:
        logger.info(f"early stopping cannot act before iteration {early_stopping.earliest_iteration}")
    repair = RepairTraining(training.max_repairs, early_stopping)
    callbacks = [repair, RunLog(folder.path, reference.energy, to_toml(settings)), WeightsCheckpoint(folder.weights)]
    release = _releasing(vmc, settings, early_stopping)
    conditions = ConditionsLog(folder.path) if settings.is_family else None
    callbacks += [callback for callback in (conditions, early_stopping, release, best) if callback]
    if training.max_seconds is not None:
        callbacks.append(TimeLimit(training.max_seconds, start.seconds))
    if not settings.run.quiet:
        callbacks.append(ProgressLine(training.iterations, reference.energy, start.iteration))
    with StopSignals() as signals:
        _fit(vmc, settings, folder, start, [*callbacks, *more_callbacks, StopOnSignal(signals)])
    if (terminated_by := _terminated_by(signals)) is not None:
        raise Terminated(terminated_by, f"{int(vmc.iteration.numpy())} iterations are done, --resume continues")
    if vmc.stop_reason == "interrupted":
        logger.info("interrupted, --resume can continue; Ctrl-C again skips the measurement")
    explanation = early_stopping and early_stopping.explanation()
    if explanation:
        logger.info(explanation)
    return Convergence(
        stop_explanation=repair.failure or explanation,
        blocking_criteria=early_stopping and early_stopping.blocking_criteria,
        restored_iteration=best and best.best_iteration,
        released_iteration=release and release.switched_at,
        transfer=start.transfer,
        n_repairs=repair.n_repairs,
        n_restarted=repair.n_restarted,
        non_finite_share_training=repair.non_finite_share,
        n_rejected=int(vmc.natural_gradient.n_rejected.numpy()) if vmc.natural_gradient else 0,
        members=conditions and conditions.members,
    )


def _terminated_by(signals: StopSignals) -> int | None:
    """Returns the signal that has terminated this process or another one of the training; None if none has."""
    found = numbers_together([signals.terminated_by == number for number in TERMINATING])
    return next((number for number, count in zip(TERMINATING, found, strict=True) if count), None)


def _early_stopping(settings: Settings, folder: RunFolder) -> EnergyEarlyStopping | None:
    """Returns the callback that ends training once a system, or a family of them, has converged; None for none."""
    stopping = settings.stopping
    criterion = make_criterion(**stopping.model_dump(exclude={"window", "restore_best"}))
    if criterion is None:
        return None
    if settings.is_family:
        return FamilyEarlyStopping(stopping.window, criterion, folder.path, settings.system.interaction)
    return EnergyEarlyStopping(stopping.window, criterion, folder.path)


def _releasing(
    vmc: VariationalMonteCarlo, settings: Settings, early_stopping: EnergyEarlyStopping | None
) -> ReleaseLayers | None:
    """Returns the callback that releases the frozen layers; None if they are to stay frozen."""
    transfer = settings.transfer
    if not (transfer.release_at or transfer.release_when_converged):
        return None
    layers, at = vmc.ansatz.equivariant_layers, transfer.release_at or None
    return ReleaseLayers(layers, at, early_stopping, transfer.release_when_converged)


def _fit(
    vmc: VariationalMonteCarlo,
    settings: Settings,
    folder: RunFolder,
    start: Start,
    callbacks: Sequence[keras.callbacks.Callback],
) -> None:
    """Trains from a start, with checkpoints; if training is over, only calls the callbacks' end."""
    iterations, checkpoints = settings.training.iterations, settings.checkpoint
    saving = RunCheckpoint(
        folder.checkpoints,
        iterations,
        callbacks,
        {"settings": comparable(settings), "transfer": start.transfer},
        checkpoints.checkpoint_minutes,
        checkpoints.checkpoint_iterations,
        checkpoints.checkpoints_kept,
        start.checkpoint,
    )
    everything = [*callbacks, saving]
    if start.checkpoint:
        if is_chief():
            clear_what_follows(folder, start.iteration, start.is_over)
        vmc.place_walkers(vmc.walkers, burn_in=False)  # the checkpoint restores burnt-in walkers when training begins
        resume_callbacks(callbacks, start.checkpoint.facts["callbacks"])
    if start.checkpoint is None or not start.is_over:
        try:
            vmc.fit(iterations, callbacks=everything, done=start.iteration)
        except BaseException:
            _close(callbacks)
            raise
        return
    hooks = keras.callbacks.CallbackList(everything, model=vmc)
    hooks.on_train_begin()
    ended_by = "iterations" if start.iteration >= iterations else "time_limit"
    vmc.stop(start.checkpoint.facts["stop_reason"] or ended_by)
    hooks.on_train_end()
    if vmc.optimizer.use_ema:  # as Keras' fit does at its end
        vmc.optimizer.finalize_variable_values(vmc.ansatz.trainable_variables)


def _close(callbacks: Sequence[keras.callbacks.Callback]) -> None:
    """Closes files and the progress line after an error, which Keras does not report to callbacks."""
    for callback in callbacks:
        if isinstance(callback, ProgressLine | RunLog | ConditionsLog):
            with contextlib.suppress(OSError):  # of a full disk, which is being reported already
                callback.close()
