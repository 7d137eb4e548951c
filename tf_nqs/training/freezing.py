"""Training other variables from now on, after layers were frozen or released."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable

import keras
import tensorflow as tf

from tf_nqs.training.natural_gradient import NaturalGradient
from tf_nqs.training.updates import build_optimizer, nadam_product
from tf_nqs.types import Tensor

_COUNTER = "iteration"
"""What Keras calls the optimiser's own counter of updates."""

_ACCUMULATOR = "gradient_accumulator"
"""How Keras' names of accumulated gradients end."""

_CONFIGURABLE_RATES = (keras.Variable, keras.optimizers.schedules.LearningRateSchedule)
"""Learning rates that an optimiser's configuration can hold; a function is none."""

_NOT_IN_CONFIG = ("_exclude_from_weight_decay", "_exclude_from_weight_decay_pattern")
"""What `exclude_from_weight_decay` sets."""


def follow_trainable(
    ansatz: keras.Model,
    trained: Collection[int],
    optimizer: keras.optimizers.Optimizer,
    natural_gradient: NaturalGradient | None,
) -> keras.optimizers.Optimizer:
    """Lays optimiser and natural gradient out for the weights that are trainable now.

    Weights that are not trainable leave the optimiser's slots and the natural gradient's last direction. What both know
    of weights that stay is kept. If weights are released, the schedules of learning rate and damping restart, as they
    do after a transfer.

    Args:
        ansatz: some of its layers were perhaps frozen or released.
        trained: identities of the weights that were trainable before.
        optimizer: built for these.
        natural_gradient: built for these; None for the plain gradient.

    Returns:
        Another optimiser, or the given one if the same weights are trainable.

    Raises:
        ValueError: no weights are trainable.
    """
    now = ansatz.trainable_variables
    if not now:
        raise ValueError("the ansatz has no trainable weights: at least one layer must be trainable")
    if list(trained) == identities(now):
        return optimizer
    before = [variable for variable in ansatz.variables if id(variable) in trained]
    restart = any(id(variable) not in trained for variable in now)
    rebuilt = rebuilt_optimizer(optimizer, now, restart)
    if natural_gradient:
        resize_natural_gradient(natural_gradient, before, now, restart)
    return rebuilt


def identities(variables: Iterable[keras.Variable]) -> list[int]:
    """Returns what tells variables apart: a Keras model would take a list of variables for weights of its own."""
    return [id(variable) for variable in variables]


def rebuilt_optimizer(
    optimizer: keras.optimizers.Optimizer, variables: list[keras.Variable], restart: bool
) -> keras.optimizers.Optimizer:
    """Returns the same optimiser with slots for other variables: old ones as they were, new ones as at the start.

    Args:
        optimizer: a built optimiser.
        variables: those to be trained.
        restart: whether its counter of updates, and with it a schedule of the learning rate, starts again. Adam's new
            slots start at zero, and the correction that Adam makes for that fits a counter of zero; to slots that
            were kept it does no harm, it only shortens their steps, to no less than 0.15, for about 1000 updates.

    Returns:
        A new, built optimiser.
    """
    rebuilt = _copied(optimizer)
    build_optimizer(rebuilt, variables)
    # The names of slots hold the paths of their variables. Accumulated gradients belong to the old counter.
    kept = {
        variable.name: variable
        for variable in optimizer.variables
        if not (restart and (variable.name == _COUNTER or variable.name.endswith(_ACCUMULATOR)))
    }
    for variable in rebuilt.variables:
        if variable.name in kept:
            variable.assign(kept[variable.name])
    if not restart:
        for new, old in zip(nadam_product(rebuilt), nadam_product(optimizer), strict=True):
            new.assign(old)
    return rebuilt


def _copied(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """Returns an optimiser with the same options that is not built yet, with what its configuration cannot hold."""
    rate = optimizer._learning_rate
    is_function = callable(rate) and not isinstance(rate, _CONFIGURABLE_RATES)
    if is_function:
        optimizer._learning_rate = 0.0
    try:
        config = optimizer.get_config()
    finally:
        optimizer._learning_rate = rate
    copied = type(optimizer).from_config(config | ({"learning_rate": rate} if is_function else {}))
    for name in _NOT_IN_CONFIG:
        if hasattr(optimizer, name):
            setattr(copied, name, getattr(optimizer, name))
    return copied


def resize_natural_gradient(
    natural_gradient: NaturalGradient, before: list[keras.Variable], now: list[keras.Variable], restart: bool
) -> None:
    """Lays the last direction out for other variables, with zeros for those that are new.

    Args:
        natural_gradient: built for `before`.
        before: the variables trained so far.
        now: the variables to be trained.
        restart: whether the schedule of the damping starts again.
    """
    pieces = dict(zip(map(id, before), _pieces(natural_gradient.previous, before), strict=True))
    zeros = [tf.zeros(math.prod(variable.shape), natural_gradient.previous.dtype) for variable in now]
    laid_out = [pieces.get(id(variable), zero) for variable, zero in zip(now, zeros, strict=True)]
    natural_gradient.resize(tf.concat(laid_out, axis=0))
    if restart:
        natural_gradient.iteration.assign(0)


def _pieces(vector: Tensor, variables: list[keras.Variable]) -> list[Tensor]:
    return tf.split(tf.convert_to_tensor(vector), [math.prod(variable.shape) for variable in variables])
