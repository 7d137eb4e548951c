"""The files of a run whose training resumes: later rows are cut, and results of fewer iterations are put away."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from tf_nqs.callbacks.events import forget_events
from tf_nqs.callbacks.run_log import METRICS_COLUMNS
from tf_nqs.storage.files import replace_file
from tf_nqs.storage.outdated import put_away_results
from tf_nqs.storage.run_folder import RunFolder

logger = logging.getLogger(__name__)

_MOST_DIGITS = 18
"""Of an iteration in a file."""


def clear_what_follows(folder: RunFolder, iteration: int, is_over: bool) -> None:
    """Cuts the files of a run after an iteration, and puts the results so far away.

    Args:
        folder: of the run.
        iteration: of the checkpoint that training resumes from.
        is_over: whether training has ended, so that its results stay.
    """
    n_rows = keep_rows(folder.metrics, iteration, METRICS_COLUMNS)
    keep_rows(folder.windows, iteration)
    keep_rows(folder.conditions, iteration)
    if n_rows < iteration:
        logger.info(f"{folder.metrics.name} lacks {iteration - n_rows} of the first {iteration} iterations")
    if not is_over:
        forget_events(folder.path, iteration)
        put_away_results(folder)


def keep_rows(path: Path, last_iteration: int, columns: Sequence[str] = ()) -> int:
    """Cuts a CSV file after the row of an iteration; it is replaced as a whole, without its damaged rows.

    Args:
        path: the file, with a header and the iteration in the first column; need not exist.
        last_iteration: the iteration of the last row to keep.
        columns: of numbers, which all rows must have; empty if they are not known.

    Returns:
        The number of rows kept.
    """
    if not path.is_file():
        return 0
    with open(path, newline="", encoding="utf-8", errors="replace") as file:
        found, *rows = file.readlines() or [""]
    header = ",".join(columns) + "\r\n" if columns else found
    # A row without its newline was being written when the process was killed.
    whole = [row for row in rows if row.endswith("\n") and _is_row(row.rstrip().split(","), len(columns))]
    kept = [row for row in whole if int(row.partition(",")[0]) <= last_iteration]
    if len(kept) < len(rows) or header != found:
        content = "".join([header, *kept]).encode()  # bytes, as CSV has line ends of its own
        replace_file(path, lambda unfinished: unfinished.write_bytes(content))
    return len(kept)


def _is_row(cells: list[str], n_columns: int) -> bool:
    """Returns whether cells begin with an iteration and are `n_columns` numbers; 0 for any number of cells."""
    if not (cells[0].isascii() and cells[0].isdecimal() and len(cells[0]) <= _MOST_DIGITS):
        return False
    try:
        return not n_columns or len([float(cell or "nan") for cell in cells]) == n_columns
    except ValueError:
        return False
