"""Optimisers by name."""

from __future__ import annotations

from typing import Any

import keras

from tf_nqs import defaults
from tf_nqs.training.natural_gradient import NaturalGradient

_FORMS = {"sr": "auto", "minsr": "sample", "spring": "sample"}


def make_optimizer(
    name: str,
    learning_rate: float | None = None,
    decay_iterations: int | None = None,
    damping: float = defaults.DAMPING,
    momentum: float = defaults.MOMENTUM,
    max_step_norm: float = defaults.MAX_STEP_NORM,
    dtype: str = defaults.DTYPE,
) -> dict[str, Any]:
    """Returns what `VariationalMonteCarlo.compile` takes for an optimiser of this name.

    Args:
        name: adam, sr (over parameters or walkers, whichever are fewer), minsr (over walkers) or spring (over
            walkers, with momentum).
        learning_rate: at the start; None for the optimiser's default.
        decay_iterations: the learning rate falls as 1/(1 + iteration/decay_iterations); None for a constant one.
        damping: of a natural gradient.
        momentum: of spring.
        max_step_norm: of a natural gradient.
        dtype: of a natural gradient's state.

    Returns:
        Keyword arguments `optimizer` and `natural_gradient`.

    Raises:
        ValueError: the name is unknown.

    Example:
        >>> vmc.compile(**make_optimizer("spring", decay_iterations=400))  # doctest: +SKIP
    """
    if name not in defaults.LEARNING_RATE:
        raise ValueError(f"optimizer = {name!r}: must be one of {', '.join(defaults.LEARNING_RATE)}")
    rate = defaults.LEARNING_RATE[name] if learning_rate is None else learning_rate
    schedule = keras.optimizers.schedules.InverseTimeDecay(rate, decay_iterations, 1.0) if decay_iterations else rate
    if name == "adam":
        return {"optimizer": keras.optimizers.Adam(schedule), "natural_gradient": None}
    natural_gradient = NaturalGradient(
        momentum if name == "spring" else 0.0, damping, max_step_norm, _FORMS[name], dtype=dtype
    )
    return {"optimizer": keras.optimizers.SGD(schedule), "natural_gradient": natural_gradient}
