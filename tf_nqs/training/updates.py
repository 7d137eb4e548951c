"""One update by a Keras optimiser: which optimisers are supported, and steps made shorter after a repair."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

from tf_nqs.execution.replicas import in_each, strategy_in_scope
from tf_nqs.types import Tensor

_UNSUPPORTED = {
    keras.optimizers.LossScaleOptimizer: "it is made for float16, use its inner optimizer",
    keras.optimizers.MultiOptimizer: "use one optimizer for all weights, or freeze some of them",
    keras.optimizers.ScheduleFreeAdamW: "it keeps a copy of the weights that a repair cannot correct, use AdamW",
}

_NOT_PLAIN = ("momentum", "weight_decay", "clipnorm", "clipvalue", "global_clipnorm", "gradient_accumulation_steps")
"""What would change the natural gradient's step, the length of which is bounded before the optimiser sees it."""


_NOT_SPREAD = ("clipnorm", "clipvalue", "global_clipnorm", "gradient_accumulation_steps", "ema_overwrite_frequency")
"""What Keras does with the part of the gradient that a replica has, before it adds the parts, or in control flow."""


def checked_optimizer(
    optimizer: str | dict | keras.optimizers.Optimizer, natural_gradient: object | None
) -> keras.optimizers.Optimizer:
    """Returns the optimiser that `compile` was given, once it is known to be supported.

    Args:
        optimizer: an optimiser, its name or its configuration.
        natural_gradient: what is compiled beside it; None for nothing.

    Raises:
        ValueError: it is none of Keras' optimisers, it is not supported, it is not plain SGD beside a natural
            gradient, or it does what it could only do on one device in the scope of a `tf.distribute` strategy.
    """
    try:
        found = keras.optimizers.get(optimizer)
    except (TypeError, ValueError) as error:
        raise ValueError(f"optimizer = {optimizer!r}: must be an optimizer of Keras, or its name") from error
    name = type(found).__name__
    for kind, instead in _UNSUPPORTED.items():
        if isinstance(found, kind):
            raise ValueError(f"optimizer = {name}: is not supported: {instead}")
    _check_strategy(found)
    if natural_gradient is not None:
        wanted = "beside natural_gradient it must be plain keras.optimizers.SGD(learning_rate)"
        if not isinstance(found, keras.optimizers.SGD):
            raise ValueError(f"optimizer = {name}: {wanted}")
        if options := [option for option in _NOT_PLAIN if getattr(found, option)]:
            raise ValueError(f"optimizer = SGD with {', '.join(options)}: {wanted}")
    return found


def _check_strategy(optimizer: keras.optimizers.Optimizer) -> None:
    """Refuses an optimiser that cannot do its work in the scope of a strategy."""
    name = type(optimizer).__name__
    if (strategy := strategy_in_scope()) is None:
        return
    if options := [option for option in _NOT_SPREAD if getattr(optimizer, option)]:
        raise ValueError(f"optimizer = {name} with {', '.join(options)}: is not supported under a strategy")
    if optimizer._distribution_strategy is not strategy:
        raise ValueError(f"optimizer = {name}: must be made in the scope of the strategy that the trainer was made in")


def build_optimizer(optimizer: keras.optimizers.Optimizer, variables: list[keras.Variable]) -> None:
    """Builds an optimiser so that all of its state is among its `variables`, and training may end before any update.

    Args:
        optimizer: not built yet, or built by this function.
        variables: to be trained.
    """
    if optimizer.built:
        return
    optimizer.build(variables)
    if optimizer.use_ema:  # at the end of a training Keras writes the averages over the weights
        for average, variable in zip(optimizer._model_variables_moving_average, variables, strict=True):
            average.assign(variable)
    if untracked := nadam_product(optimizer):
        optimizer._track_variable(untracked[0])


def nadam_product(optimizer: keras.optimizers.Optimizer) -> list[keras.Variable]:
    """Returns the one variable that Keras' Nadam does not list among its own; an empty list for other optimisers."""
    return [optimizer._u_product] if isinstance(optimizer, keras.optimizers.Nadam) else []


def apply_shortened(
    optimizer: keras.optimizers.Optimizer, gradients: list[Tensor], variables: list[keras.Variable], factor: Tensor
) -> None:
    """Lets an optimiser update variables, then takes the share 1 - factor of each update back.

    So steps can be shortened in the middle of a training, without a word to the optimiser: Adam's do not depend on the
    length of the gradient, and a schedule cannot be assigned to. Where the optimiser averages the weights, its averages
    become those of the weights after the shorter step.

    Args:
        optimizer: built for these variables.
        gradients: one for each of them; on several replicas each one's part, see `tf_nqs.execution.replicas`.
        variables: to be updated.
        factor: scalar, above 0 and at most 1; updates by a factor of 1 stay as they are, to the last bit.
    """
    before = [tf.identity(variable.value) for variable in variables]
    restore_averages = _averages_before(optimizer, before)
    in_each(lambda *parts: _apply(optimizer, parts, variables))(*gradients)

    def shorten() -> Tensor:
        for variable, old in zip(variables, before, strict=True):
            variable.assign(_between(old, variable.value, factor))
        restore_averages(variables, factor)
        return tf.constant(0)

    tf.cond(tf.convert_to_tensor(factor) < 1, shorten, lambda: tf.constant(0))


def _apply(optimizer: keras.optimizers.Optimizer, gradients: Sequence[Tensor], variables: list[keras.Variable]) -> None:
    """Lets an optimiser update variables; in a replica, whose gradients Keras adds to those of the others."""
    # As in Keras' own training step: an optimiser with a loss_scale_factor divides gradients by it.
    optimizer.apply([optimizer.scale_loss(gradient) for gradient in gradients], variables)


def _averages_before(
    optimizer: keras.optimizers.Optimizer, weights: list[Tensor]
) -> Callable[[list[keras.Variable], Tensor], None]:
    """Returns what corrects an optimiser's averages, and weights that they were written over, after a shortened step.

    An average is linear in the weight after the step. So its value after the shortened step lies between its values
    after no step and after the full one, by the same factor.
    """
    if not optimizer.use_ema:
        return lambda variables, factor: None
    n_updates = tf.identity(optimizer.iterations)
    averages = optimizer._model_variables_moving_average

    def without_step(average: keras.Variable, weight: Tensor) -> Tensor:
        # Keras' averages start at the weights after the first update.
        momentum = optimizer.ema_momentum
        if tf.is_tensor(momentum):  # a number takes the dtype by itself, without a detour by float32
            momentum = tf.cast(momentum, weight.dtype)
        share = tf.cast(n_updates != 0, weight.dtype) * momentum
        return share * average.value + (1 - share) * weight

    unmoved = [without_step(*pair) for pair in zip(averages, weights, strict=True)]
    frequency = optimizer.ema_overwrite_frequency
    overwrites = (n_updates + 1) % frequency == 0 if frequency else tf.constant(False)

    def correct(variables: list[keras.Variable], factor: Tensor) -> None:
        for variable, average, old in zip(variables, averages, unmoved, strict=True):
            average.assign(_between(old, average.value, factor))
            variable.assign(tf.where(overwrites, average.value, variable.value))

    return correct


def _between(start: Tensor, end: Tensor, factor: Tensor) -> Tensor:
    return start + tf.cast(factor, start.dtype) * (end - start)
