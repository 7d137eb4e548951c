"""The choice of a sampler by its name."""

from __future__ import annotations

from typing import Any

from tf_nqs.sampling.langevin import MetropolisAdjustedLangevin
from tf_nqs.sampling.metropolis import MetropolisHastings
from tf_nqs.sampling.sampler import Sampler

SAMPLERS: dict[str, type[Sampler]] = {kind.name: kind for kind in (MetropolisHastings, MetropolisAdjustedLangevin)}
"""Name -> class."""


def make_sampler(sampler: str, **arguments: Any) -> Sampler:
    """Returns a sampler.

    Args:
        sampler: a key of `SAMPLERS`.
        **arguments: of `Sampler`.

    Raises:
        ValueError: there is no such sampler, or an argument is out of its range.
    """
    if sampler not in SAMPLERS:
        raise ValueError(f"sampler = {sampler!r}: must be one of {', '.join(SAMPLERS)}")
    return SAMPLERS[sampler](**arguments)
