"""Translation between the search space of a config and keras-tuner's hyperparameters."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import keras_tuner

from tf_nqs.config.search import Choices, Range
from tf_nqs.config.settings import value_type

_DIGITS = 4
"""Significant digits of a value drawn from a range; more would be hard to read."""


def declare(hyperparameters: keras_tuner.HyperParameters, space: Mapping[str, Range | Choices]) -> None:
    """Declares every searched setting, under its own name.

    Args:
        hyperparameters: receives the declarations.
        space: setting -> its range or choices.
    """
    for setting, dimension in space.items():
        if isinstance(dimension, Choices):
            # As texts: keras-tuner would turn true and false into 1 and 0.
            hyperparameters.Choice(setting, [json.dumps(choice) for choice in dimension.choices])
        else:
            kind = hyperparameters.Int if value_type(setting) is int else hyperparameters.Float
            kind(setting, dimension.low, dimension.high, step=dimension.step, sampling=dimension.scale)


def values_of(hyperparameters: keras_tuner.HyperParameters, space: Mapping[str, Range | Choices]) -> dict[str, Any]:
    """Returns setting -> value of one trial, in the types of the settings.

    Args:
        hyperparameters: of the trial.
        space: setting -> its range or choices.
    """
    return {setting: _value(hyperparameters.get(setting), setting, dimension) for setting, dimension in space.items()}


def _value(drawn: Any, setting: str, dimension: Range | Choices) -> Any:
    if isinstance(dimension, Choices):
        return json.loads(drawn)
    if value_type(setting) is int:
        return min(int(drawn), int(dimension.high))  # at the end of a logarithmic range keras-tuner draws one more
    return min(max(float(f"{drawn:.{_DIGITS}g}"), dimension.low), dimension.high)
