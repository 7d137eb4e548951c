"""The settings of checkpoints."""

from __future__ import annotations

from pydantic import Field

from tf_nqs import defaults
from tf_nqs.config.section import CountOrZero, Section


class CheckpointSettings(Section):
    """When the state of a training is saved, beside its start and its end."""

    checkpoint_minutes: float = Field(
        defaults.CHECKPOINT_MINUTES,
        ge=0,
        description="A checkpoint is written after so many minutes of training, and always at its start, at its end, "
        "and at Ctrl-C or SIGTERM; 0 for none by time.",
    )
    checkpoint_iterations: CountOrZero = Field(
        defaults.CHECKPOINT_ITERATIONS,
        description="A checkpoint is written at every multiple of this many iterations, too; 0 for none by iterations.",
    )
    checkpoints_kept: int = Field(
        defaults.CHECKPOINTS_KEPT,
        ge=1,
        le=1000,
        description="So many of the last checkpoints are kept; if the last one is damaged, the one before serves.",
    )
