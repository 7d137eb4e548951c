"""The reference energy of a finished run: that of its result, computed again, or found by diffusion."""

from __future__ import annotations

import logging

from tf_nqs.commands.finished_run import Request
from tf_nqs.config import Settings
from tf_nqs.exact import Reference
from tf_nqs.experiment import build as builders
from tf_nqs.storage.diffusion_result import read_diffusion

logger = logging.getLogger(__name__)

_NONE = Reference(None, "none", None)


def reference_of(request: Request, settings: Settings, wanted: str = "exact") -> Reference:
    """Returns the reference energy of a run.

    Args:
        request: what was asked for.
        settings: of the run, overridden by those of the command line.
        wanted: exact: that in the run's `result.json`; a new one if there is none, or if more time is given for it.
            diffusion: that in the run's `diffusion.json`. auto: the first of the two that there is. none.

    Raises:
        RunFolderError: diffusion.json cannot be read.
    """
    exact = _exact(request, settings) if wanted in ("auto", "exact") else _NONE
    if exact.energy is not None or wanted in ("exact", "none"):
        return exact
    found = read_diffusion(request.folder)
    if found is None:
        logger.info(f"no exact reference: python -m tf_nqs.diffuse --run_dir={request.folder} can compute one")
        return _NONE
    return Reference(found[0], "diffusion", found[1])


def _exact(request: Request, settings: Settings) -> Reference:
    keys = ("reference_energy", "reference_kind", "reference_uncertainty")
    earlier = request.folder.result_values
    known = earlier.get("reference_energy") is not None and "reference_max_seconds" not in request.overrides
    return Reference._make(map(earlier.get, keys)) if known else builders.find_reference(settings)
