"""The settings of the walkers."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tf_nqs import defaults
from tf_nqs.config.section import LARGEST_COUNT, Count, CountOrZero, Section
from tf_nqs.whole_numbers import FEWEST_WALKERS


class SamplingSettings(Section):
    """The walkers."""

    sampler: Literal["metropolis", "mala"] = Field(
        defaults.SAMPLER,
        description="How walkers move: by a random walk (metropolis), or along the gradient of |Psi|^2 (mala).",
    )
    n_walkers: int = Field(
        defaults.N_WALKERS, ge=FEWEST_WALKERS, le=LARGEST_COUNT, description="Number of Markov chains."
    )
    n_steps: Count = Field(
        defaults.N_STEPS, description="Metropolis steps per iteration, and between two samples of a measurement."
    )
    n_burn_in: CountOrZero = Field(
        defaults.N_BURN_IN, description="Metropolis steps before the first iteration, and before a measurement."
    )
    proposal_width: float = Field(
        defaults.PROPOSAL_WIDTH,
        gt=0,
        description="Initial standard deviation of the proposed moves in units of a_ho; training adapts it.",
    )
    target_acceptance: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="Acceptance to which the proposal width is adapted; default: "
        + ", ".join(f"{share:g} for {name}" for name, share in defaults.TARGET_ACCEPTANCE.items())
        + ".",
    )
    global_moves: bool = Field(
        defaults.GLOBAL_MOVES,
        description="Add one independence proposal per iteration, so that walkers cross nodes.",
    )
    stuck_steps: CountOrZero = Field(
        defaults.STUCK_STEPS,
        description="Number of steps without a move after which a walker restarts at the position of another one; "
        "0 for never.",
    )
    sampling_dtype: Literal["ansatz", "float32", "float64"] = Field(
        defaults.SAMPLING_DTYPE,
        description="Floating-point type of sampling; float32 speeds up runs with dtype = float64.",
    )
