"""Sampling in another floating-point precision than the rest of an iteration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from tf_nqs.execution.chunks import in_parts
from tf_nqs.sampling.protocol import SamplerProtocol
from tf_nqs.types import LogAbsPsi, Tensor, WalkerState

SAMPLING_DTYPES = ("ansatz", "float32", "float64")
"""What `sampling_dtype` may be; "ansatz" for the ansatz' own."""


def sampling_in(
    dtype: str,
    sampler: SamplerProtocol,
    ansatz: keras.Model,
    n_particles: int,
    compiled: Callable[[Callable], Callable] = lambda walk: walk,
) -> Callable[[WalkerState], tuple[WalkerState, Tensor]]:
    """Returns the function that samples the wave function as it is when called: state -> (state, acceptance).

    The random moves are drawn first, n_steps * n_walkers * n_particles numbers and those of a global move; then parts
    of the walkers walk at the same time.

    In another dtype than the ansatz' the chains sample |Psi|^2 as that dtype rounds it. Positions and acceptance have
    the ansatz' dtype before and after; the proposal width stays as it is.

    Args:
        dtype: "ansatz", "float32" or "float64".
        sampler: how |Psi|^2 is sampled.
        ansatz: Keras model, positions -> (sign, log_abs_psi).
        n_particles: number of particles A.
        compiled: compiles a function of tensors, here the steps of one part of the walkers.

    Raises:
        ValueError: dtype is unknown, or the ansatz cannot be built in it from its configuration.
    """
    if dtype not in SAMPLING_DTYPES:
        raise ValueError(f"sampling_dtype = {dtype!r}: must be one of {', '.join(SAMPLING_DTYPES)}")
    dtype = ansatz.compute_dtype if dtype == "ansatz" else dtype
    twin = None if dtype == ansatz.compute_dtype else _twin(ansatz, dtype, n_particles)

    def walk(
        positions: Tensor, seed: Tensor, proposal_width: Tensor, noise: Tensor, candidates: Tensor | None = None
    ) -> Any:
        log_abs_psi = _with_weights_of(ansatz, twin) if twin else lambda positions: ansatz(positions)[1]
        log_abs_psi = tf.function(log_abs_psi, autograph=False)  # traced once, though the kernels call it four times
        state = WalkerState(positions, seed, proposal_width)
        return sampler.walk(log_abs_psi, state, sampler.n_steps, lambda index: noise[:, index], candidates)

    walk = compiled(walk)

    def sample(walkers: WalkerState) -> tuple[WalkerState, Tensor]:
        own, (n_walkers, _) = walkers.positions.dtype, walkers.positions.shape
        next_seed, seed, noise_seed, jump_seed = tf.unstack(tf.random.split(walkers.seed, 4))
        shape = (n_walkers, sampler.n_steps, n_particles if sampler.takes_noise else 0)
        noise = in_parts(tf.random.stateless_normal(shape, noise_seed, dtype=dtype))
        positions = in_parts(tf.cast(walkers.positions, dtype))
        seeds = tf.unstack(tf.random.split(seed, len(noise)))
        width = tf.cast(walkers.proposal_width, dtype)
        rows = [positions, seeds, [width] * len(noise), noise]
        if sampler.global_moves:
            rows.append(in_parts(sampler.candidates(jump_seed, n_walkers, n_particles, dtype)))
        ends = [walk(*row) for row in zip(*rows, strict=True)]
        moved, acceptances = zip(*ends, strict=True)
        positions = tf.cast(tf.concat(moved, axis=0), own)
        acceptance = tf.cast(tf.add_n(acceptances) / len(acceptances), own)
        return WalkerState(positions, next_seed, walkers.proposal_width), acceptance

    return sample


def _with_weights_of(ansatz: keras.Model, twin: keras.Model) -> LogAbsPsi:
    """Returns ln|Psi| of the twin with the ansatz' weights of this moment; the twin's own weights are never read."""
    pairs = zip(twin.variables, ansatz.variables, strict=True)
    weights = [(variable, tf.cast(source, variable.dtype)) for variable, source in pairs]

    def log_abs_psi(positions: Tensor) -> Tensor:
        with keras.StatelessScope(state_mapping=weights):
            return twin(positions)[1]

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
