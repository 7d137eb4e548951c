"""The base class of all sections of the settings."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

LARGEST_COUNT = 10**9  # far above any real run, and below what int32 counters hold
Count = Annotated[int, Field(ge=1, le=LARGEST_COUNT)]
CountOrZero = Annotated[int, Field(ge=0, le=LARGEST_COUNT)]


class Section(BaseModel):
    """Base of all sections: immutable, no unknown keys, no silent conversions, no NaN, no infinity.

    NumPy scalars are converted to Python numbers, paths to text.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, validate_default=True, hide_input_in_errors=True
    )

    @model_validator(mode="before")
    @classmethod
    def _values_of_python(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        return {name: of_python(value) for name, value in values.items()}


def of_python(value: Any) -> Any:
    """Returns a scalar of NumPy as a number of Python, a path as its text, and anything else as it is."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    is_scalar = getattr(value, "shape", None) == () and hasattr(value, "item")  # NumPy itself need not be loaded
    return value.item() if is_scalar else value
