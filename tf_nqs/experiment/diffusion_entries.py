"""What a diffusion has observed, as entries of `diffusion.json`."""

from __future__ import annotations

from typing import Any

import numpy as np

from tf_nqs.analysis.notation import finite_or_none
from tf_nqs.diffusion import DiffusionEnergy, Look, observed_by
from tf_nqs.diffusion.time_step import forward_time
from tf_nqs.types import Estimate


def observable_entries(look: Look, result: DiffusionEnergy) -> dict[str, Any]:
    """Returns the entries `observables`, `density` and `forward_time`; None for numbers that are not known.

    Args:
        look: what was observed.
        result: of the diffusion that observed it.
    """
    assert result.mixed is not None and result.forward is not None
    both = {"forward": observed_by(look, result.forward), "mixed": observed_by(look, result.mixed)}
    observables: dict[str, Any] = {}
    for name in ("rms_size", "trap", "interaction", "pair_distance"):
        if getattr(both["mixed"], name) is not None:
            observables[name] = _entry({how: getattr(found, name) for how, found in both.items()})
    density = _entry({how: found.density for how, found in both.items()})
    return {
        "observables": observables,
        "density": {"x": both["mixed"].x.tolist(), **density},
        "forward_time": [forward_time(one.time_step) for one in result.time_steps],
    }


def _entry(found: dict[str, Estimate]) -> dict[str, Any]:
    numbers: dict[str, Any] = {}
    for how, one in found.items():
        numbers |= {how: _plain(one.value), f"{how}_error": _plain(one.error)}
    return numbers


def _plain(values: Any) -> Any:
    if np.ndim(values):
        return [finite_or_none(float(value)) for value in values]
    return finite_or_none(float(values))
