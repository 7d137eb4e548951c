"""The precision that a wave function is computed in."""

from __future__ import annotations

from typing import Any

import keras


def chosen_dtype(dtype: Any) -> Any:
    """Returns the dtype policy of an ansatz.

    Keras reads its floatx once, when the first layer is made: a later `set_floatx("float64")` would go unheard.

    Args:
        dtype: what the user gave, None for Keras' own.

    Raises:
        ValueError: it is neither float32 nor float64, and less loses the sign of Psi.
    """
    if dtype is None and keras.config.floatx() == "float64":
        dtype = "float64"
    policy = keras.config.dtype_policy() if dtype is None else keras.dtype_policies.get(dtype)
    if policy.name not in ("float32", "float64"):
        raise ValueError(f"dtype = {policy.name!r}: must be float32 or float64")
    return policy
