"""The settings of a run as a whole."""

from __future__ import annotations

from pydantic import Field

from tf_nqs import defaults
from tf_nqs.config.section import Section


class RunSettings(Section):
    """The seed, the run folder and the output."""

    seed: int = Field(defaults.SEED, ge=0, le=2**31 - 1, description="Seed of all random numbers.")
    run_dir: str | None = Field(
        None,
        min_length=1,
        pattern=r"^[^\x00-\x1f\x7f]+$",
        description="New folder for the results; default: a dated one in runs/.",
    )
    quiet: bool = Field(False, description="Print only errors.")
    profile: bool = Field(
        False,
        description="Measure the time of each phase of an iteration after training; writes profile.csv, profile.png.",
    )
