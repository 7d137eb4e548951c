"""TensorFlow's errors about a worker that has gone, as one line."""

from __future__ import annotations

import pytest
import tensorflow as tf

from tf_nqs.runtime.exit_status import EXIT_STATUS, exit_status_of
from tf_nqs.runtime.lost_worker import LostWorkerError, is_of_lost_worker, lost_workers_told

ABORTED = (
    "Collective ops is aborted by: recvmsg:Connection reset by peer\nThe error could be from a previous operation."
)


@pytest.mark.parametrize(
    ("error", "is_one"),
    [
        (tf.errors.UnavailableError(None, None, ABORTED), True),
        (tf.errors.DeadlineExceededError(None, None, "Collective has timed out during execution"), True),
        (tf.errors.InternalError(None, None, ABORTED), True),
        (tf.errors.InternalError(None, None, "Blas GEMM launch failed"), False),
        (tf.errors.ResourceExhaustedError(None, None, "OOM"), False),
        (ValueError("Collective ops is aborted"), False),
    ],
)
def test_which_errors_are_those_of_a_lost_worker(error, is_one):
    assert is_of_lost_worker(error) == is_one
    with pytest.raises(LostWorkerError if is_one else type(error)), lost_workers_told(lambda: True):
        raise error
    with pytest.raises(type(error)), lost_workers_told(lambda: False):
        raise error


def test_a_command_ends_with_one_line(capsys):
    def work():
        with lost_workers_told(lambda: True):
            raise tf.errors.UnavailableError(None, None, ABORTED)

    assert exit_status_of(work, "") == EXIT_STATUS["failed"]
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: another worker has ended or does not answer; start all of them again with --resume")
