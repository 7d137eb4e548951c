"""TensorFlow's errors about a worker that has gone, as one line."""

from __future__ import annotations

import pytest
import tensorflow as tf

from tf_nqs import curve, evaluate, observe
from tf_nqs.commands import command as commands
from tf_nqs.commands import train
from tf_nqs.runtime.exit_status import EXIT_STATUS
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


@pytest.mark.parametrize(
    ("command", "advice"),
    [
        (train.COMMAND, "restart all workers with --resume, which continues from the last checkpoint"),
        (evaluate.COMMAND, "restart all workers"),
        (observe.COMMAND, "restart all workers"),
        (curve.COMMAND, "restart all workers; the same command continues with the runs that are not measured yet"),
    ],
)
def test_a_command_ends_with_one_line_that_says_how_to_go_on(command, advice, capsys, monkeypatch):
    """Also where a method of the trainer has noticed it first. Only training has --resume."""

    def work(given):
        with lost_workers_told(lambda: True):
            raise tf.errors.UnavailableError(None, None, ABORTED)

    monkeypatch.setattr(commands, "leave", lambda status: None)
    assert commands.main(command._replace(work=work), ["command", "--run_dir=x"]) == EXIT_STATUS["failed"]
    line = f"error: another worker has ended or does not answer; {advice}\n"
    assert capsys.readouterr().err == line
