"""Notation of a number and its uncertainty."""

from __future__ import annotations

import math

MAX_DECIMALS = 12
"""An energy of the order of ten has no more correct decimals in float64."""

LARGEST_PLAIN_NUMBER = 1e9
"""Larger energies, which only a diverged run has, are written with an exponent."""


def format_with_error(value: float | None, error: float | None) -> str:
    """Returns a number in the compact notation: the uncertainty of the last digits in parentheses.

    The uncertainty has two digits, and the value ends at the same decimal: 10.8916(13), 123.4(2.3), 1230(250). An exact
    value (error 0) is written with "(0)". With an unknown error (None, nan, inf) the value has six decimals and no
    parentheses; an unknown value gives "-". An error too small for float64 is rounded up to the last decimal that
    float64 resolves.

    Args:
        value: the number, in any unit.
        error: its standard error in the same unit, not negative.

    Returns:
        The text, in ASCII.

    Raises:
        ValueError: if the error is negative.

    Example:
        >>> format_with_error(10.89163, 0.00134)
        '10.8916(13)'
    """
    text, error_text = round_to_error(value, error)
    if error_text is None:
        return text
    if "." in error_text and float(error_text) < 1.0:
        error_text = error_text.replace(".", "").lstrip("0") or "0"
    return f"{text}({error_text})"


def round_to_error(value: float | None, error: float | None) -> tuple[str, str | None]:
    """Returns value and error as decimal numbers that end at the second digit of the error; see `format_with_error`.

    Args:
        value: the number, in any unit.
        error: its standard error in the same unit, not negative.

    Returns:
        Their texts, e.g. ("10.8916", "0.0013"); the second is None if the error is unknown.

    Raises:
        ValueError: if the error is negative.
    """
    if value is None or not math.isfinite(value):
        return "-", None
    if error is not None and error < 0.0:
        raise ValueError(f"error = {error}: must not be negative")
    if abs(value) >= LARGEST_PLAIN_NUMBER:
        return f"{value:.6g}", f"{error:.2g}" if error is not None and math.isfinite(error) else None
    if error is None or not math.isfinite(error):
        return f"{value:.6f}", None
    if error == 0.0:
        return f"{value:.6f}", "0"
    # Formatting with two digits first carries 0.00996 to 0.010, so that the exponent is that of the rounded error.
    last_decimal = 1 - int(f"{error:.1e}".split("e")[1])
    decimals = min(last_decimal, MAX_DECIMALS)
    shown_error = max(round(error, decimals), 10.0**-decimals)
    shown_value = round(value, decimals) + 0.0  # + 0.0 turns -0.0 into 0.0
    return f"{shown_value:.{max(decimals, 0)}f}", f"{shown_error:.{max(decimals, 0)}f}"


def finite_or_none(value: float | None) -> float | None:
    """Returns the value, or None where it is not finite: JSON has no NaN, and a picture has no place for it."""
    return value if value is not None and math.isfinite(value) else None
