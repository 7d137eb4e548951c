"""The settings of the final measurement."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tf_nqs import defaults
from tf_nqs.config.section import Section


class EvaluationSettings(Section):
    """The final measurement and its reference."""

    target_error: float = Field(
        defaults.TARGET_ERROR,
        gt=0,
        description="Standard error to which the final energy is measured, in units of hbar*omega.",
    )
    evaluation_max_seconds: float = Field(
        defaults.EVALUATION_MAX_SECONDS, gt=0, description="Maximum time for measuring the final energy, in seconds."
    )
    reference: Literal["auto", "exact", "diffusion", "none"] = Field(
        defaults.REFERENCE,
        description="Energy that the measured one is compared with: the exact one (exact), one by diffusion Monte "
        "Carlo after training (diffusion), or none. auto takes the exact one if there is one.",
    )
    reference_max_seconds: float = Field(
        defaults.REFERENCE_MAX_SECONDS,
        ge=0,
        description="Maximum time for computing a reference energy by diagonalisation, in seconds; 0 for no "
        "diagonalisation.",
    )
