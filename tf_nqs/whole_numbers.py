"""The check of all arguments that are counts."""

from __future__ import annotations

import numbers
import operator
from typing import Any

FEWEST_WALKERS = 2
"""With a single walker the gradient of the energy is zero, and its error is unknown."""


def whole_number(name: str, value: Any, least: int = 0) -> int:
    """Returns a whole number of any type as an int: 2, `numpy.int64(2)`, 2.0 and a tensor of 2 are equal.

    Args:
        name: name of the argument, for the error.
        value: its value.
        least: minimum value.

    Raises:
        ValueError: the value is no whole number, or below `least`.
    """
    number = as_integer(value)
    if number is None or number < least:
        text = str(value)
        shown = text if len(text) < 30 and "\n" not in text else f"<{type(value).__name__}>"
        raise ValueError(f"{name} = {shown}: must be an integer of at least {least}")
    return number


def as_integer(value: Any) -> int | None:
    """Returns a whole number of any type as an int; None for any other value, also for True and False."""
    if isinstance(value, bool):
        return None
    try:
        return operator.index(value)
    except TypeError:
        is_whole = isinstance(value, numbers.Real) and float(value).is_integer()
        return int(value) if is_whole else None
