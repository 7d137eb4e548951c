"""Plain names for folders whose own names TensorFlow would read as patterns."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

PATTERN_CHARACTERS = "*?[\\"
"""TensorFlow finds the files of checkpoints by patterns that contain the whole path."""


def is_plain(path: str | Path) -> bool:
    """Returns whether a path has no pattern characters, so that TensorFlow finds its files."""
    return not any(character in str(path) for character in PATTERN_CHARACTERS)


@contextlib.contextmanager
def plain_path(folder: Path) -> Iterator[Path]:
    """Gives a plain name of a folder, valid in this process inside the `with` block.

    Args:
        folder: one that exists, unless its own name is plain.

    Raises:
        OSError: it cannot be opened.
    """
    if is_plain(folder):
        yield folder
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield Path("/proc/self/fd", str(descriptor))
    finally:
        os.close(descriptor)
