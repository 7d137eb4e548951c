"""The reference energy of a finished run: that of its result, computed again, or found by diffusion."""

from __future__ import annotations

import logging

from tf_nqs.commands.finished_run import Request
from tf_nqs.config import Settings
from tf_nqs.exact import NO_REFERENCE, Reference
from tf_nqs.experiment import build as builders
from tf_nqs.storage.diffusion_result import read_diffusion
from tf_nqs.storage.run_folder import RunFolder

logger = logging.getLogger(__name__)


def reference_of(request: Request, settings: Settings, diffused: Reference | None = None) -> Reference:
    """Returns the reference energy of a run, as the setting `reference` says.

    exact is that in the run's `result.json`, or a new one, see `exact_reference_of`. diffusion is that in the run's
    `diffusion.json`. auto is the first of the two that there is.

    Args:
        request: what was asked for.
        settings: of the run, overridden by those of the command line.
        diffused: what `diffused_earlier` has returned, None to read it now.

    Raises:
        RunFolderError: diffusion.json cannot be read.
    """
    wanted = settings.evaluation.reference
    exact = exact_reference_of(request, settings) if wanted in ("auto", "exact") else NO_REFERENCE
    if exact.energy is not None or wanted in ("exact", "none"):
        return exact
    found = diffused_earlier(request.folder) if diffused is None else diffused
    if found.energy is None:
        logger.info(f"no exact reference{_advice(request, settings)}")
    return found


def _advice(request: Request, settings: Settings) -> str:
    """Returns which command can compute a reference, for the end of a line; empty if none can."""
    if not settings.system.has_trap:
        return ""
    if request.member is not None:
        return ": python -m tf_nqs.curve --reference=diffusion can compute one for members of a family"
    return f": python -m tf_nqs.diffuse --run_dir={request.folder} can compute one"


def diffused_earlier(folder: RunFolder) -> Reference:
    """Returns the energy in a run's `diffusion.json`, with energy None if there is no such file.

    Raises:
        RunFolderError: the file cannot be read.
    """
    found = read_diffusion(folder)
    return NO_REFERENCE if found is None else Reference(found[0], "diffusion", found[1])


def exact_reference_of(request: Request, settings: Settings) -> Reference:
    """Returns the exact energy in a run's `result.json`; a new one if there is none, or if more time is given for it.

    Args:
        request: what was asked for.
        settings: of the run, overridden by those of the command line.
    """
    keys = ("reference_energy", "reference_kind", "reference_uncertainty")
    earlier = request.folder.result_values
    is_known = earlier.get("reference_energy") is not None and earlier.get("reference_kind") != "diffusion"
    if is_known and "reference_max_seconds" not in request.overrides:
        return Reference._make(map(earlier.get, keys))
    return builders.find_reference(settings)
