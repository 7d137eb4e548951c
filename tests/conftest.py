"""What holds for all tests."""

from __future__ import annotations

import contextlib
import logging
import resource
import signal
import tempfile

import pytest

from tf_nqs.runtime.startup import set_environment

set_environment()  # before NumPy and TensorFlow are loaded: tests run what the commands run


@pytest.fixture(scope="session", autouse=True)
def _own_cache():
    """Keeps the processes that tests start from the cache of the user, and from that of an earlier run of the tests."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", folder)
        yield


def pytest_configure():
    """Gives signals back that are ignored, or the processes that tests start would ignore them too.

    The workers of pytest-xdist ignore Ctrl-C, and a test run under nohup the end of its terminal.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture
def largest_file():
    """Context manager inside of which the system writes no more than some bytes of any file, for root too.

    That is how a disk looks that is full. Nothing may be printed inside of it but to capsys: pytest's files grow.
    """

    @contextlib.contextmanager
    def limited(n_bytes):
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return limited


@pytest.fixture
def messages():
    """List that receives every message that tf_nqs logs."""
    received: list[str] = []
    logger, handler = logging.getLogger("tf_nqs"), logging.Handler()
    handler.emit = lambda record: received.append(record.getMessage())
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield received
    logger.removeHandler(handler)
    logger.setLevel(level)
