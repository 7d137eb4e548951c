"""The reference energy of a finished run: that of its result, or computed again."""

from __future__ import annotations

from tf_nqs.commands.finished_run import Request
from tf_nqs.config import Settings
from tf_nqs.exact import Reference
from tf_nqs.experiment import build as builders


def reference_of(request: Request, settings: Settings) -> Reference:
    """Returns the reference in the run's `result.json`; a new one if there is none, or if more time is given for it.

    Args:
        request: what was asked for.
        settings: of the run, overridden by those of the command line.
    """
    keys = ("reference_energy", "reference_kind", "reference_uncertainty")
    earlier = request.folder.result_values
    known = earlier.get("reference_energy") is not None and "reference_max_seconds" not in request.overrides
    return Reference._make(map(earlier.get, keys)) if known else builders.find_reference(settings)
