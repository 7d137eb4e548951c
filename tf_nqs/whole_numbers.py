"""One check for all arguments that count something, and for those that measure something."""

from __future__ import annotations

import math
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
        raise ValueError(f"{name} = {_shown(value)}: must be an integer of at least {least}")
    return number


def finite_number(name: str, value: Any, above: float = -math.inf) -> float:
    """Returns a finite number as a float, whatever type it has.

    Args:
        name: of the argument, for the error.
        value: what it was given.
        above: the number must be larger than this.

    Raises:
        ValueError: it is no finite number, or not larger than `above`.
    """
    try:
        number = math.nan if isinstance(value, str) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not (math.isfinite(number) and number > above):
        limit = f" above {above:g}" if math.isfinite(above) else ""
        raise ValueError(f"{name} = {_shown(value)}: must be a finite number{limit}")
    return number


def _shown(value: Any) -> str:
    text = str(value)
    return text if len(text) < 30 and "\n" not in text else f"<{type(value).__name__}>"


def as_integer(value: Any) -> int | None:
    """Returns a whole number of any type as an int; None for any other value, also for True and False."""
    if isinstance(value, bool):
        return None
    try:
        return operator.index(value)
    except TypeError:
        is_whole = isinstance(value, numbers.Real) and float(value).is_integer()
        return int(value) if is_whole else None
