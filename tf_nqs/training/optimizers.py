"""Optimisers by name."""

from __future__ import annotations

from typing import Any

import keras

from tf_nqs import defaults
from tf_nqs.training.natural_gradient import NaturalGradient

_FORMS = {"sr": "auto", "minsr": "sample", "spring": "auto"}


def make_optimizer(
    name: str,
    learning_rate: float | None = None,
    decay_iterations: int | None = None,
    damping: float = defaults.DAMPING,
    damping_decay_iterations: int = defaults.DAMPING_DECAY_ITERATIONS,
    momentum: float = defaults.MOMENTUM,
    average_decay: float = 0.0,
    **natural_gradient: Any,
) -> dict[str, Any]:
    """Returns what `VariationalMonteCarlo.compile` takes for an optimiser of this name.

    Args:
        name: adam, sr (over parameters or walkers, whichever are fewer), minsr (always over walkers) or spring (as sr,
            with momentum).
        learning_rate: at the start; None for the optimiser's default.
        decay_iterations: the learning rate falls as 1/(1 + iteration/decay_iterations); 0 for a constant one, None
            for the optimiser's default.
        damping: of a natural gradient, at the start.
        damping_decay_iterations: the damping falls as 1/(1 + iteration/damping_decay_iterations); 0 for a constant
            one.
        momentum: of spring.
        average_decay: per iteration, of the average of the weights that training ends with; 0 for the last weights.
        **natural_gradient: other arguments of `NaturalGradient`, which adam leaves alone.

    Returns:
        Keyword arguments `optimizer` and `natural_gradient`.

    Raises:
        ValueError: the name is unknown, or an argument out of its range.

    Example:
        >>> vmc.compile(**make_optimizer("spring", learning_rate=0.1))
    """
    if name not in defaults.LEARNING_RATE:
        raise ValueError(f"optimizer = {name!r}: must be one of {', '.join(defaults.LEARNING_RATE)}")
    rate = defaults.LEARNING_RATE[name] if learning_rate is None else learning_rate
    decay = defaults.DECAY_ITERATIONS[name] if decay_iterations is None else decay_iterations
    schedule = _falling("learning_rate", rate, decay)
    average = {"use_ema": True, "ema_momentum": average_decay} if average_decay else {}
    if name == "adam":
        return {"optimizer": keras.optimizers.Adam(schedule, **average), "natural_gradient": None}
    layer = NaturalGradient(
        momentum if name == "spring" else 0.0,
        _falling("damping", damping, damping_decay_iterations),
        form=_FORMS[name],
        **natural_gradient,
    )
    return {"optimizer": keras.optimizers.SGD(schedule, **average), "natural_gradient": layer}


def _falling(name: str, start: float, iterations: int) -> float | keras.optimizers.schedules.LearningRateSchedule:
    """start/(1 + t/iterations) in iteration t; constant for iterations = 0."""
    if not start > 0:
        raise ValueError(f"{name} = {start}: must be above 0")
    return keras.optimizers.schedules.InverseTimeDecay(start, iterations, 1.0) if iterations else start
