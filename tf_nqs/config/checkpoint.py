"""The settings of checkpoints."""

from __future__ import annotations

from pydantic import Field

from tf_nqs import defaults
from tf_nqs.config.section import CountOrZero, Section


class CheckpointSettings(Section):
    """The times of checkpoints."""

    checkpoint_minutes: float = Field(
        defaults.CHECKPOINT_MINUTES,
        ge=0,
        description="Minutes between two checkpoints; 0 for none by time. One is always written at the start, at the "
        "end, on Ctrl-C and on a signal that ends the run, such as SIGTERM.",
    )
    checkpoint_iterations: CountOrZero = Field(
        defaults.CHECKPOINT_ITERATIONS,
        description="Iterations between two checkpoints, in addition to those by time; 0 for none by iterations.",
    )
    checkpoints_kept: int = Field(
        defaults.CHECKPOINTS_KEPT,
        ge=1,
        le=1000,
        description="Number of recent checkpoints to keep; if one is damaged, its predecessor is used.",
    )
