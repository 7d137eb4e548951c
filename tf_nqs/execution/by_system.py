"""Functions of the walkers of one system, applied to each system of a family: walkers stand in equal blocks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tf_nqs.types import Tensor


def by_system(function: Callable, n_systems: int, *rows: Tensor) -> Any:
    """Returns a function of the walkers of one system, for each of several systems.

    Args:
        function: of tensors with one row per walker, to tensors in any structure.
        n_systems: how many blocks of walkers there are, one for each system; for 1 the function is called once.
        rows: shape (n_walkers, ...).

    Returns:
        What the function returns; of several systems with an axis (n_systems, ...) in front.
    """
    if n_systems == 1:
        return function(*rows)
    blocks = tuple(tf.reshape(one, (n_systems, one.shape[0] // n_systems, *one.shape[1:])) for one in rows)
    mapped = tf.autograph.experimental.do_not_convert(lambda block: function(*block))
    return tf.vectorized_map(mapped, blocks)


def rows_by_system(function: Callable[..., Tensor], n_systems: int, *rows: Tensor) -> Tensor:
    """Returns the same of a function whose result has one row per walker, as one tensor (n_walkers, ...)."""
    result = by_system(function, n_systems, *rows)
    return result if n_systems == 1 else tf.reshape(result, (rows[0].shape[0], *result.shape[2:]))


def number_of_systems(proposal_width: Tensor) -> int:
    """Returns the number of systems that walkers belong to, by their proposal width: a scalar belongs to one."""
    return proposal_width.shape[0] if proposal_width.shape.rank else 1
