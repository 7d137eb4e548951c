"""The record of iterations: every number stands in the column of its own name."""

from __future__ import annotations

import tensorflow as tf

from tf_nqs.sampling.sample_reuse import SampleLog
from tf_nqs.training.record import COLUMNS, columns_of_last_call, empty_record, with_row
from tf_nqs.types import EnergyEstimate


class Reordered(SampleLog):
    """The same fields in another order."""

    def _asdict(self):
        return dict(reversed(super()._asdict().items()))


def test_numbers_go_into_the_column_of_their_name():
    values = {name: float(number) for number, name in enumerate(COLUMNS, start=1)}
    estimate = EnergyEstimate(**{name: values[name] for name in EnergyEstimate._fields})
    log = Reordered(**{name: values[name] for name in SampleLog._fields})
    record = with_row(empty_record(2), tf.constant(0), tf.constant(1), estimate, log)
    assert {name: float(column[0]) for name, column in columns_of_last_call(record.numpy()).items()} == values
