"""What rounding does to a measured energy."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np


def rounding_error(parts: Iterable[float], dtype: Any) -> float:
    """Returns what rounding may shift a mean local energy by, u (abs(kinetic) + abs(trap) + abs(interaction)).

    All walkers share a part of it, so it does not average out: eight fermions with harmonic pairs end 20 standard
    errors of 1.3e-8 below their exact energy of 51.3 in float32.

    Args:
        parts: mean kinetic, trap and interaction energy, in hbar*omega.
        dtype: floating-point type of the local energy, whose unit roundoff is u.
    """
    return 0.5 * float(np.finfo(np.dtype(dtype)).eps) * sum(abs(part) for part in parts)


def unreachable(target_error: float, parts: Iterable[float], dtype: Any) -> str | None:
    """Returns why an error below that of rounding cannot be reached, in words; None if it can.

    Args:
        target_error: in hbar*omega.
        parts: as in `rounding_error`.
        dtype: as in `rounding_error`.
    """
    rounding = rounding_error(parts, dtype)
    if rounding <= target_error:
        return None
    return f"target_error is out of reach in {dtype}: rounding alone may shift the energy by {rounding:.1g}"
