"""Optimisers by name."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from tf_nqs import defaults
from tf_nqs.named_ansatze import ANSATZE, recipe
from tf_nqs.training.natural_gradient import NaturalGradient

_FORMS = {"sr": "auto", "minsr": "sample", "spring": "auto"}


class _WarmAverage(keras.optimizers.Optimizer):
    """Lets Keras' average of the weights begin without a memory of its start: its decay is min(d, (1 + t)/(10 + t))."""

    def __init__(self, learning_rate: Any, average_decay: float, **kwargs: Any):
        super().__init__(learning_rate, use_ema=True, ema_momentum=average_decay, **kwargs)

    @property
    def ema_momentum(self) -> Any:
        """The decay in the iteration to come, t = 0, 1, ..., a scalar tensor."""
        done = tf.cast(self.iterations, tf.float32)
        return tf.minimum(self._largest_decay, (1.0 + done) / (10.0 + done))

    @ema_momentum.setter
    def ema_momentum(self, value: float) -> None:
        self._largest_decay = value

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        return {name: config[name] for name in ("name", "learning_rate")} | {"average_decay": self._largest_decay}


@keras.saving.register_keras_serializable("tf_nqs")
class AveragedSGD(_WarmAverage, keras.optimizers.SGD):
    """Plain SGD that ends with an average of the weights over the iterations.

    Args:
        learning_rate: a number or a Keras schedule.
        average_decay: d, largest decay of the average per iteration.
        **kwargs: name.
    """


@keras.saving.register_keras_serializable("tf_nqs")
class AveragedAdam(_WarmAverage, keras.optimizers.Adam):
    """Adam that ends with an average of the weights over the iterations.

    Args:
        learning_rate: a number or a Keras schedule.
        average_decay: d, largest decay of the average per iteration.
        **kwargs: name.
    """


def make_optimizer(
    name: str,
    learning_rate: float | None = None,
    decay_iterations: int | None = None,
    damping: float | None = None,
    damping_decay_iterations: int = defaults.DAMPING_DECAY_ITERATIONS,
    momentum: float = defaults.MOMENTUM,
    average_decay: float = 0.0,
    ansatz: str = defaults.ANSATZ,
    family: bool = False,
    **natural_gradient: Any,
) -> dict[str, Any]:
    """Returns what `VariationalMonteCarlo.compile` takes for an optimiser of this name.

    Args:
        name: adam, sr (over parameters or walkers, whichever are fewer), minsr (always over walkers) or spring (as sr,
            with momentum).
        learning_rate: at the start; None for the default of optimiser and ansatz.
        decay_iterations: the learning rate falls as 1/(1 + iteration/decay_iterations); 0 for a constant one, None
            for the default of optimiser and ansatz.
        damping: of a natural gradient, at the start; None for the default of optimiser and ansatz.
        damping_decay_iterations: the damping falls as 1/(1 + iteration/damping_decay_iterations); 0 for a constant
            one.
        momentum: of spring.
        average_decay: per iteration, of the average of the weights that training ends with; 0 for the last weights.
        ansatz: "slater" or "jastrow", whose defaults to take.
        family: whether to take the defaults for one network of many systems, which are those of either ansatz.
        **natural_gradient: other arguments of `NaturalGradient`, which adam leaves alone.

    Returns:
        Keyword arguments `optimizer` and `natural_gradient`.

    Raises:
        ValueError: one of the names is unknown, or an argument out of its range.

    Example:
        >>> vmc.compile(**make_optimizer("spring", ansatz="jastrow"))
    """
    if name not in defaults.OPTIMIZERS:
        raise ValueError(f"optimizer = {name!r}: must be one of {', '.join(defaults.OPTIMIZERS)}")
    if ansatz not in ANSATZE:
        raise ValueError(f"ansatz = {ansatz!r}: must be one of {', '.join(ANSATZE)}")
    known = recipe(ansatz, name, family)
    rate = known.learning_rate if learning_rate is None else learning_rate
    decay = known.decay_iterations if decay_iterations is None else decay_iterations
    schedule = _falling("learning_rate", rate, decay)
    if name == "adam":
        adam = AveragedAdam(schedule, average_decay) if average_decay else keras.optimizers.Adam(schedule)
        return {"optimizer": adam, "natural_gradient": None}
    layer = NaturalGradient(
        momentum if name == "spring" else 0.0,
        _falling("damping", known.damping if damping is None else damping, damping_decay_iterations),
        form=_FORMS[name],
        **{"damping_min": known.damping_min, **natural_gradient},
    )
    sgd = AveragedSGD(schedule, average_decay) if average_decay else keras.optimizers.SGD(schedule)
    return {"optimizer": sgd, "natural_gradient": layer}


def _falling(name: str, start: float, iterations: int) -> float | keras.optimizers.schedules.LearningRateSchedule:
    """start/(1 + t/iterations) in iteration t; constant for iterations = 0."""
    if not start > 0:
        raise ValueError(f"{name} = {start}: must be above 0")
    return keras.optimizers.schedules.InverseTimeDecay(start, iterations, 1.0) if iterations else start
