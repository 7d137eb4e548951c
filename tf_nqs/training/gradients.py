"""Derivatives by the parameters, and the update made from them: one interface for plain and natural gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from tf_nqs.ansatz.check import is_from_package
from tf_nqs.execution.chunks import phase_of_rows, phase_of_sums
from tf_nqs.execution.per_walker import with_each_row_twice
from tf_nqs.trainer import Compilation
from tf_nqs.training.loss import surrogate_loss
from tf_nqs.training.natural_gradient import NaturalGradient, scores, unflatten
from tf_nqs.training.updates import apply_shortened
from tf_nqs.types import Tensor


class Gradient(NamedTuple):
    """How samples change the parameters: two functions, for the variables that are trainable when they are traced.

    Attributes:
        derivatives: (positions, local energies, weights R) -> derivatives by the parameters, compiled: of the energy
            for the plain gradient, one tensor per variable; of ln|Psi(x_n)| for the natural one (the scores), shape
            (n_walkers, n_parameters).
        update: (these derivatives, local energies, weights R); lets the optimiser change the parameters.
    """

    derivatives: Callable[[Tensor, Tensor, Tensor], Any]
    update: Callable[[Any, Tensor, Tensor], None]


def make_gradient(
    ansatz: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    step_factor: keras.Variable,
    natural_gradient: NaturalGradient | None,
    compilation: Compilation,
) -> Gradient:
    """Returns the plain gradient, or the natural one.

    Args:
        ansatz: Keras model, positions -> (sign, log_abs_psi).
        optimizer: built for the ansatz' trainable variables; plain SGD for a natural gradient.
        step_factor: on the length of each step, see `apply_shortened`.
        natural_gradient: makes the direction of a natural gradient, built before the first update; None for the plain
            one.
        compilation: how the derivatives are compiled.
    """

    def plain_update(gradient: list[Tensor], local_energy: Tensor, weights: Tensor) -> None:
        del local_energy, weights
        apply_shortened(optimizer, gradient, ansatz.trainable_variables, step_factor)

    def natural_update(scores: Tensor, local_energy: Tensor, weights: Tensor) -> None:
        assert natural_gradient
        variables = ansatz.trainable_variables
        direction = natural_gradient.direction(scores, local_energy, weights, optimizer.learning_rate)
        apply_shortened(optimizer, unflatten(-direction, variables), variables, step_factor)

    if natural_gradient:
        return Gradient(scores_phase(ansatz, compilation), natural_update)
    return Gradient(energy_gradient_phase(ansatz, compilation), plain_update)


def scores_phase(ansatz: keras.Model, compilation: Compilation) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """Returns the compiled scores, d ln|Psi(x_n)| / d theta_k; local energies and weights do not change them."""

    def log_abs_psi(positions: Tensor) -> Tensor:
        return ansatz(positions)[1]

    is_safe = compilation.jit_compile or is_from_package(ansatz)
    of_one_walker = log_abs_psi if is_safe else with_each_row_twice(log_abs_psi)
    of_walkers = phase_of_rows(lambda x: scores(of_one_walker, ansatz.trainable_variables, x), *compilation)
    return lambda positions, local_energy, weights: of_walkers(positions)


def energy_gradient_phase(
    ansatz: keras.Model, compilation: Compilation
) -> Callable[[Tensor, Tensor, Tensor], list[Tensor]]:
    """Returns the compiled gradient of the surrogate loss, sum_n c_n d ln|Psi(x_n)|.

    The coefficients c_n = d loss / d ln|Psi(x_n)| are those of all walkers together, however the sum is
    cut into chunks.
    """

    def weighted_gradient(positions: Tensor, coefficients: Tensor) -> list[Tensor]:
        with tf.GradientTape() as tape:
            value = ansatz(positions)[1]
        return tape.gradient(
            value,
            ansatz.trainable_variables,
            output_gradients=coefficients,
            unconnected_gradients=tf.UnconnectedGradients.ZERO,
        )

    summed = phase_of_sums(weighted_gradient, *compilation)

    def energy_gradient(positions: Tensor, local_energy: Tensor, weights: Tensor) -> list[Tensor]:
        anywhere = tf.zeros_like(local_energy)  # the loss is linear in ln|Psi|
        with tf.GradientTape() as tape:
            tape.watch(anywhere)
            loss = surrogate_loss(anywhere, local_energy, weights)
        return summed(positions, tape.gradient(loss, anywhere))

    return energy_gradient
