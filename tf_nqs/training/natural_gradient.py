"""Natural gradient: stochastic reconfiguration in its two forms, MinSR and SPRING."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tf_nqs import defaults
from tf_nqs.execution.linear_solve import solve_positive_definite
from tf_nqs.execution.products import products_of_rows
from tf_nqs.training.centred_system import compiled_centred_system
from tf_nqs.types import Tensor

_MOST_ATTEMPTS = 4
_DAMPING_RAISE = 10.0
_DAMPING_RECOVERY = 0.95
_ROUNDING_ERRORS = 100.0


def solve_in_sample_space(centred: Tensor, residuals: Tensor, damping: Tensor) -> Tensor:
    """Returns phi = O^T (O O^T + damping)^-1 eps, by a matrix of n_walkers x n_walkers: MinSR.

    The kernel's product runs in the precision of the scores, its Cholesky factorisation in float64.

    Args:
        centred: O, shape (n_walkers, n_parameters).
        residuals: eps, shape (n_walkers,).
        damping: scalar, above 0.

    Returns:
        Shape (n_parameters,); NaN if the damped kernel is not positive definite in floating point.

    Reference: Chen and Heyl, Nat. Phys. 20, 1476 (2024).
    """
    kernel = products_of_rows(centred)
    return tf.linalg.matvec(centred, _solve_damped(kernel, residuals, damping), transpose_a=True)


def solve_in_parameter_space(centred: Tensor, residuals: Tensor, damping: Tensor) -> Tensor:
    """Returns phi = (O^T O + damping)^-1 O^T eps, by a matrix of n_parameters x n_parameters: the same phi.

    All of it runs in float64.

    Args:
        centred: O, shape (n_walkers, n_parameters).
        residuals: eps, shape (n_walkers,).
        damping: scalar, above 0.

    Returns:
        Shape (n_parameters,); NaN if the damped Fisher matrix is not positive definite in floating point.

    Reference: Sorella, Phys. Rev. Lett. 80, 4558 (1998).
    """
    exact = tf.cast(centred, tf.float64)
    fisher = products_of_rows(exact, of_columns=True)
    right_side = tf.linalg.matvec(exact, tf.cast(residuals, tf.float64), transpose_a=True)
    return tf.cast(_solve_damped(fisher, right_side, damping), centred.dtype)


def _solve_damped(matrix: Tensor, right_side: Tensor, damping: Tensor) -> Tensor:
    """(matrix + damping + rounding)^-1 right_side by Cholesky in float64, which reads the lower triangle alone.

    Entry (n, m) of a product of rows carries a rounding error of about eps |row n| |row m|. Some walkers, next to a
    node, have rows a thousand times longer than others: so each diagonal element is raised by its own rounding error.
    """
    rounding = _ROUNDING_ERRORS * np.finfo(matrix.dtype.as_numpy_dtype).eps
    matrix = tf.cast(matrix, tf.float64)
    diagonal = tf.linalg.diag_part(matrix)
    damped = tf.linalg.set_diag(matrix, diagonal * (1 + rounding) + tf.cast(damping, tf.float64))
    return tf.cast(solve_positive_definite(damped, tf.cast(right_side, tf.float64)), right_side.dtype)


@keras.saving.register_keras_serializable("tf_nqs")
class NaturalGradient(keras.layers.Layer):
    """The direction of steepest descent in the metric of quantum states, with or without SPRING's memory.

    With centred scores O, residuals eps (see `centred_system`, which shortens rows) and the last direction phi':

        phi = O^T (O O^T + 100 u D + damping)^-1 (eps - momentum O phi') + momentum phi'
            ~ argmin |O phi - eps|^2 + damping |phi - momentum phi'|^2

    with D the diagonal of O O^T, and u the spacing of its floating-point type at 1 (1.2e-7 in float32), for rounding.
    Over parameters it is (O^T O + 100 u D + damping)^-1 O^T instead, with D and u of O^T O, which is in float64.

    The Keras optimiser that it is compiled with (plain SGD) then does theta <- theta + a phi, with a its learning
    rate, shrunk where the step's Fisher norm a |O phi| exceeds `max_step_norm`. The recipe of the quick presets, in
    iteration t: 60 updates of pretraining, 512 walkers, 10 Metropolis steps, e_L clipped at 10 2^(t/50) mean absolute
    deviations, momentum 0.9, damping 3e-2/(1 + t/10), a = 0.2/(1 + t/100), max_step_norm 0.05, leverage_bound 3.

    A solution with phi or |O phi| not finite is thrown away, the damping raised tenfold and the solve repeated, up to
    four times; the raise wears off over later iterations. If all fail, the step is zero. `n_rejected` counts the failed
    solves. A step that is too long is shortened here; where the energy explodes all the same, it is taken back by
    `callbacks.RepairTraining`, which also says that solves have failed.

    Args:
        momentum: SPRING's mu in [0, 1); 0 for MinSR and plain stochastic reconfiguration.
        damping: added to the kernel's eigenvalues, which are Fisher information per walker; a number above 0, or a
            Keras schedule of the iteration. Much damps the noise of a random start, little lets the last, small
            eigenvalues be learned.
        max_step_norm: largest Fisher norm of a step, above 0.
        leverage_bound: longest row of O, in lengths of the median one; 0 for no bound.
        form: "sample" (n_walkers x n_walkers), "parameter" (n_parameters x n_parameters) or "auto", the smaller one.
        damping_min: the damping falls no further than to this; at least 0.
        **kwargs: arguments of `keras.layers.Layer`.

    Raises:
        ValueError: an argument is out of its range.

    Reference: Goldshlager, Abrahamsen and Lin, J. Comput. Phys. 516, 113351 (2024), for SPRING.
    """

    def __init__(
        self,
        momentum: float = defaults.MOMENTUM,
        damping: float | keras.optimizers.schedules.LearningRateSchedule = defaults.DAMPING,
        max_step_norm: float = defaults.MAX_STEP_NORM,
        leverage_bound: float = defaults.LEVERAGE_BOUND,
        form: str = "auto",
        damping_min: float = 0.0,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum = {momentum}: must be at least 0 and below 1")
        for name, value in (("damping", damping), ("max_step_norm", max_step_norm)):
            if not (callable(value) or isinstance(value, dict) or value > 0):
                raise ValueError(f"{name} = {value}: must be above 0")
        if not leverage_bound >= 0:
            raise ValueError(f"leverage_bound = {leverage_bound}: must be at least 0")
        if not damping_min >= 0:
            raise ValueError(f"damping_min = {damping_min}: must be at least 0")
        if form not in ("auto", "sample", "parameter"):
            raise ValueError(f"form = {form!r}: must be one of auto, sample, parameter")
        self.momentum = momentum
        is_serialised = isinstance(damping, dict)
        self.damping = keras.optimizers.schedules.deserialize(damping) if is_serialised else damping
        self.max_step_norm = max_step_norm
        self.leverage_bound = leverage_bound
        self.form = form
        self.damping_min = damping_min

    def build(self, n_parameters: int, dtype: str | None = None) -> None:
        self.previous = self.add_weight(
            shape=(n_parameters,), initializer="zeros", trainable=False, dtype=dtype, name="previous_direction"
        )
        self.damping_factor = self.add_weight(
            shape=(), initializer="ones", trainable=False, dtype=dtype, name="damping_factor"
        )
        self.iteration = self.add_weight(
            shape=(), initializer="zeros", trainable=False, dtype="int32", name="iteration"
        )
        self.n_rejected = self.add_weight(
            shape=(), initializer="zeros", trainable=False, dtype="int32", name="n_rejected"
        )
        self.built = True

    def resize(self, previous: Tensor) -> None:
        """Continues with another number of parameters; damping and counters stay.

        Args:
            previous: the last direction, laid out for the new parameters, shape (n_parameters,).
        """
        del self.previous
        self._tracker.unlock()  # Keras has no public way to give a built layer another variable
        self.previous = self.add_weight(
            shape=previous.shape,
            initializer="zeros",
            trainable=False,
            dtype=previous.dtype.name,
            name="previous_direction",
        )
        self._tracker.lock()
        self.previous.assign(previous)

    def direction(self, scores: Tensor, local_energy: Tensor, weights: Tensor, learning_rate: Tensor) -> Tensor:
        """Returns the step's direction, phi, shrunk where learning_rate * |O phi| would exceed max_step_norm.

        Args:
            scores: shape (n_walkers, n_parameters).
            local_energy: clipped and finite, shape (n_walkers,), in hbar*omega.
            weights: R, shape (n_walkers,).
            learning_rate: a, scalar.

        Returns:
            Shape (n_parameters,), finite.
        """
        centred, residuals = compiled_centred_system(scores, local_energy, weights, self.leverage_bound)
        return self.direction_of_system(centred, residuals, learning_rate)

    def direction_of_system(self, centred: Tensor, residuals: Tensor, learning_rate: Tensor) -> Tensor:
        """Does what `direction` does, with the least-squares problem already made.

        Args:
            centred: O, shape (n_walkers, n_parameters), as `centred_system` returns it.
            residuals: eps, shape (n_walkers,).
            learning_rate: a, scalar.

        Returns:
            Shape (n_parameters,), finite.
        """
        start = self.momentum * self.previous
        residuals -= tf.linalg.matvec(centred, start)
        damping = self.damping_factor * self._damping_now()

        def solve(attempt: Tensor, damping: Tensor, *_: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
            phi = start + self._solver(centred)(centred, residuals, damping)
            return attempt + 1, damping * _DAMPING_RAISE, phi, tf.norm(tf.linalg.matvec(centred, phi))

        def succeeds(phi: Tensor, norm: Tensor) -> Tensor:
            return tf.reduce_all(tf.math.is_finite(phi)) & tf.math.is_finite(norm)

        def goes_on(attempt: Tensor, damping: Tensor, phi: Tensor, norm: Tensor) -> Tensor:
            del damping
            return (attempt == 0) | ((attempt < _MOST_ATTEMPTS) & ~succeeds(phi, norm))

        attempts, _, phi, norm = tf.while_loop(goes_on, solve, (0, damping, start, tf.zeros((), start.dtype)))
        succeeded = succeeds(phi, norm)
        phi = tf.where(succeeded, phi, tf.zeros_like(phi))
        self.previous.assign(phi)
        raised = tf.pow(tf.cast(_DAMPING_RAISE, phi.dtype), tf.cast(attempts - 1, phi.dtype))
        self.damping_factor.assign(
            tf.clip_by_value(self.damping_factor * raised * _DAMPING_RECOVERY, 1.0, _DAMPING_RAISE**_MOST_ATTEMPTS)
        )
        self.iteration.assign_add(1)
        self.n_rejected.assign_add(attempts - tf.cast(succeeded, attempts.dtype))
        step_norm = tf.cast(learning_rate, phi.dtype) * norm
        return tf.where(succeeded, phi * (self.max_step_norm / tf.maximum(step_norm, self.max_step_norm)), phi)

    def raise_damping(self) -> None:
        """Raises the damping tenfold, as a solve that has failed does; the raise wears off over later iterations."""
        self.damping_factor.assign(tf.minimum(self.damping_factor * _DAMPING_RAISE, _DAMPING_RAISE**_MOST_ATTEMPTS))

    def _damping_now(self) -> Tensor:
        if callable(self.damping):
            damping = tf.cast(self.damping(self.iteration), self.damping_factor.dtype)
            return tf.maximum(damping, self.damping_min) if self.damping_min else damping
        return tf.constant(max(self.damping, self.damping_min), self.damping_factor.dtype)

    def _solver(self, centred: Tensor) -> Callable:
        n_walkers, n_parameters = centred.shape
        use_samples = self.form == "sample" or (self.form == "auto" and n_walkers <= n_parameters)
        return solve_in_sample_space if use_samples else solve_in_parameter_space

    def get_config(self) -> dict[str, Any]:
        names = ("momentum", "max_step_norm", "leverage_bound", "form", "damping_min")
        damping = keras.optimizers.schedules.serialize(self.damping) if callable(self.damping) else self.damping
        return {**super().get_config(), "damping": damping, **{name: getattr(self, name) for name in names}}
