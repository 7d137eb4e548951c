"""The settings of scheduled re-weighting."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from tf_nqs import defaults
from tf_nqs.config.section import Count, Section


class ReweightingSettings(Section):
    """The schedule of new samples; in between, the current samples are re-weighted."""

    resampling: Literal["every_iteration", "thesis", "guarded"] = Field(
        defaults.RESAMPLING,
        description="When new samples are drawn: in every iteration, by the schedule of the thesis, or by that "
        "schedule with limits on uneven weights and on fitting the network to the samples (guarded).",
    )
    sensitivity: float = Field(
        defaults.SENSITIVITY,
        gt=0,
        description="Width s of the Gaussian that measures how far the ratios R are from 1; a smaller width samples "
        "more often.",
    )
    longest_wait: Count = Field(
        defaults.LONGEST_WAIT,
        description="Maximum number of iterations that share samples, used while the wave function does not change.",
    )
    shortest_wait: Count = Field(
        defaults.SHORTEST_WAIT,
        description="Minimum number of iterations that share samples, used when the wave function has changed "
        "entirely.",
    )
    cut_off: float = Field(
        defaults.CUT_OFF,
        ge=0,
        description="Thesis: maximum distance of the mean ratio R from 1 before new samples are drawn; 0 for no limit.",
    )
    least_effective_fraction: float = Field(
        defaults.LEAST_EFFECTIVE_FRACTION,
        ge=0,
        lt=1,
        description="Guarded: minimum share of effective samples before new samples are drawn.",
    )
    largest_weight: float = Field(
        defaults.LARGEST_WEIGHT,
        gt=1,
        description="Guarded: maximum weight of a walker, in multiples of the mean weight, before new samples are "
        "drawn.",
    )
    largest_fall: float = Field(
        defaults.LARGEST_FALL,
        gt=0,
        description="Guarded: maximum fall of the energy on the same samples, in standard errors, before new samples "
        "are drawn.",
    )

    @model_validator(mode="after")
    def _must_be_in_order(self) -> ReweightingSettings:
        """Refuses a shortest wait above the longest one."""
        if self.longest_wait < self.shortest_wait:
            raise ValueError(
                f"shortest_wait = {self.shortest_wait} contradicts longest_wait = {self.longest_wait}: "
                "it must not be longer"
            )
        return self
