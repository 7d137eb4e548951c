"""The report on all figures: pictures, tables and sentences in one Markdown file, a table for the terminal."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tf_nqs.analysis.notation import format_with_error
from tf_nqs.analysis.report import SIGMA
from tf_nqs.analysis.tables import terminal_table
from tf_nqs.analysis.words import stop_words
from tf_nqs.storage.files import replace_text
from tf_nqs.studies.figures.definitions import PRESET, SCALES, Curve, FigureDefinition, report_name, shared_settings
from tf_nqs.studies.figures.drawing import draw_figure
from tf_nqs.studies.figures.outcomes import Outcome
from tf_nqs.studies.figures.questions import answered

COLUMNS = (
    "run",
    "thesis: iterations",
    "thesis: energy",
    "iterations",
    "stopped by",
    "energy",
    "reference",
    "off reference",
    "samplings",
    "training, s",
    "total, s",
)
"""Header of the table of a figure; energies in hbar*omega."""

VERDICTS = {True: "agrees", False: "differs", None: "not decided"}

_ON_TERMINAL = tuple(name for name in COLUMNS if name not in ("reference", "total, s"))

_WIDTH_WITHOUT_TERMINAL = 160


def write_report(
    figures: Sequence[FigureDefinition], outcomes: Mapping[str, Outcome], scale: str, output: Path
) -> list[Path]:
    """Writes the report, and its pictures into a folder of its name beside it.

    Args:
        figures: those to report on.
        outcomes: name of a run -> its outcome; curves of other runs are left out.
        scale: laptop or thesis.
        output: the Markdown file.

    Returns:
        The files written.
    """
    pictures = output.with_suffix("")
    pictures.mkdir(parents=True, exist_ok=True)
    blocks, written = [_head(scale, outcomes, output), _summary(figures, outcomes)], []
    for figure in figures:
        if not any(curve.run in outcomes for curve in figure.curves):
            continue
        path = pictures / f"{figure.name}.png"
        draw_figure(figure, outcomes, scale, path)
        written.append(path)
        blocks += _section(figure, outcomes, f"{pictures.name}/{path.name}")
    blocks += _runs_section(scale, outcomes)
    replace_text(output, "\n\n".join(blocks) + "\n")
    return [output, *written]


def rows_of(figure: FigureDefinition, outcomes: Mapping[str, Outcome]) -> list[list[str]]:
    """Returns the table of a figure: a row of `COLUMNS` per curve, "not run" where there is no outcome."""
    return [_row(curve, outcomes.get(curve.run)) for curve in figure.curves]


def figures_table(figures: Sequence[FigureDefinition], outcomes: Mapping[str, Outcome]) -> str:
    """Returns the tables of all figures as one for the terminal, without a newline at its end."""
    sections = []
    for figure in figures:
        rows = [
            [cell for name, cell in zip(COLUMNS, row, strict=True) if name in _ON_TERMINAL]
            for row in rows_of(figure, outcomes)
        ]
        sections.append([[figure.name if index == 0 else "", *row] for index, row in enumerate(rows)])
    return terminal_table(sections, ("figure", *_ON_TERMINAL), n_left=2, default_width=_WIDTH_WITHOUT_TERMINAL)


def _row(curve: Curve, outcome: Outcome | None) -> list[str]:
    thesis = [_count(curve.iterations), thesis_energy(curve.energy, curve.energy_error)]
    if outcome is None:
        return [curve.label, *thesis, "not run", *[""] * (len(COLUMNS) - 4)]
    return [curve.label, *thesis, *_numbers(outcome)]


def thesis_energy(energy: float | None, error: float | None) -> str:
    """Returns an energy with the one digit of its error that the thesis states, 10.8938(7); "-" for none."""
    if energy is None or error is None:
        return "-"
    decimals = -math.floor(math.log10(error))
    return f"{energy:.{decimals}f}({round(error * 10**decimals)})"


def _numbers(outcome: Outcome) -> list[str]:
    """Returns our columns of a row."""
    result = outcome.result
    reference, sigmas = result["reference_energy"], result["deviation_in_sigma"]
    off = [] if reference is None else [f"{outcome.energy - reference:+.4f}"]
    off += [] if sigmas is None else [f"({sigmas:+.1f} {SIGMA})"]
    return [
        _count(outcome.iterations),
        stop_words(result["stop_reason"]),
        format_with_error(outcome.energy, outcome.energy_error),
        format_with_error(reference, result["reference_uncertainty"]),
        " ".join(off) or "-",
        _count(result["n_samplings"]),
        f"{result['seconds_training']:.0f}",
        f"{result['seconds_total']:.0f}",
    ]


def _count(number: int | None) -> str:
    return "-" if number is None else f"{number:,}"


def _head(scale: str, outcomes: Mapping[str, Outcome], output: Path) -> str:
    """Returns the title, and an explanation of the numbers."""
    minutes = sum(outcome.result["seconds_total"] for outcome in outcomes.values()) / 60
    longest = max(outcome.result["seconds_total"] for outcome in outcomes.values())
    versions = next(iter(outcomes.values())).result["versions"]
    return f"""\
# The figures of the thesis, at {scale} scale

Written by `python -m tf_nqs.reproduce` from {len(outcomes)} runs, which took {minutes:.0f} minutes, the longest
{longest:.0f} seconds, on {os.cpu_count()} CPU cores, with
{", ".join(f"{name} {version}" for name, version in versions.items())}.
{_other_scales(scale, output)}

Energies are in ħω. Ours are measured after training, with fresh samples and frozen weights, and their errors count the
correlation along the Markov chains; those of the thesis are of its own kind (its Eq. 13), so compare centres only. The
reference is an upper bound by diagonalisation, whose uncertainty says how far below it the truth may lie. In the
pictures, thin lines are single iterations, thick ones their running means, and a point is where training ended."""


def _other_scales(scale: str, output: Path) -> str:
    """Returns how to make the figures at the other scale, with a link if their report is in the same folder."""
    lines = []
    for other in SCALES:
        if other == scale:
            continue
        name = report_name(other)
        there = f": [{name}]({name})" if output.with_name(name).is_file() else ""
        lines.append(f"`python -m tf_nqs.reproduce all --scale={other}` makes them at {other} scale{there}.")
    return "\n".join(lines)


def _summary(figures: Sequence[FigureDefinition], outcomes: Mapping[str, Outcome]) -> str:
    """Returns all statements of the thesis, grouped by verdict."""
    lines = [
        "Some of these answers are about this scale and this seed alone; a difference of energies counts beyond three "
        "combined errors."
    ]
    given = [(figure, one) for figure in figures for one in answered(figure.name, outcomes)]
    for agrees, verdict in VERDICTS.items():
        these = [f"- {question.statement} ({figure.name})" for figure, (question, a) in given if a.agrees is agrees]
        if these:
            lines.append(f"**{verdict.capitalize()}, {len(these)} of {len(given)}:**")
            lines.append("\n".join(these))
    return "\n\n".join(["## What agrees with the thesis", *lines])


def _section(figure: FigureDefinition, outcomes: Mapping[str, Outcome], picture: str) -> list[str]:
    """Returns the section of a figure: heading, picture, table, and the answers to the statements on it."""
    title = f"Figure {figure.name.removeprefix('fig')}: {figure.title}"
    blocks = [f"## {title}", f"![{title}]({picture})", markdown_table(COLUMNS, rows_of(figure, outcomes))]
    lines = [
        f"- **{VERDICTS[answer.agrees]}** — {question.statement} ({question.source}) *Here:* {answer.text}"
        for question, answer in answered(figure.name, outcomes)
    ]
    return blocks + (["\n".join(lines)] if lines else [])


def _runs_section(scale: str, outcomes: Mapping[str, Outcome]) -> list[str]:
    """Returns the section on the runs: their common settings, and the own settings of each."""
    rows = []
    for name, outcome in outcomes.items():
        run = outcome.run
        own = ", ".join(f"`{setting} = {_shown(value)}`" for setting, value in run.own.items())
        rows.append([f"`{name}`", run.about, f"`{run.source}`" if run.source else "", own, *_numbers(outcome)])
    settings = ", ".join(f"`{setting} = {_shown(value)}`" for setting, value in shared_settings(scale).items())
    return [
        "## The runs",
        f"All have the settings of the preset `{PRESET}` (no pretraining, no global moves), then {settings}, and their "
        "own. Sources of a transfer end by early stopping too.",
        markdown_table(("run", "what it is", "starts from", "own settings", *COLUMNS[3:]), rows),
    ]


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Returns a table in Markdown, without a newline at its end."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else f"{value:g}"
