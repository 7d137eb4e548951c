"""Runs and figures, read from the data beside this file."""

from __future__ import annotations

import importlib.resources
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tf_nqs.config import settings_from
from tf_nqs.studies.plan import PlannedRun

SCALES = ("laptop", "thesis")

PRESET = "thesis"
"""The preset whose settings every run has unless it states others."""


class Curve(NamedTuple):
    """A run in a figure.

    Attributes:
        run: its name.
        label: its name in the legend.
        colour: its colour in the thesis.
        iterations: number of iterations in the thesis; None where it states none.
        energy: of the thesis, in hbar*omega; None where it states none.
        energy_error: of the thesis' own kind, in hbar*omega.
        source: section of the thesis with these numbers.
    """

    run: str
    label: str
    colour: str
    iterations: int | None = None
    energy: float | None = None
    energy_error: float | None = None
    source: str | None = None


class FigureDefinition(NamedTuple):
    """A figure of the thesis.

    Attributes:
        name: fig2 to fig13.
        title: what it is about.
        kind: what is drawn: energy, profile or schedule.
        curves: its runs, the first one on top.
        zoom: scale -> first and last iteration shown; empty for all.
        spikes: whether it is about single energies far from the others, so that the axis must include them all.
    """

    name: str
    title: str
    kind: str
    curves: tuple[Curve, ...]
    zoom: Mapping[str, list[int]] = {}
    spikes: bool = False


def load_runs(scale: str, run_dir: str | Path, overrides: Mapping[str, Any] | None = None) -> dict[str, PlannedRun]:
    """Returns all runs, by name, each behind the one it starts from.

    Args:
        scale: laptop or thesis.
        run_dir: the folder of all runs, which contains their run folders.
        overrides: setting -> value, for all runs.

    Raises:
        SettingsError: a setting cannot be used.
    """
    runs: dict[str, PlannedRun] = {}
    for name, entry in _read("runs.toml")["run"].items():
        own = {setting: value for setting, value in entry.items() if setting not in ("about", "start", *SCALES)}
        own |= entry.get(scale, {})
        start = entry.get("start")
        places = {"run_dir": str(Path(run_dir, name))}
        if start is not None:
            places["transfer_from"] = str(runs[start].folder)
        settings = settings_from(PRESET, shared_settings(scale) | own | dict(overrides or {}) | places)
        runs[name] = PlannedRun(name, settings, start, entry["about"], own)
    return runs


def shared_settings(scale: str) -> dict[str, Any]:
    """Returns setting -> value, of those in which all runs of a scale differ from the preset."""
    table = _read("runs.toml")
    return table["every"] | table[scale]


def load_figures() -> dict[str, FigureDefinition]:
    """Returns all figures, by name, in the order of the thesis."""
    figures = {}
    for name, entry in _read("figures.toml").items():
        curves = tuple(Curve(**curve) for curve in entry.pop("curve"))
        figures[name] = FigureDefinition(name, curves=curves, **entry)
    return figures


def report_name(scale: str) -> str:
    """Returns the default name of the report on all figures."""
    return f"results{'' if scale == SCALES[0] else f'_{scale}'}.md"


def runs_needed(names: Iterable[str], runs: Mapping[str, PlannedRun]) -> list[str]:
    """Returns some runs and all that they start from, in the order in which they can be made.

    Args:
        names: of the runs wanted.
        runs: all runs, by name.
    """
    needed: set[str] = set()
    for name in names:
        start: str | None = name
        while start is not None and start not in needed:
            needed.add(start)
            start = runs[start].source
    return [name for name in runs if name in needed]


def _read(file: str) -> dict[str, Any]:
    return tomllib.loads((importlib.resources.files(__package__) / file).read_text(encoding="utf-8"))
