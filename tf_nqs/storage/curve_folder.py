"""Where the files of a curve are."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple


class CurveFolder(NamedTuple):
    """Where the files of a curve are; making this record touches no file.

    Attributes:
        path: the folder.
    """

    path: Path

    @property
    def table(self) -> Path:
        """A row per point."""
        return self.path / "curve.csv"

    @property
    def plot(self) -> Path:
        """The picture."""
        return self.path / "curve.png"

    @property
    def differences(self) -> Path:
        """A row per pair of points of the same system."""
        return self.path / "differences.csv"

    @property
    def points(self) -> Path:
        """A folder with a file per measured point, which are not measured again."""
        return self.path / "curve_points"

    @property
    def results(self) -> tuple[Path, ...]:
        """All but the points."""
        return self.table, self.plot, self.differences

    def point(self, identity: Mapping[str, Any]) -> Path:
        """Returns the file of a point.

        Args:
            identity: what its measurement depends on.
        """
        return self.points / f"{_digest(identity)}.npz"

    def overlap(self, first: Mapping[str, Any], second: Mapping[str, Any]) -> Path:
        """Returns the file of the overlap of two points, by their identities."""
        return self.points / f"{_digest(first)}-{_digest(second)}.json"


def _digest(identity: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
