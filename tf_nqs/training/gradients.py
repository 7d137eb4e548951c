"""Derivatives by the parameters, and the update made from them: one interface for plain and natural gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from tf_nqs.ansatz.check import is_from_package
from tf_nqs.ansatz.conditioned import wave_function_at
from tf_nqs.execution.chunks import phase_of_rows, phase_of_sums
from tf_nqs.execution.per_walker import with_each_row_twice
from tf_nqs.execution.replicas import in_each, of_first
from tf_nqs.trainer import Batch, Compilation
from tf_nqs.training.centred_system import compiled_centred_family, scores, unflatten
from tf_nqs.training.conditions import Conditions, rows_of
from tf_nqs.training.loss import loss_of_systems
from tf_nqs.training.natural_gradient import NaturalGradient
from tf_nqs.training.updates import apply_shortened
from tf_nqs.types import Tensor


class Gradient(NamedTuple):
    """How samples change the parameters: two functions, for the variables that are trainable when they are traced.

    Attributes:
        derivatives_of: systems of the walkers, None for one -> (positions, local energies, weights R, factors of a
            family's systems) -> derivatives by the parameters, compiled: of the energy for the plain gradient, one
            tensor per variable; of ln|Psi(x_n)| for the natural one (the scores), shape (n_walkers, n_parameters).
        update: batches of walkers, one for each number of particles; lets the optimiser change the parameters.
    """

    derivatives_of: Callable[[Conditions | None], Callable[..., Any]]
    update: Callable[[list[Batch]], None]


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

    def plain_update(batches: list[Batch]) -> None:
        gradients = in_each(_sums)(*(batch.derivatives for batch in batches))
        apply_shortened(optimizer, gradients, ansatz.trainable_variables, step_factor)

    def natural_update(batches: list[Batch]) -> None:
        assert natural_gradient
        variables = ansatz.trainable_variables
        direction = natural_direction(natural_gradient, batches, optimizer.learning_rate)
        step = in_each(lambda step: unflatten(of_first(step), variables))(-direction)
        apply_shortened(optimizer, step, variables, step_factor)

    if natural_gradient:
        return Gradient(lambda conditions: scores_phase(ansatz, compilation, conditions), natural_update)
    return Gradient(lambda conditions: energy_gradient_phase(ansatz, compilation, conditions), plain_update)


def _sums(*gradients: list[Tensor]) -> list[Tensor]:
    """Returns the gradient of all batches from that of each."""
    return [sum_of(parts) for parts in zip(*gradients, strict=True)]


def sum_of(parts: tuple[Tensor, ...]) -> Tensor:
    """Returns the sum of some tensors; one alone as it is."""
    return parts[0] if len(parts) == 1 else tf.add_n(parts)


def natural_direction(gradient: NaturalGradient, batches: list[Batch], learning_rate: Tensor) -> Tensor:
    """Returns the step's direction from one least-squares problem of all walkers, of all systems."""
    if batches[0].factors is None:
        return gradient.direction(*batches[0][:3], learning_rate)
    n_systems = sum(int(tf.convert_to_tensor(batch.factors).shape[0]) for batch in batches)
    share = tf.constant(1.0 / n_systems, batches[0].local_energy.dtype)
    systems = [compiled_centred_family(*batch, share, gradient.leverage_bound) for batch in batches]
    centred, residuals = (tf.concat(parts, axis=0) for parts in zip(*systems, strict=True))
    return gradient.direction_of_system(centred, residuals, learning_rate)


def scores_phase(
    ansatz: keras.Model, compilation: Compilation, conditions: Conditions | None = None
) -> Callable[..., Tensor]:
    """Returns the compiled scores, d ln|Psi(x_n)| / d theta_k; local energies and weights do not change them."""

    def log_abs_psi(positions: Tensor, *rows: Tensor) -> Tensor:
        return wave_function_at(ansatz, positions.shape[1], *rows)(positions)[1]

    is_safe = compilation.jit_compile or is_from_package(ansatz)
    of_one_walker = log_abs_psi if is_safe else with_each_row_twice(log_abs_psi)
    of_walkers = phase_of_rows(lambda *rows: scores(of_one_walker, ansatz.trainable_variables, *rows), *compilation)
    return lambda positions, *others: of_walkers(positions, *rows_of(conditions))


def energy_gradient_phase(
    ansatz: keras.Model, compilation: Compilation, conditions: Conditions | None = None
) -> Callable[..., list[Tensor]]:
    """Returns the compiled gradient of the surrogate loss, sum_n c_n d ln|Psi(x_n)|.

    The coefficients c_n = d loss / d ln|Psi(x_n)| are those of all walkers together, however the sum is
    cut into chunks.
    """

    def weighted_gradient(positions: Tensor, coefficients: Tensor, *rows: Tensor) -> list[Tensor]:
        with tf.GradientTape() as tape:
            value = wave_function_at(ansatz, positions.shape[1], *rows)(positions)[1]
        return tape.gradient(
            value,
            ansatz.trainable_variables,
            output_gradients=coefficients,
            unconnected_gradients=tf.UnconnectedGradients.ZERO,
        )

    summed = phase_of_sums(weighted_gradient, *compilation)

    def energy_gradient(
        positions: Tensor, local_energy: Tensor, weights: Tensor, factors: Tensor | None = None
    ) -> list[Tensor]:
        anywhere = tf.zeros_like(local_energy)  # the loss is linear in ln|Psi|
        with tf.GradientTape() as tape:
            tape.watch(anywhere)
            loss = loss_of_systems(anywhere, local_energy, weights, factors)
        return summed(positions, tape.gradient(loss, anywhere), *rows_of(conditions))

    return energy_gradient
