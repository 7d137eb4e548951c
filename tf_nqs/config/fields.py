"""What a field of a section may hold, read off its annotation."""

from __future__ import annotations

import typing
from typing import Literal

from pydantic.fields import FieldInfo


def field_type(field: FieldInfo) -> type:
    """Returns the type of a field's values: bool, int, float or str."""
    if typing.get_origin(field.annotation) is Literal:
        return str
    (kind,) = {*(typing.get_args(field.annotation) or (field.annotation,))} - {type(None)}
    return kind


def field_allowed(field: FieldInfo) -> str:
    """Returns what a field may hold, as the end of a sentence that starts with 'must be'."""
    kind = field_type(field)
    if typing.get_origin(field.annotation) is Literal:
        choices = typing.get_args(field.annotation)
        return choices[0] if len(choices) == 1 else "one of " + ", ".join(choices)
    if kind is bool:
        return "true or false"
    if kind is str:
        return "non-empty text without control characters"
    bounds = {
        name: getattr(rule, name) for rule in field.metadata for name in ("ge", "le", "gt", "lt") if hasattr(rule, name)
    }
    if kind is int:
        return f"an integer from {bounds['ge']} to {bounds['le']}"
    words = {"gt": "above", "ge": "of at least", "lt": "below"}
    limits = [f"{word} {bounds[name]}" for name, word in words.items() if name in bounds]
    return " ".join(["a finite number", " and ".join(limits)]).strip()
