"""The numbers of all iterations of a call, in one tensor: they leave TensorFlow together."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tf_nqs.physics.parameters import SystemParameters
from tf_nqs.sampling.sample_reuse import SampleLog
from tf_nqs.types import EnergyEstimate, Tensor

COLUMNS = ("iteration", *EnergyEstimate._fields, *SampleLog._fields)
"""What is recorded of every iteration."""


def empty_record(n_rows: int) -> Tensor:
    """Returns a record without any iteration, float64, shape (n_rows, len(COLUMNS))."""
    return tf.zeros((n_rows, len(COLUMNS)), tf.float64)


CONDITION_COLUMNS = ("n_particles", "interaction_strength", "interaction_range", *EnergyEstimate._fields)
"""What is recorded of every system of a family in every iteration."""


def with_systems(
    record: Tensor,
    index: Tensor,
    parameters: list[tuple[int, SystemParameters]],
    estimates: list[EnergyEstimate],
) -> Tensor:
    """Returns the record of a family's systems with one row replaced.

    Args:
        record: shape (n_rows, n_systems, len(CONDITION_COLUMNS)).
        index: of the row, integer scalar.
        parameters: number of particles, and parameters of shape (n_systems,), of each number of particles.
        estimates: their energies, of the same shape.
    """
    blocks = []
    for (n_particles, one), estimate in zip(parameters, estimates, strict=True):
        numbers = (n_particles * tf.ones_like(one.strength), one.strength, one.width, *estimate)
        blocks.append(tf.stack([tf.cast(number, tf.float64) for number in numbers], axis=1))
    return tf.tensor_scatter_nd_update(record, tf.reshape(index, (1, 1)), tf.concat(blocks, axis=0)[None])


def with_row(record: Tensor, index: Tensor, iteration: Tensor, estimate: EnergyEstimate, log: SampleLog) -> Tensor:
    """Returns the record with one row replaced.

    Args:
        record: shape (n_rows, len(COLUMNS)).
        index: of the row, integer scalar.
        iteration: number of the iteration; this and the numbers below are scalars of any dtype.
        estimate: its energy.
        log: its samples.
    """
    numbers = {"iteration": iteration, **estimate._asdict(), **log._asdict()}
    row = tf.stack([tf.cast(numbers[name], tf.float64) for name in COLUMNS])
    return tf.tensor_scatter_nd_update(record, tf.reshape(index, (1, 1)), row[None])


def columns_of_last_call(record: np.ndarray) -> dict[str, np.ndarray]:
    """Returns column name -> values of the iterations of the last call.

    Args:
        record: its rows from the first one on are those of the last call; behind them may stand some of an earlier,
            longer one, whose iterations have lower numbers, and empty ones.
    """
    rows = record[(record[:, 0] > 0) & (record[:, 0] >= record[0, 0])]
    return dict(zip(COLUMNS, rows.T, strict=True))
