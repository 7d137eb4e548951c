"""The work of `python -m tf_nqs.observe`: measures the observables of a finished run. Loads TensorFlow."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tf_nqs.commands.finished_run import Request
from tf_nqs.commands.known_reference import exact_reference_of
from tf_nqs.commands.opened_run import OpenedRun, open_run, written_into
from tf_nqs.exact import exact_observables, wave_function_bytes
from tf_nqs.exact.observables import ExactObservables
from tf_nqs.measurement.evaluation import warm_up_measurement
from tf_nqs.observables import (
    NothingMeasuredError,
    Observables,
    file_entries,
    measure_observables,
    observables_table,
    plots,
)
from tf_nqs.observables.measure import Orbitals
from tf_nqs.physics.contact import why_no_errors
from tf_nqs.runtime.exit_status import WorkFailedError
from tf_nqs.storage.files import replace_file

logger = logging.getLogger(__name__)

_MOST_BYTES = 4 * 2**30
"""Maximum memory of the exact wave function on the grid: more could end the process before anything is written."""

_LARGEST_REMAINDER = 1e-2
"""Largest distance of the diagonalised state's energy from the reference, in hbar*omega, as for that one."""


class ObservedRun(NamedTuple):
    """What was measured of a run, and written into its folder.

    Attributes:
        observed: the observables.
        exact: those of the exact ground state; None where they are unknown, or not wanted.
        n_plots: number of pictures.
        why_not: why there are no exact ones; empty where this is no surprise.
    """

    observed: Observables
    exact: ExactObservables | None
    n_plots: int
    why_not: str


def observe_run(request: Request) -> None:
    """Measures the observables of a run, writes file and plots into its folder, prints a table.

    Raises:
        SettingsError: the run folder holds no run that can be read, or cannot be written.
        WorkFailedError: no sample is finite.
    """
    run = open_run(request)
    max_seconds = run.settings.evaluation.evaluation_max_seconds
    with run.workers.messages(run.settings.run.quiet):
        logger.info(f"measuring the observables of {request.subject()} for {max_seconds:g} seconds ...")
        with run.workers.scope():
            warm_up_measurement(run.vmc)
        found = measure_and_write(request, run)
        logger.info(observables_table(found.observed, found.exact))
        say_written(request, run, found)
        run.workers.wait()


def measure_and_write(request: Request, run: OpenedRun, orbitals: Orbitals | None = None) -> ObservedRun:
    """Measures the observables of a run, and writes file and plots into its folder; of several workers the chief does.

    Args:
        request: what was asked for.
        run: opened.
        orbitals: as of `measure_observables`.

    Raises:
        SettingsError: the training was continued meanwhile, or the folder cannot be written.
        WorkFailedError: no sample is finite.
    """
    try:
        with run.workers.scope():
            observed = measure_observables(
                run.vmc,
                run.settings.evaluation.evaluation_max_seconds,
                report=lambda samples, seconds: logger.info(f"{samples:,} samples in {seconds:.0f} s"),
                orbitals=orbitals,
            )
    except NothingMeasuredError as error:
        raise WorkFailedError(str(error)) from error
    if not run.workers.is_chief:
        return ObservedRun(observed, None, 0, "")
    exact, why_not = _exact(request, run, observed.x)

    def write(path: Path) -> None:
        with path.open("wb") as file:
            entries: dict[str, Any] = file_entries(observed, exact)
            if run.n_iterations is not None:
                entries["n_iterations"] = np.array(run.n_iterations)
            np.savez_compressed(file, **entries)

    with written_into(request, run):
        replace_file(request.folder.observables, write)
        folder, file_format = request.folder.observable_plots, request.own.get("format", "png")
        paths = plots.plot_observables(observed, exact, folder, run.title(), file_format)
    return ObservedRun(observed, exact, len(paths), why_not)


def say_written(request: Request, run: OpenedRun, found: ObservedRun) -> None:
    """Prints how much was measured, where it is, and warnings."""
    observed = found.observed
    logger.info(f"{observed.n_samples:,} samples; written: {request.folder.observables}, {found.n_plots} plots")
    if found.why_not:
        logger.info(f"warning: {found.why_not}")
    if why := why_no_errors(run.vmc.system.contact_exponent):
        logger.info(f"warning: {why}")
    if not observed.in_equilibrium:
        why_too_small = "the walkers were not in equilibrium, or their chains have not mixed"
        logger.info(f"warning: {why_too_small}: the errors are too small")


def _exact(request: Request, run: OpenedRun, x: Any) -> tuple[Any, str]:
    """Returns the exact observables on the grid, None where there are none or none are wanted, and the reason."""
    system = run.settings.system
    if run.settings.evaluation.reference_max_seconds == 0:
        return None, ""
    gaussian, is_free = system.gaussian(), system.named().is_free
    if system.trap != "harmonic" or not (gaussian or is_free):
        return None, "exact observables are known only for the Gaussian interaction in the harmonic trap"
    strength, width = (0.0, 1.0) if is_free else (system.interaction_strength, system.resolved()["interaction_range"])
    if wave_function_bytes(system.n_particles, len(x)) > _MOST_BYTES and strength:
        gibibytes = f"{_MOST_BYTES / 2**30:g} GiB"
        return None, f"the exact state on {len(x)} grid points needs more than {gibibytes}, and is left out"
    exact = exact_observables(system.n_particles, strength, width, x)
    if exact is None:
        return (
            None,
            f"exact observables are known only for 2 to 4 particles, not for n_particles = {system.n_particles}",
        )
    reference = exact_reference_of(request, run.settings).energy
    energy = exact.kinetic + exact.trap + exact.interaction
    if reference is None or abs(energy - reference) > _LARGEST_REMAINDER:
        return None, "the diagonalisation is not converged, so no exact observables are compared"
    return exact, ""
