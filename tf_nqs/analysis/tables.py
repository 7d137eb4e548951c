"""Tables for the terminal: one printer for all of them."""

from __future__ import annotations

import io
import shutil
import sys
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from tf_nqs.runtime.terminal import SPELLED_OUT

DEFAULT_WIDTH = 100
"""Columns of a table where there is no terminal to ask."""


def terminal_table(
    sections: Sequence[Sequence[Sequence[str]]],
    header: Sequence[str] | None = None,
    *,
    n_left: int = 1,
    styled: bool | None = None,
    ascii_only: bool | None = None,
    width: int | None = None,
    default_width: int = DEFAULT_WIDTH,
) -> str:
    """Returns an aligned table, lines joined by newlines, without a newline at its end.

    Args:
        sections: the cells: section, row, column. A line separates two sections.
        header: names of the columns; None for none, and then the first column holds names.
        n_left: number of columns that are aligned to the left; the others are aligned to the right.
        styled: whether to write terminal escapes (bold); None asks whether stdout is a terminal.
        ascii_only: whether to avoid all but ASCII characters; None asks whether stdout takes UTF-8.
        width: maximum number of characters in a line; longer cells are folded. None asks the terminal.
        default_width: width where there is no terminal.
    """
    styled = sys.stdout.isatty() if styled is None else styled
    if ascii_only is None:
        ascii_only = "utf" not in (getattr(sys.stdout, "encoding", None) or "ascii").lower()
    if width is None:
        width = shutil.get_terminal_size((default_width, 24)).columns if sys.stdout.isatty() else default_width

    def plain(text: str) -> str:
        return text.encode("ascii", SPELLED_OUT).decode("ascii") if ascii_only else text

    table = Table(box=box.ASCII if ascii_only else box.ROUNDED, show_header=header is not None)
    for index, name in enumerate(header or sections[0][0]):
        is_name = header is None and index == 0
        table.add_column(
            plain(name),
            justify="left" if index < n_left else "right",
            overflow="fold",
            style="bold" if is_name else None,
            no_wrap=is_name,
        )
    for section in sections:
        for row in section:
            table.add_row(*map(plain, row))
        table.add_section()
    out = io.StringIO()
    Console(
        file=out,
        width=width,
        force_terminal=styled,
        color_system="standard" if styled else None,
        legacy_windows=False,
        markup=False,
        highlight=False,
    ).print(table)
    return out.getvalue().rstrip("\n")
