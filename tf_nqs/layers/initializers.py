"""Start values of the layers."""

from __future__ import annotations

import keras


def uniform_by_fan_in(fan_in: int) -> keras.initializers.Initializer:
    """Returns U(-1, 1)/sqrt(fan_in), for kernels and biases alike.

    Biases must not start at zero: with zero biases Psi has the parity (-1)^A exactly, and the energy's gradient by
    every bias vanishes. Where the ground state's parity (-1)^(A(A-1)/2) differs (A = 1, 2, 5, 6, 9, ...) training
    could never leave the wrong sector.

    Args:
        fan_in: number of inputs that each output sums over, at least 1.
    """
    bound = fan_in**-0.5
    return keras.initializers.RandomUniform(-bound, bound, seed=keras.random.SeedGenerator())


def several_scales(shape: tuple[int, ...], dtype: str | None = None) -> keras.KerasTensor:
    """Returns numbers of alternating signs whose sizes are drawn log-uniformly from 1/4 to 4.

    Args:
        shape: of what is returned; signs alternate along its last axis.
        dtype: of what is returned.
    """
    exponents = keras.random.uniform(shape, -1.0, 1.0, dtype=dtype, seed=keras.random.SeedGenerator())
    signs = 1 - 2 * (keras.ops.arange(shape[-1]) % 2)
    return keras.ops.cast(signs, dtype) * 4.0**exponents
