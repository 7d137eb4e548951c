"""What happens to a process whose fellow worker has gone: TensorFlow's errors as one line."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator

from tf_nqs.runtime.exit_status import WorkFailedError

_SIGNS = ("Collective ops is aborted", "Collective has timed out", "CoordinationService", "coordination service")
"""What TensorFlow's errors say where a collective has not come to its end."""


RESTART = "restart all workers"
"""What to do after it, where nothing more is known."""


class LostWorkerError(WorkFailedError):
    """Another worker has ended, or does not answer; the message is one line. The last checkpoint is whole."""


@contextlib.contextmanager
def lost_workers_told(are_several: Callable[[], bool], advice: str = RESTART) -> Iterator[None]:
    """Turns TensorFlow's error about a worker that has gone into a `LostWorkerError`, inside the `with` block.

    Args:
        are_several: whether this process is one of several workers; asked after an error.
        advice: end of the message: how to go on. Of nested blocks the outermost one gives it.

    Raises:
        LostWorkerError: a worker has gone, or has not come to a sum of all within the strategy's time limit.
    """
    try:
        yield
    except Exception as error:
        is_told = isinstance(error, LostWorkerError)
        if not is_told and not (is_of_lost_worker(error) and are_several()):
            raise
        raise LostWorkerError(f"another worker has ended or does not answer; {advice}") from error


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
