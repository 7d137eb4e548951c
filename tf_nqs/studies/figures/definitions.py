"""Arms and figures, read from the data beside this file."""

from __future__ import annotations

import importlib.resources
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tf_nqs.config import Settings, settings_from
from tf_nqs.studies.plan import folder_of

SCALES = ("laptop", "thesis")

PRESET = "thesis"
"""The preset whose settings every arm has where it says nothing else."""


class Arm(NamedTuple):
    """A run that figures show, or that others start from.

    Attributes:
        name: of the arm and of its run folder.
        about: what it is, in a few words.
        start: name of the arm whose weights it starts from; None for random ones.
        settings: all settings, with its folder and that of `start`.
        own: leaf name -> value of the settings by which it differs from other arms of its scale.
    """

    name: str
    about: str
    start: str | None
    settings: Settings
    own: dict[str, Any]


class Curve(NamedTuple):
    """An arm in a figure.

    Attributes:
        arm: its name.
        label: what the legend calls it.
        colour: that of the thesis.
        iterations: until the thesis' run ended, None where it states none.
        energy: of the thesis, in hbar*omega; None where it states none.
        energy_error: of the thesis' own kind, in hbar*omega.
        source: where in the thesis these stand.
    """

    arm: str
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
        curves: its arms, the first one on top.
        zoom: scale -> first and last iteration shown; empty for all.
        spikes: whether it is about single energies far from the others, so that the axis must hold them all.
    """

    name: str
    title: str
    kind: str
    curves: tuple[Curve, ...]
    zoom: Mapping[str, list[int]] = {}
    spikes: bool = False


def load_arms(scale: str, run_dir: str | Path, overrides: Mapping[str, Any] | None = None) -> dict[str, Arm]:
    """Returns all arms, by name, each behind the one it starts from.

    Args:
        scale: laptop or thesis.
        run_dir: the folder of all arms; the run folder of each is in it.
        overrides: leaf name -> value, for all arms.

    Raises:
        SettingsError: a setting cannot be used.
    """
    table = _read("arms.toml")
    shared = table["every"] | table[scale]
    arms: dict[str, Arm] = {}
    for name, entry in table["arm"].items():
        own = {leaf: value for leaf, value in entry.items() if leaf not in ("about", "start", *SCALES)}
        own |= entry.get(scale, {})
        start = entry.get("start")
        places = {"run_dir": str(Path(run_dir, name))}
        if start is not None:
            places["transfer_from"] = str(folder_of(arms[start].settings))
        settings = settings_from(PRESET, shared | own | dict(overrides or {}) | places)
        arms[name] = Arm(name, entry["about"], start, settings, own)
    return arms


def shared_settings(scale: str) -> dict[str, Any]:
    """Returns leaf name -> value of the settings by which all arms of a scale differ from the preset."""
    table = _read("arms.toml")
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


def arms_needed(names: Iterable[str], arms: Mapping[str, Arm]) -> list[str]:
    """Returns some arms and all that they start from, in the order in which they can be run.

    Args:
        names: of the arms wanted.
        arms: all arms, by name.
    """
    needed: set[str] = set()
    for name in names:
        start: str | None = name
        while start is not None and start not in needed:
            needed.add(start)
            start = arms[start].start
    return [name for name in arms if name in needed]


def _read(file: str) -> dict[str, Any]:
    return tomllib.loads((importlib.resources.files(__package__) / file).read_text(encoding="utf-8"))
