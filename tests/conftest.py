"""What holds for all tests."""

from __future__ import annotations

import signal


def pytest_configure():
    """Gives Ctrl-C back to the workers of pytest-xdist: they ignore it, and so would the processes that tests start."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
