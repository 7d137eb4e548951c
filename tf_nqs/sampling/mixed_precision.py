"""Sampling an ansatz, in its own or in another floating-point precision."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from tf_nqs.ansatz.conditioned import wave_function_at
from tf_nqs.execution.replicas import strategy_in_scope
from tf_nqs.sampling.protocol import SamplerProtocol
from tf_nqs.sampling.sampling_call import Parameters, Sample, sampling_call
from tf_nqs.sampling.spread_sampling import spread_sampling_call
from tf_nqs.types import LogAbsPsi, Tensor

SAMPLING_DTYPES = ("ansatz", "float32", "float64")
"""What `sampling_dtype` may be; "ansatz" for the ansatz' own."""


def sampling_in(
    dtype: str,
    sampler: SamplerProtocol,
    ansatz: keras.Model,
    n_particles: int,
    compiled: Callable[[Callable], Callable] = lambda walk: walk,
    parameters: Parameters = tuple,
) -> Sample:
    """Returns the sampling call for an ansatz; it samples the wave function with the weights at the time of the call.

    In another dtype than the ansatz' the chains sample |Psi|^2 as that dtype rounds it.

    Args:
        dtype: "ansatz", "float32" or "float64".
        sampler: how |Psi|^2 is sampled.
        ansatz: Keras model, positions -> (sign, log_abs_psi).
        n_particles: number of particles A.
        compiled: compiles a function of tensors, see `sampling_call`.
        parameters: of the walkers' systems, where the ansatz is that of a family, see `sampling_call`.

    Raises:
        ValueError: dtype is unknown, or the ansatz cannot be built in it from its configuration.
    """
    if dtype not in SAMPLING_DTYPES:
        raise ValueError(f"sampling_dtype = {dtype!r}: must be one of {', '.join(SAMPLING_DTYPES)}")
    dtype = ansatz.compute_dtype if dtype == "ansatz" else dtype
    twin = None if dtype == ansatz.compute_dtype else _twin(ansatz, dtype, n_particles)

    def current(*rows: Tensor) -> LogAbsPsi:
        if twin:
            return _with_weights_of(ansatz, twin, rows)
        psi = wave_function_at(ansatz, n_particles, *rows)
        return lambda positions: psi(positions)[1]

    if strategy_in_scope():
        return spread_sampling_call(sampler, current, dtype, compiled, parameters)
    return sampling_call(sampler, current, dtype, compiled=compiled, parameters=parameters)


def _with_weights_of(ansatz: keras.Model, twin: keras.Model, rows: tuple[Tensor, ...]) -> LogAbsPsi:
    """Returns ln|Psi| of the twin with the current weights of the ansatz; the twin's own weights are never read."""
    pairs = zip(twin.variables, ansatz.variables, strict=True)
    weights = [(variable, tf.cast(source, variable.dtype)) for variable, source in pairs]

    def log_abs_psi(positions: Tensor) -> Tensor:
        with keras.StatelessScope(state_mapping=weights):
            return wave_function_at(twin, positions.shape[1], *rows)(positions)[1]

    return log_abs_psi


def _twin(ansatz: keras.Model, dtype: str, n_particles: int) -> keras.Model:
    """Returns the same model with all floating-point weights of another dtype."""
    try:
        twin = type(ansatz).from_config(_with_dtype(ansatz.get_config(), dtype))
        if not twin.built:
            twin(tf.zeros((1, n_particles), dtype))
    except (NotImplementedError, TypeError, ValueError) as error:
        raise ValueError(
            f"sampling_dtype = {dtype!r}: {type(ansatz).__name__} cannot be built in it, as this needs get_config and "
            f"from_config with a dtype; must be ansatz ({error})"
        ) from error
    wanted = [(weight.shape, dtype if "float" in weight.dtype else weight.dtype) for weight in ansatz.variables]
    if [(weight.shape, weight.dtype) for weight in twin.variables] != wanted:
        raise ValueError(
            f"sampling_dtype = {dtype!r}: the configuration of {type(ansatz).__name__} does not give the same weights "
            "in it; must be ansatz"
        )
    return twin


def _with_dtype(config: Any, dtype: str) -> Any:
    """Returns a Keras configuration with the dtype of the model and of all layers in it replaced."""
    if isinstance(config, dict):
        return {key: dtype if key == "dtype" else _with_dtype(value, dtype) for key, value in config.items()}
    return [_with_dtype(value, dtype) for value in config] if isinstance(config, list | tuple) else config
