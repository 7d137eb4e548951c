"""Checks of the arguments that all reference methods share."""

import math
import numbers

from tf_nqs.whole_numbers import as_integer


def check_n_particles(n_particles: int) -> int:
    """Returns `n_particles` as an int.

    Args:
        n_particles: number of fermions.

    Returns:
        The same number as a plain int.

    Raises:
        ValueError: if it is not an integer >= 1.
    """
    number = as_integer(n_particles)
    if number is None or number < 1:
        raise ValueError(f"n_particles must be an integer >= 1, got {n_particles!r}.")
    return number


def check_finite(name: str, value: float) -> float:
    """Returns `value` as a float; refuses one that is not finite.

    Args:
        name: the argument's name, for the message.
        value: a real number.

    Returns:
        The same number as a plain float.

    Raises:
        ValueError: if it is not a finite real number.
    """
    if not isinstance(value, numbers.Real) or not math.isfinite(value):
        raise ValueError(f"{name} must be a finite real number, got {value!r}.")
    return float(value)


def check_positive(name: str, value: float) -> float:
    """Returns `value` as a float; refuses one that is not positive.

    Args:
        name: the argument's name, for the message.
        value: a real number.

    Returns:
        The same number as a plain float.

    Raises:
        ValueError: if it is not a finite real number > 0.
    """
    if not isinstance(value, numbers.Real) or not math.isfinite(value) or value <= 0:
        raise ValueError(f"{name} must be a finite real number > 0, got {value!r}.")
    return float(value)
