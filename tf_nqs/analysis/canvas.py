"""Figures that are drawn to files: no pyplot, no display, no global state."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tf_nqs.storage.files import replace_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GREY = "#d9d9d9"
"""Grid lines."""

A_HO = r"$a_\mathrm{ho}$"
"""The unit of length, as matplotlib sets it."""

_SYMBOLS = {
    r"\bA(?= = )": "$A$",
    r"\bV0\b": "$V_0$",
    r"\bsigma0\b": r"$\sigma_0$",
    r"\ba_ho\b": A_HO,
    r"(?<= )-(?=[0-9])": "\N{MINUS SIGN}",
}
"""How a symbol is written in plain text, as a regular expression -> how matplotlib sets it."""


def mathematics(text: str) -> str:
    """Returns a headline or a label with its symbols set as mathematics: V0 with an index, a minus for a hyphen.

    Args:
        text: plain, as it is said on a terminal.
    """
    for plain, symbol in _SYMBOLS.items():
        text = re.sub(plain, symbol.replace("\\", r"\\"), text)
    return text


def new_figure(width: float, height: float) -> Figure:
    """Returns an empty figure.

    Matplotlib is loaded by the first one: a training need not wait for it.

    Args:
        width: in inches.
        height: in inches.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Figure, path: str | Path, dpi: int = 160) -> None:
    """Writes a figure, whole or not at all.

    Args:
        figure: to write.
        path: file to write; its suffix is the format, PNG where it has none.
        dpi: resolution of PNG, and of what other formats hold as pixels.
    """
    path = Path(path)
    replace_file(path, lambda unfinished: figure.savefig(unfinished, dpi=dpi, format=path.suffix[1:] or "png"))


def decorate(panel: Axes, grid_of: Literal["both", "x", "y"] = "both") -> None:
    """Draws grid lines behind everything else and hides the frame at the top and on the right.

    Args:
        panel: the axes.
        grid_of: axis whose ticks have grid lines.
    """
    panel.grid(axis=grid_of, color=GREY, lw=0.5)
    panel.set_axisbelow(True)
    panel.spines[["top", "right"]].set_visible(False)
