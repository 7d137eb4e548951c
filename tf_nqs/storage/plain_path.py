"""Folders whose names TensorFlow would take for patterns, under names that it takes as they are."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

PATTERN_CHARACTERS = "*?[\\"
"""TensorFlow looks for the files of checkpoints by patterns, made of the whole path."""


def is_plain(path: str | Path) -> bool:
    """Returns whether TensorFlow takes a path as it is."""
    return not any(character in str(path) for character in PATTERN_CHARACTERS)


@contextlib.contextmanager
def plain_path(folder: Path) -> Iterator[Path]:
    """Gives a name of a folder that TensorFlow takes as it is, valid in this process while inside the `with` block.

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
