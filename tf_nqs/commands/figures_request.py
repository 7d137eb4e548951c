"""The flags of `python -m tf_nqs.reproduce`, and the check of what was given."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tf_nqs import defaults
from tf_nqs.commands.command import help_block
from tf_nqs.commands.flags import Flag, Given, choice_flag, setting_flag
from tf_nqs.config.errors import SettingsError, must_be_given, shown, suggestion
from tf_nqs.studies.figures import SCALES, load_figures, load_runs
from tf_nqs.studies.figures.definitions import report_name
from tf_nqs.studies.plan import PlannedRun

OUTPUT_ALLOWED = "a file name that ends in .md"


class Request(NamedTuple):
    """What was asked for on the command line.

    Attributes:
        figures: names.
        scale: laptop or thesis.
        run_dir: the folder of all runs.
        output: the Markdown file.
        names: of the runs that may be started; None for all that the figures need.
        overrides: leaf name -> value, for all runs.
        max_seconds: training time of each run in this command; None for no limit.
    """

    figures: tuple[str, ...]
    scale: str
    run_dir: Path
    output: Path
    names: tuple[str, ...] | None
    overrides: dict[str, Any]
    max_seconds: float | None = None


def figure_flags() -> list[Flag]:
    """Returns the flags, the figures first, although they are given as words."""
    scale = (
        "thesis: 4096 walkers, Adam at 1e-4, up to 100000 iterations, hours for each run. laptop: the same techniques, "
        "fewer walkers, a larger learning rate."
    )
    max_seconds = (
        "Maximum training time of each run in this command, in seconds, not counting compilation, profile and "
        "measurement. A run that reaches it is drawn as far as it is but answers no question; the same command "
        "continues it, and runs that start from it wait."
    )
    places, names = "a new folder, or the folder of the same runs", "names of runs, with commas between them"
    output = (
        "Markdown file to write; default: for all figures docs/results.md, or docs/results_thesis.md at thesis scale; "
        "for some of them, or with another wave function, results.md in run_dir."
    )
    folder = "Folder of all runs, with a run folder each"
    ansatz = "Wave function of all runs; the thesis' own, and the one of its statements, is slater."
    arms = (
        "Start only these runs, and those that they start from; of the others, finished ones are drawn; default: all "
        "that the figures need."
    )
    return [
        Flag("figure", f"One of {', '.join(load_figures())}, or all.", "", label="FIGURE", is_word=True),
        choice_flag("scale", scale, SCALES),
        Flag("run_dir", f"{folder} ({places}; default: runs/figures_SCALE, or runs/figures_SCALE_ANSATZ).", places),
        Flag("output", f"{output} ({OUTPUT_ALLOWED})", OUTPUT_ALLOWED, read=_markdown_file),
        Flag("arms", f"{arms} ({names})", names, read=lambda text: _known_runs(text.split(","))),
        setting_flag("ansatz", text=ansatz),
        setting_flag("max_seconds", text=max_seconds),
        setting_flag("seed"),
        setting_flag("quiet"),
    ]


def runs_block() -> str:
    """Returns the part of the help that lists all runs."""
    runs = _all_runs().items()
    return help_block(
        "runs", {name: one.about + (f"; starts from {one.source}" if one.source else "") for name, one in runs}
    )


def _all_runs() -> dict[str, PlannedRun]:
    return load_runs(SCALES[0], ".")


def _markdown_file(text: str) -> Path:
    os.fsencode(text)  # raises ValueError for a name that no file can have
    if Path(text).suffix != ".md" or "\0" in text:
        raise ValueError(text)
    return Path(text)


def _known_runs(names: Sequence[str]) -> tuple[str, ...]:
    known = _all_runs()
    for name in names:
        if name not in known:
            raise SettingsError(f"arms = {shown(name)}: no such run; --help lists them{suggestion(name, known)}")
    return tuple(names)


def request_of(given: Given) -> Request:
    """Returns the request, its defaults filled in.

    Raises:
        SettingsError: an unknown figure, or a value that is not allowed.
    """
    known = list(load_figures())
    for name in given.words:
        if name not in (*known, "all"):
            # Another number is no misspelling, and all names are listed.
            meant = "" if re.fullmatch(r"fig\d+", name) else suggestion(name, known)
            raise SettingsError(f"{shown(name)}: no such figure; must be all or one of {', '.join(known)}{meant}")
    if not given.words:
        raise must_be_given("figure", f"all or one of {', '.join(known)}")
    is_all = "all" in given.words
    scale = given.own.get("scale", SCALES[0])
    overrides = dict(given.settings)
    ansatz = overrides.get("ansatz", defaults.ANSATZ)
    other = "" if ansatz == defaults.ANSATZ else re.sub(r"\W+", "_", f"_{ansatz}")
    run_dir = given.own.get("run_dir", f"runs/figures_{scale}{other}")
    is_report = is_all and not other
    output = given.own.get("output", Path(f"docs/{report_name(scale)}" if is_report else f"{run_dir}/results.md"))
    max_seconds = overrides.pop("max_seconds", None)  # limits this command, not the runs
    figures = tuple(known if is_all else (name for name in known if name in given.words))
    return Request(figures, scale, Path(run_dir), output, given.own.get("arms"), overrides, max_seconds)
