"""The work of `python -m tf_nqs.diffuse`: the exact energy of a run's system. Loads TensorFlow."""

from __future__ import annotations

import logging

from tf_nqs.analysis import plot_energy, read_metrics
from tf_nqs.commands.finished_run import Request
from tf_nqs.commands.known_reference import exact_reference_of
from tf_nqs.config import settings_from
from tf_nqs.exact import NO_REFERENCE, Reference
from tf_nqs.experiment import build as builders
from tf_nqs.experiment.diffusion import Options, diffuse
from tf_nqs.storage.files import folder_errors

logger = logging.getLogger(__name__)


def diffuse_run(request: Request) -> None:
    """Computes the exact energy of a run's system, writes `diffusion.json` and plots, and prints tables.

    Raises:
        SettingsError: the run cannot be read, its wave function cannot guide, its potential is nowhere finite, or its
            folder cannot be written or holds another diffusion that was cut short.
        WorkFailedError: there is no energy after evaluation_max_seconds, or no walker with a finite energy is left.
    """
    run = builders.read_run(request.folder)
    settings = settings_from(request.folder.config, request.overrides)
    options = Options(**{name: request.own[name] for name in Options._fields if name in request.own})
    measured = request.folder.result_values
    is_wanted = settings.evaluation.reference in ("auto", "exact")
    reference = exact_reference_of(request, settings) if is_wanted else NO_REFERENCE
    found = diffuse(request.folder, run.of_one_system(), run.ansatz, settings, measured, reference, options)
    if reference.energy is None:
        _draw_beside_training(request, found)


def _draw_beside_training(request: Request, found: Reference) -> None:
    """Draws the plot of the training again, with the energy by diffusion where no other reference is known."""
    folder, result = request.folder, request.folder.result_values
    try:
        metrics = read_metrics(folder.metrics)
    except (OSError, ValueError):  # a run may lack them
        return
    measured = None if result.get("energy") is None else (result["energy"], result.get("energy_error"))
    title = folder.settings.system.title()
    with folder_errors("run_dir", folder.path):
        plot_energy(metrics, found.energy, folder.plot, title, measured=measured)
