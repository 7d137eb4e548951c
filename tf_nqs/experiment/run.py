"""A whole run: settings -> objects -> training -> measurement -> run folder. The only place that knows everyone."""

from __future__ import annotations

import contextlib
import json
import logging
import time
from collections.abc import Sequence
from dataclasses import asdict

import keras
import numpy as np

from tf_nqs.analysis import plot_energy, read_metrics, result_table
from tf_nqs.analysis.conditions import members_table
from tf_nqs.analysis.words import stop_words
from tf_nqs.callbacks import save_weights
from tf_nqs.callbacks.events import write_measured
from tf_nqs.config import Settings, to_toml
from tf_nqs.config.shape import traced_shape
from tf_nqs.exact import NO_REFERENCE, Reference
from tf_nqs.execution.workers import Workers, joined
from tf_nqs.experiment.build import (
    build_ansatz,
    build_system,
    build_trainer,
    find_reference,
)
from tf_nqs.experiment.contact_zones import check_contact_zones
from tf_nqs.experiment.diffusion import reference_by_diffusion
from tf_nqs.experiment.ending import closing_lines, closing_lines_of_family, find_other_states, judged
from tf_nqs.experiment.fit import train
from tf_nqs.experiment.opening import opening_lines, reference_line, spread_line
from tf_nqs.experiment.preflight import (
    check_reference,
    check_spread,
    check_strategy,
    shared_text,
    with_units_of_source,
)
from tf_nqs.experiment.profiling import profile_run
from tf_nqs.experiment.result import make_result
from tf_nqs.experiment.share import Share
from tf_nqs.experiment.start import Start, find_start
from tf_nqs.experiment.transfer import freeze_equivariant_layers, save_walkers
from tf_nqs.runtime.compilation_cache import kept_file, publish
from tf_nqs.runtime.live import clock_beside
from tf_nqs.storage.files import replace_text
from tf_nqs.storage.result import RunResult
from tf_nqs.storage.run_folder import RunFolder
from tf_nqs.training import EnergyMeasurement, VariationalMonteCarlo

logger = logging.getLogger(__name__)


def run(settings: Settings, callbacks: Sequence[keras.callbacks.Callback] = (), resume: bool = False) -> RunResult:
    """Trains, measures and writes the run folder.

    Args:
        settings: all settings; `run.run_dir` is a new or an empty folder, None for a dated one in `runs/`.
        callbacks: more Keras callbacks for the training, called after those that the settings ask for.
        resume: whether to resume the run in `run.run_dir` from its last checkpoint.

    Returns:
        The entries of `result.json`.

    Raises:
        RunFolderError: the folder holds another run, or none to resume, or cannot be written.
        TransferError: there is nothing in `transfer.transfer_from` that can be transferred.
        Terminated: a signal such as SIGTERM has ended training, after a checkpoint; a SystemExit.
    """
    check_reference(settings)
    check_strategy(settings)
    workers = joined(settings.distribution)
    workers.check_same(shared_text(settings, resume))
    with contextlib.ExitStack() as until_the_end:
        until_the_end.enter_context(workers.messages(settings.run.quiet))

        def opened() -> RunFolder:
            folder = RunFolder.reopen(settings.run.run_dir) if resume else None
            if workers.is_chief:
                folder = folder or RunFolder.claim(settings.run.run_dir)
                until_the_end.enter_context(folder.locked())
            return folder or RunFolder(str(settings.run.run_dir))

        return run_in(workers.prepared(opened), settings, callbacks, resume, workers)


def run_in(
    folder: RunFolder,
    settings: Settings,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    resume: bool = False,
    workers: Workers | None = None,
) -> RunResult:
    """Does the work of `run` in a folder that this process has locked, or the chief of its workers; it alone writes."""
    started = time.monotonic()
    workers = workers or joined(settings.distribution)
    check_spread(settings, workers.n_replicas)
    check_contact_zones(settings)
    settings = with_units_of_source(settings, resume)
    start = find_start(settings, folder) if resume else Start()
    if workers.is_chief:
        replace_text(folder.config, to_toml(settings.filled()))
    with workers.scope():
        vmc = _build(settings)
        start = start.transferred(vmc, settings)
        logger.info("\n".join(opening_lines(settings, vmc.ansatz, folder)))
        if workers.strategy:
            logger.info(spread_line(settings, Share(workers.n_replicas, workers.n_own_replicas)))
        reference = _warm_up(vmc, settings, start, workers)
        publish()
        if not settings.is_family:
            logger.info(reference_line(reference, settings))
        training_started = time.monotonic()
        convergence = train(vmc, settings, folder, reference, start, callbacks)
        seconds_training = start.seconds + time.monotonic() - training_started

    if workers.is_chief:
        save_weights(vmc.ansatz, folder.weights, int(vmc.iteration.numpy()))
    if settings.run.profile and vmc.stop_reason not in ("failed", "interrupted"):
        profile_run(vmc, folder, settings.title())
    with workers.scope():
        measurement = None if settings.is_family else _measure(vmc, settings)
    if measurement is not None and workers.is_chief:
        save_walkers(vmc, folder)
        if settings.evaluation.reference == "diffusion":
            reference = reference_by_diffusion(vmc, settings, folder, measurement)
    seconds = seconds_training, start.seconds + time.monotonic() - started
    result = make_result(settings, vmc, reference, measurement, convergence, *seconds)
    if workers.is_chief:
        result = _write(result, settings, folder)
    workers.wait()
    return result


def _build(settings: Settings) -> VariationalMonteCarlo:
    """Returns the compiled trainer, its ansatz with random weights and with the layers frozen that are to be."""
    keras.utils.set_random_seed(settings.run.seed)
    ansatz = build_ansatz(settings)
    if settings.transfer.freeze_equivariant:
        freeze_equivariant_layers(ansatz)
    return build_trainer(settings, build_system(settings), ansatz)


def _warm_up(vmc: VariationalMonteCarlo, settings: Settings, start: Start, workers: Workers) -> Reference:
    """Prepares the start and compiles; meanwhile computes the reference, which it returns: none but on the chief."""
    references, shape = [], traced_shape(settings)
    is_kept = shape is not None and workers.strategy is None
    graphs = kept_file(f"{shape} {vmc.zone} {keras.config.floatx()}") if is_kept else None

    def meanwhile() -> None:
        is_exact = workers.is_chief and settings.evaluation.reference in ("auto", "exact")
        references.append(find_reference(settings) if is_exact else NO_REFERENCE)

    start.prepare(vmc, settings)
    with clock_beside("compiling ...", settings.run.quiet or not workers.is_chief):
        vmc.warm_up(meanwhile, graphs)
    return references[0]


def _measure(vmc: VariationalMonteCarlo, settings: Settings) -> EnergyMeasurement:
    """Measures the energy of the trained wave function."""
    stopped = f"stopped after {int(vmc.iteration.numpy())} iterations ({stop_words(vmc.stop_reason)})"
    logger.info(f"{stopped}; measuring the energy ...")
    evaluation = settings.evaluation
    return vmc.evaluate_energy(evaluation.target_error, evaluation.evaluation_max_seconds, relations=False)


def _write(result: RunResult, settings: Settings, folder: RunFolder) -> RunResult:
    """Writes the result with its verdict and the plot, and logs the table; returns the result."""
    metrics = _read_metrics(folder)
    if settings.is_family:
        closing = [members_table(result.members or []), *closing_lines_of_family(settings, folder.path)]
    else:
        result, doubts = judged(result, settings, metrics, find_other_states(result, settings))
        closing = closing_lines(result, doubts, settings, folder.path)
    entries = {name: value for name, value in asdict(result).items() if name != "members" or settings.is_family}
    replace_text(folder.result, json.dumps(entries, indent=2, allow_nan=False) + "\n")
    if metrics:
        measured = None if result.energy is None else (result.energy, result.energy_error)
        plot_energy(metrics, result.reference_energy, folder.plot, settings.title(), measured=measured)
    write_measured(folder.path, result.n_iterations, result.energy, result.energy_error)
    logger.info(result_table(entries))
    logger.info("\n".join(closing))
    return result


def _read_metrics(folder: RunFolder) -> dict[str, np.ndarray]:
    """Returns the columns of `metrics.csv`; none if the file does not exist or is damaged."""
    try:
        return read_metrics(folder.metrics) if folder.metrics.is_file() else {}
    except ValueError as error:
        logger.info(f"{folder.plot.name} cannot be drawn: {error}")
        return {}
