"""The command line that draws the thesis' figures from runs: python -m tf_nqs.reproduce.

Exit status: 0 drawn, 2 bad input, 3 a run has no finite energy, 130 interrupted.
"""

from __future__ import annotations

import functools
import sys

from tf_nqs.commands import command
from tf_nqs.commands.figures_request import figure_flags, request_of, runs_block
from tf_nqs.runtime import startup

USAGE = """\
Draws the figures of the thesis from runs of this package, and compares energies and iterations with the thesis.

usage: python -m tf_nqs.reproduce FIGURE [FIGURE ...] [--setting=value ...]
example: python -m tf_nqs.reproduce fig3 fig6
example: python -m tf_nqs.reproduce all --scale=laptop

Each curve is a run of its own; a run that several figures show, or that others start from, is made once. A run that is
finished in the folder is used as it is, and an unfinished one continues from its last checkpoint. So the same command
continues where an interrupted one stopped, and --max_seconds splits long runs into parts. At laptop scale every run
takes less than two minutes on two cores, and all figures take less than an hour."""

OUTCOME = """\
Writes one Markdown file with picture, table and comparison of every figure, its pictures into a folder of the same name
beside it, and prints the table."""

COMMAND = command.Command(
    name="tf-nqs-reproduce",
    program="python -m tf_nqs.reproduce",
    summary="draw the figures of the thesis from runs",
    usage=USAGE,
    flags=figure_flags,
    work=lambda given: startup.call_late("tf_nqs.commands.draw_figures:reproduce", request_of(given)),
    outcome=lambda: f"{runs_block()}\n\n{OUTCOME}",
    interrupted="the same command continues the runs that are not finished",
)

main = functools.partial(command.main, COMMAND)

if __name__ == "__main__":
    sys.exit(main())
