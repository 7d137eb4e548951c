"""`python -m tf_nqs.observe --run_dir=runs/a4`: densities, correlations and occupations of a finished run.

Exit status: 0 measured, 2 bad input, 3 no finite sample, 130 interrupted.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

from tf_nqs.commands.run_command import (
    Choice,
    Command,
    OpenedRun,
    Request,
    main,
    open_run,
    probe_folder,
    write_beside,
    write_plots,
)
from tf_nqs.runtime.exit_status import WorkFailedError
from tf_nqs.runtime.terminal import printed_messages
from tf_nqs.storage.run_folder import OBSERVABLES_FILE, OBSERVABLES_FOLDER

logger = logging.getLogger(__name__)

_MOST_BYTES = 4 * 2**30
"""Of the exact wave function on the grid: an attempt at more could end with nothing written."""

_LARGEST_REMAINDER = 1e-2
"""Largest distance of the diagonalised state's energy from the reference, in hbar*omega, as for that one."""


def observe_run(request: Request) -> None:
    """Measures the observables of a run, writes file and plots into its folder, prints a table.

    Raises:
        SettingsError: the run folder holds no run that can be read, or cannot be written.
        WorkFailedError: no sample is finite.
    """
    probe_folder(request.run_dir, OBSERVABLES_FOLDER)
    run = open_run(request)
    with printed_messages(run.settings.run.quiet):
        _measure(run, request)


def _measure(run: OpenedRun, request: Request) -> None:
    import numpy as np

    from tf_nqs.execution.compilation import warm_up
    from tf_nqs.observables import NothingMeasuredError, file_entries, measure_observables, observables_table
    from tf_nqs.observables.plots import plot_observables

    max_seconds = run.settings.evaluation.evaluation_max_seconds
    logger.info(f"measuring the observables of {run.folder} for {max_seconds:g} seconds ...")
    warm_up(((run.vmc.phases.local_energy, (run.vmc.walkers.positions,)), (run.vmc.phases.sample, (run.vmc.walkers,))))
    try:
        observed = measure_observables(
            run.vmc, max_seconds, report=lambda samples, seconds: logger.info(f"{samples:,} samples in {seconds:.0f} s")
        )
    except NothingMeasuredError as error:
        raise WorkFailedError(str(error)) from error
    exact, why_not = _exact(run, observed.x)

    def write(path: Path) -> None:
        with path.open("wb") as file:
            entries: dict[str, Any] = file_entries(observed, exact)
            if run.n_iterations is not None:
                entries["n_iterations"] = np.array(run.n_iterations)
            np.savez_compressed(file, **entries)

    write_beside(run.folder / OBSERVABLES_FILE, write)
    file_format = request.choices["format"]
    plots = run.folder / OBSERVABLES_FOLDER
    paths = write_plots(plots, lambda folder: plot_observables(observed, exact, folder, run.title(), file_format))
    logger.info(observables_table(observed, exact))
    logger.info(f"{observed.n_samples:,} samples; written: {run.folder / OBSERVABLES_FILE}, {len(paths)} plots")
    if why_not:
        logger.info(f"warning: {why_not}")
    if not observed.in_equilibrium:
        why_too_small = "the walkers were not in equilibrium, or their chains have not mixed"
        logger.info(f"warning: {why_too_small}: the errors are too small")


def _exact(run: OpenedRun, x: Any) -> tuple[Any, str]:
    """Returns the exact observables on the grid, None where there are none or none are wanted, and why not."""
    from tf_nqs.exact import exact_observables, wave_function_bytes
    from tf_nqs.experiment.build import find_reference

    system = run.settings.system
    if not system.trap or run.settings.evaluation.reference_max_seconds == 0:
        return None, ""
    if wave_function_bytes(system.n_particles, len(x)) > _MOST_BYTES and system.interaction_strength:
        return None, f"the exact state on {len(x)} places needs more than {_MOST_BYTES / 2**30:g} GiB, and is left out"
    exact = exact_observables(system.n_particles, system.interaction_strength, system.interaction_range, x)
    if exact is None:
        return None, ""
    reference = run.result.get("reference_energy") or find_reference(run.settings).energy
    energy = exact.kinetic + exact.trap + exact.interaction
    if reference is None or abs(energy - reference) > _LARGEST_REMAINDER:
        return None, "the diagonalisation is not converged: there is nothing exact to compare with"
    return exact, ""


COMMAND = Command(
    usage="""\
Measures densities, correlations and natural occupations of a finished run, with its weights frozen.

usage: python -m tf_nqs.observe --run_dir=RUN_FOLDER [--setting=value ...]
example: python -m tf_nqs.observe --run_dir=runs/a4 --evaluation_max_seconds=60""",
    leaves=("evaluation_max_seconds", "reference_max_seconds", "seed", "quiet"),
    outcome="""\
Measures for evaluation_max_seconds after a burn-in that is checked. Writes RUN_FOLDER/observables.npz: density,
one_body_density_matrix, occupations, pair_density, pair_distribution, distribution_of_distance, rms_size, entropy,
kinetic, trap and interaction, each with its _error; x, r, natural_orbitals, occupations_left_out, n_iterations,
in_equilibrium, and exact_... where there is an exact solution (A = 2 to 4, and free fermions; reference_max_seconds=0
leaves it out); and a plot of each in RUN_FOLDER/observables/, which replaces earlier ones in any format. See
docs/observables.md.""",
    work=observe_run,
    choices={"format": Choice("Format of the plots.", ("png", "pdf", "svg"))},
)


def entry_point() -> None:
    """Runs the command of the process and exits with its status."""
    sys.exit(main(COMMAND))


if __name__ == "__main__":
    entry_point()
