"""What happens to a process whose fellow worker has gone: TensorFlow's errors as one line."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator

from tf_nqs.runtime.exit_status import WorkFailedError

_SIGNS = ("Collective ops is aborted", "Collective has timed out", "CoordinationService", "coordination service")
"""What TensorFlow's errors say where a collective has not come to its end."""


class LostWorkerError(WorkFailedError):
    """Another worker has ended, or does not answer; the message is one line. The last checkpoint is whole."""


@contextlib.contextmanager
def lost_workers_told(are_several: Callable[[], bool]) -> Iterator[None]:
    """Turns TensorFlow's error about a worker that has gone into a `LostWorkerError`, inside the `with` block.

    Args:
        are_several: whether this process is one of several workers; asked after an error.

    Raises:
        LostWorkerError: a worker has gone, or has not come to a sum of all within the strategy's time limit.
    """
    try:
        yield
    except Exception as error:
        if not is_of_lost_worker(error) or not are_several():
            raise
        raise LostWorkerError(
            "another worker has ended or does not answer; start all of them again with --resume, which continues from "
            "the last checkpoint"
        ) from error


def is_of_lost_worker(error: Exception) -> bool:
    """Returns whether TensorFlow raised an error because another worker has gone.

    Args:
        error: any error.
    """
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is None:
        return False
    kinds = tensorflow.errors
    if isinstance(error, kinds.UnavailableError | kinds.DeadlineExceededError):
        return True
    others = kinds.InternalError | kinds.AbortedError | kinds.CancelledError | kinds.FailedPreconditionError
    return isinstance(error, others) and any(sign in str(error) for sign in _SIGNS)
