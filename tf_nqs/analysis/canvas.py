"""Figures that are drawn to files: no pyplot, no display, no global state."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

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


def decorate(panel: Axes, grid_of: Literal["both", "x", "y"] = "both") -> None:
    """Draws grid lines behind everything else and hides the frame at the top and on the right.

    Args:
        panel: the axes.
        grid_of: axis whose ticks have grid lines.
    """
    panel.grid(axis=grid_of, color=GREY, lw=0.5)
    panel.set_axisbelow(True)
    panel.spines[["top", "right"]].set_visible(False)
