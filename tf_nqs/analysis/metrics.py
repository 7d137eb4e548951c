"""Reading a run's metrics.csv back."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

REQUIRED_COLUMNS = ("iteration", "energy")
"""What every reader of the file needs; all other columns of the header are passed on as they are."""

MISSING = frozenset({"", "NA"})
"""Words for a number that is not there; "nan" and "inf" are numbers already."""


def read_metrics(path: str | Path) -> dict[str, np.ndarray]:
    """Returns the columns of a metrics file: a header, then a line per iteration.

    A last line without its newline was being written when the run was killed. It is left out even if it looks whole,
    for its last number may have lost digits.

    Args:
        path: a CSV file, e.g. `metrics.csv` of a run folder. Energies are in hbar*omega, lengths in a_ho, times in
        seconds.

    Returns:
        Column name -> array of shape (n_iterations,), in the order of the header: int64 for `iteration`, float64 for
        all others, nan where a number is missing.

    Raises:
        OSError: if the file cannot be read.
        ValueError: if the file has no whole header line, the header lacks `iteration` or `energy` or repeats a name,
            or a whole line has another number of fields or something that is not a number; the message names file,
            line and column.
    """
    text = Path(path).read_text(encoding="utf-8-sig")
    lines = text.splitlines()
    if lines and not text.endswith(("\n", "\r")):
        lines.pop()
    if not lines:
        raise ValueError(f"{path}: no whole header line")
    rows = list(csv.reader(lines, skipinitialspace=True))
    names = [name.strip() for name in rows[0]]
    _check_header(names, path)
    numbers = [_parse_row(row, names, f"{path}, line {line}") for line, row in enumerate(rows[1:], start=2) if row]
    table = np.array(numbers, dtype=np.float64).reshape(len(numbers), len(names))
    columns = {name: table[:, index].copy() for index, name in enumerate(names)}
    columns["iteration"] = _whole_numbers(columns["iteration"], path)
    return columns


def _check_header(names: list[str], path: str | Path) -> None:
    """Raises ValueError if the column names cannot be those of a metrics file."""
    missing = [name for name in REQUIRED_COLUMNS if name not in names]
    if missing:
        raise ValueError(f"{path}: the header lacks {', '.join(missing)}; it is {','.join(names)!r}")
    if len(set(names)) < len(names):
        raise ValueError(f"{path}: the header repeats a name; it is {','.join(names)!r}")


def _parse_row(row: list[str], names: list[str], where: str) -> list[float]:
    """Returns the numbers of one line."""
    if len(row) != len(names):
        raise ValueError(f"{where}: {len(row)} fields, but the header has {len(names)}")
    numbers = []
    for name, field in zip(names, row, strict=True):
        try:
            numbers.append(np.nan if field.strip() in MISSING else float(field))
        except ValueError:
            raise ValueError(f"{where}, column {name}: {field!r} is not a number") from None
    return numbers


def _whole_numbers(iterations: np.ndarray, path: str | Path) -> np.ndarray:
    """Returns the iterations as int64."""
    if not np.all(np.isfinite(iterations)) or np.any(iterations != np.floor(iterations)):
        raise ValueError(f"{path}: column iteration must hold whole numbers")
    return iterations.astype(np.int64)
