"""The common part of all reports: machine, versions, settings, tables."""

from __future__ import annotations

import datetime
import json
import os
import platform
from pathlib import Path
from typing import Any, TextIO

import rich.console
import rich.table

CONSOLE = rich.console.Console(width=None if rich.console.Console().is_terminal else 160)


def machine() -> dict[str, Any]:
    """Returns processor, usable cores, memory in GiB, load, Python, date."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(memory, 1),
        "load": os.getloadavg()[0],
        "platform": platform.platform(),
        "python": platform.python_version(),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def _processor():
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def show_table(title: str, header: list[str], rows: list[list[str]]) -> None:
    """Prints a table: the first column left-aligned, numbers right-aligned."""
    table = rich.table.Table(title=title, title_justify="left")
    for index, name in enumerate(header):
        table.add_column(name, justify="right" if index else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    CONSOLE.print(table)


def say(text: str) -> None:
    """Prints a line at once."""
    CONSOLE.print(text, highlight=False, markup=False, soft_wrap=True)


def read_records(path: Path, key: str) -> list[dict[str, Any]]:
    """Returns the records with a key, one per line of a file that a benchmark continues; none without the file."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [record for record in map(json.loads, lines) if key in record]


def append_record(file: TextIO, record: dict[str, Any]) -> None:
    """Writes a record as a line at once, so that it survives a failure of the benchmark."""
    file.write(json.dumps(record) + "\n")
    file.flush()


def write_json(path: str | None, results: dict[str, Any]) -> None:
    """Writes results to a file, if one is given."""
    if path:
        Path(path).write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
        say(f"written to {path}")
