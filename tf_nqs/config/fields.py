"""Allowed values of a field of a section, read from its annotation."""

from __future__ import annotations

import typing
from collections.abc import Iterable, Mapping
from types import UnionType
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from tf_nqs.config.errors import SettingsError, must_be, must_be_given
from tf_nqs.config.section import of_python


class Forms(NamedTuple):
    """What a flag without a value means; a part of a field's annotation.

    `Annotated[Literal["harmonic", "none"], Forms("harmonic", "none")]` makes a flag that takes a value only as
    `--name=harmonic`. A field of true or false has `Forms(True, False)` by itself.

    Attributes:
        bare: value of `--name`.
        negated: value of `--noname`.
    """

    bare: Any
    negated: Any


def named_or_imported(names: Iterable[str], kind: str) -> dict[str, Any]:
    """Returns the arguments of `Field` for a text that is one of some names, or names something of the user's own.

    Args:
        names: that the package knows.
        kind: what `module:kind` names, "function" or "Class".
    """
    names = list(names)
    return {
        "pattern": rf"^({'|'.join(names)}|[^\W\d][\w.]*:[^\W\d][\w.]*)$",
        "json_schema_extra": {"allowed": f"one of {', '.join(names)}, or module:{kind}"},
    }


def _alternatives(field: FieldInfo) -> list[Any]:
    """Returns the types that a field's annotation joins, None left out."""
    is_union = typing.get_origin(field.annotation) in (UnionType, typing.Union)
    kinds = typing.get_args(field.annotation) if is_union else (field.annotation,)
    return [kind for kind in kinds if kind is not type(None)]


def field_type(field: FieldInfo) -> type:
    """Returns the type of a field's values: bool, int, float or str; str if it holds names and something else."""
    kinds = {str if typing.get_origin(kind) is Literal else kind for kind in _alternatives(field)}
    return kinds.pop() if len(kinds) == 1 else str


def field_allowed(field: FieldInfo) -> str:
    """Returns what a field may hold, as the end of a sentence that starts with 'must be'."""
    if isinstance(field.json_schema_extra, dict) and "allowed" in field.json_schema_extra:
        return str(field.json_schema_extra["allowed"])
    return ", or ".join(_allowed(kind, field) for kind in _alternatives(field))


def _allowed(kind: Any, field: FieldInfo) -> str:
    if typing.get_origin(kind) is Literal:
        choices = typing.get_args(kind)
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
    words = {"gt": "above", "ge": "of at least", "lt": "below", "le": "at most"}
    limits = [f"{word} {bounds[name]}" for name, word in words.items() if name in bounds]
    return " ".join(["a finite number", " and ".join(limits)]).strip()


def flag_forms(field: FieldInfo) -> Forms | None:
    """Returns what a field's flag means without a value; None if it always needs one."""
    declared = next((part for part in field.metadata if isinstance(part, Forms)), None)
    return Forms(True, False) if declared is None and field_type(field) is bool else declared


def from_text(field: FieldInfo, text: str) -> Any:
    """Returns the value that the text of a flag spells; the text itself, to be refused, if it spells none."""
    forms = flag_forms(field)
    if forms is not None and text.lower() in ("true", "false"):  # also what a flag without a value holds
        return forms.bare if text.lower() == "true" else forms.negated
    for number in (int, float) if field_type(field) in (int, float) else ():
        try:
            return number(text)
        except ValueError:
            continue
    return text


def checked_value(name: str, value: Any, field: FieldInfo) -> Any:
    """Returns a value in the type of its field, whatever the other settings are.

    Args:
        name: of the setting, for the error.
        value: what it was given.
        field: the field that it goes into.

    Raises:
        SettingsError: it is not allowed.
    """
    annotation: Any = Annotated[field.annotation, field]
    adapter: TypeAdapter[Any] = TypeAdapter(annotation, config=ConfigDict(strict=True, allow_inf_nan=False))
    try:
        if value is not None:
            return adapter.validate_python(of_python(value))
    except ValidationError as error:
        raise must_be(name, value, field_allowed(field)) from error
    raise must_be(name, value, field_allowed(field))


def first_problem(error: ValidationError, given: Mapping[str, Any], fields: Mapping[str, FieldInfo]) -> SettingsError:
    """Returns the error about the first thing that pydantic found wrong in a section, or in several.

    Args:
        error: what pydantic raised.
        given: name -> value of the settings that were given.
        fields: name -> field of the settings that there are.
    """
    problem = error.errors(include_url=False, include_input=False)[0]
    if problem["type"] == "value_error":  # from a model validator, which names the settings itself
        return SettingsError(str(problem["ctx"]["error"]))
    # A section may bear the name of a setting, which then comes first.
    name = next(str(part) for part in reversed(problem["loc"]) if part in fields)
    if name not in given:
        return must_be_given(name, field_allowed(fields[name]))
    return must_be(name, given[name], field_allowed(fields[name]))
