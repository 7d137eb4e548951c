"""The settings of scheduled re-weighting."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from tf_nqs import defaults
from tf_nqs.config.section import Count, Section


class ReweightingSettings(Section):
    """When samples are drawn anew, and when those at hand are re-weighted."""

    resampling: Literal["every_iteration", "thesis", "guarded"] = Field(
        defaults.RESAMPLING,
        description="When samples are drawn: in every iteration, by the schedule of the thesis, or (guarded) by one "
        "that also keeps the weights of reused samples even, and does not let the network be fitted to them.",
    )
    sensitivity: float = Field(
        defaults.SENSITIVITY,
        gt=0,
        description="Width s of the Gaussian that measures how far the ratios R are from 1; a small one samples often.",
    )
    longest_wait: Count = Field(
        defaults.LONGEST_WAIT, description="Iterations that samples serve while the wave function does not change."
    )
    shortest_wait: Count = Field(
        defaults.SHORTEST_WAIT, description="Iterations that samples serve where it has changed entirely."
    )
    cut_off: float = Field(
        defaults.CUT_OFF,
        ge=0,
        description="Thesis: samples are drawn anew once the mean of R is further than this from 1; 0 for no cut-off.",
    )
    least_effective_fraction: float = Field(
        defaults.LEAST_EFFECTIVE_FRACTION,
        ge=0,
        lt=1,
        description="Guarded: samples are drawn anew once the effective ones are a smaller share of all.",
    )
    largest_weight: float = Field(
        defaults.LARGEST_WEIGHT,
        gt=1,
        description="Guarded: samples are drawn anew once a walker's weight exceeds this many times the mean weight.",
    )
    largest_fall: float = Field(
        defaults.LARGEST_FALL,
        gt=0,
        description="Guarded: samples are drawn anew once their energy has fallen by more than this many errors.",
    )

    @model_validator(mode="after")
    def _must_be_in_order(self) -> ReweightingSettings:
        """The schedule falls from the longest wait to the shortest."""
        if self.longest_wait < self.shortest_wait:
            raise ValueError(
                f"shortest_wait = {self.shortest_wait} contradicts longest_wait = {self.longest_wait}: "
                "it must not be longer"
            )
        return self
