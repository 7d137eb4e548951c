"""The command line that draws the thesis' figures from runs: python -m tf_nqs.reproduce.

Exit status: 0 drawn, 2 bad input, 3 an arm has no finite energy, 130 interrupted.
"""

from __future__ import annotations

import itertools
import logging
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from absl import flags

from tf_nqs.commands.help_text import help_block, setting_help, wanted_help
from tf_nqs.commands.train import define_flag, from_text, parse_flags
from tf_nqs.config import SettingsError
from tf_nqs.config.errors import shown, suggestion
from tf_nqs.config.fields import field_allowed
from tf_nqs.config.settings import FIELDS, value_type
from tf_nqs.runtime.exit_status import exit_status_of
from tf_nqs.runtime.terminal import printed_messages, say
from tf_nqs.storage.files import told_in_one_line
from tf_nqs.storage.run_folder import lock_folder
from tf_nqs.studies.figures import SCALES, Arm, load_arms, load_figures
from tf_nqs.studies.figures.report import figures_table, report_name, write_report
from tf_nqs.studies.figures.running import find_finished, run_arms

logger = logging.getLogger(__name__)

USAGE = """\
Draws the figures of the thesis from runs of this package, and compares their energies and iterations with its own.

usage: python -m tf_nqs.reproduce FIGURE [FIGURE ...] [--setting=value ...]
example: python -m tf_nqs.reproduce fig3 fig6
example: python -m tf_nqs.reproduce all --scale=laptop

Each curve is an arm, a run of its own; arms that several figures share, or others start from, are run once. An arm
that is finished in the folder is taken as it is, and one that is not goes on from its last checkpoint, so the same
command goes on where an interrupted one stopped; --max_seconds makes long arms in slices. At laptop scale every arm
takes less than two minutes on two cores, and all figures take less than an hour."""

OUTCOME = """\
Writes one Markdown file with picture, table and comparison of every figure asked for, its pictures in a folder of the
same name beside it, and prints the table."""

LOCK_FILE = ".figures"

ALLOWED = {
    "scale": " or ".join(SCALES),
    "run_dir": "a new folder, or that of the same arms",
    "output": "a file name that ends in .md",
    "arms": "names of arms, with commas between them",
}
"""Flag -> what it must be."""

SETTINGS = ("seed", "quiet")
"""Settings of a run that are flags here too."""

SLICE = "max_seconds"
"""Flag, of the values of the setting of that name; but it counts what one command trains, and is no setting of arms."""


class Request(NamedTuple):
    """What was asked for on the command line.

    Attributes:
        figures: names.
        scale: laptop or thesis.
        run_dir: the folder of all arms.
        output: the Markdown file.
        arms: names of those that may be run; None for all that the figures need.
        overrides: leaf name -> value, for all arms.
        max_seconds: of training of each arm now; None for no limit.
    """

    figures: tuple[str, ...]
    scale: str
    run_dir: Path
    output: Path
    arms: tuple[str, ...] | None
    overrides: dict[str, Any]
    max_seconds: float | None = None


def help_text() -> str:
    """Returns the text of `--help`."""
    entries = {
        "FIGURE": f"One of {', '.join(load_figures())}, or all.",
        "--scale": "thesis: 4096 walkers, Adam at 1e-4, up to 100000 iterations, hours for each arm. laptop: the same "
        f"techniques, fewer walkers, a larger learning rate. ({ALLOWED['scale']}; default: laptop)",
        "--run_dir": f"Folder of all arms, a run folder each. ({ALLOWED['run_dir']}; default: runs/figures_SCALE)",
        "--output": f"What is written. ({ALLOWED['output']}; default: for all figures docs/results.md, or "
        "docs/results_thesis.md at thesis scale; for some of them results.md in run_dir)",
        "--arms": "Runs only these arms, and those that they start from; of the others, those that are finished are "
        f"drawn. ({ALLOWED['arms']}; default: all that the figures need)",
        "--max_seconds": "Trains each arm for so long at most, compilation, profile and measurement not counted. One "
        "that is stopped so is drawn as far as it is, decides nothing, and the same command goes on with it; arms that "
        f"start from it wait. ({field_allowed(FIELDS[SLICE])}; default: none)",
        "--seed": setting_help(FIELDS["seed"]),
        "--[no]quiet": setting_help(FIELDS["quiet"]),
        "--help": "Show this help.",
    }
    arms = {name: arm.about + (f"; starts from {arm.start}" if arm.start else "") for name, arm in _all_arms().items()}
    return "\n\n".join([USAGE, help_block("settings", entries), help_block("arms", arms), OUTCOME])


def read_command_line(argv: Sequence[str]) -> Request | None:
    """Returns what the arguments ask for, None if that is help.

    Args:
        argv: program name and arguments.

    Raises:
        SettingsError: an unknown figure or flag, or a value that is not allowed.
    """
    flag_values = flags.FlagValues()
    for name in (*ALLOWED, *SETTINGS, SLICE, "help"):
        define_flag(name, name in ("quiet", "help"), flag_values)
    figures = [argument for argument in argv[1:] if not argument.startswith("-")]
    rest = [argument for argument in argv[1:] if argument.startswith("-")]
    for before, argument in itertools.pairwise(argv[1:]):
        if before.startswith("--") and before[2:] in (*ALLOWED, "seed", SLICE) and not argument.startswith("-"):
            raise SettingsError(f"{before} {argument}: must be given as {before}={argument}")
    limits = {leaf: field_allowed(FIELDS[leaf]) for leaf in (*SETTINGS, SLICE)}
    parse_flags(flag_values, [argv[0], *rest], ALLOWED | limits)
    given = {name: text for name in flag_values if (text := flag_values[name].value) is not None}
    if wanted_help(given.get("help")):
        return None
    overrides = {leaf: from_text(value_type(leaf), given[leaf]) for leaf in SETTINGS if leaf in given}
    return _checked(figures, given, overrides)


def _checked(figures: Sequence[str], given: Mapping[str, str], overrides: dict[str, Any]) -> Request:
    """Returns the request, its values checked and its defaults filled in."""
    known = list(load_figures())
    for name in figures:
        if name not in (*known, "all"):
            # Another number is no misspelling, and all names are listed.
            meant = "" if re.fullmatch(r"fig\d+", name) else suggestion(name, known)
            raise SettingsError(f"{shown(name)}: no such figure; must be all or one of {', '.join(known)}{meant}")
    if not figures:
        raise SettingsError(f"figure: must be given; all or one of {', '.join(known)}")
    is_all = "all" in figures
    scale = given.get("scale", SCALES[0])
    if scale not in SCALES:
        raise SettingsError(f"scale = {shown(scale)}: must be {ALLOWED['scale']}")
    run_dir = given.get("run_dir", f"runs/figures_{scale}")
    if not run_dir:
        raise SettingsError(f"run_dir = '': must be {ALLOWED['run_dir']}")
    arms = tuple(given["arms"].split(",")) if "arms" in given else None
    for name in arms or ():
        if name not in _all_arms():
            raise SettingsError(f"arms = {shown(name)}: no such arm; --help lists them{suggestion(name, _all_arms())}")
    max_seconds = from_text(float, given[SLICE]) if SLICE in given else None
    load_arms(scale, run_dir, overrides | {SLICE: max_seconds})  # bad values are told at once
    whole = f"docs/{report_name(scale)}"
    output = Path(given.get("output", whole if is_all else str(Path(run_dir, "results.md"))))
    if output.suffix != ".md":
        raise SettingsError(f"output = {shown(str(output))}: must be {ALLOWED['output']}")
    wanted = known if is_all else [name for name in known if name in figures]
    return Request(tuple(wanted), scale, Path(run_dir), output, arms, overrides, max_seconds)


def _all_arms() -> dict[str, Arm]:
    return load_arms(SCALES[0], ".")


def main(argv: Sequence[str] | None = None) -> int:
    """Draws figures as the command line says.

    Args:
        argv: program name and arguments; None for those of the process.

    Returns:
        The exit status.
    """

    def work() -> None:
        request = read_command_line(sys.argv if argv is None else argv)
        if request is None:
            say(help_text())
            return
        with printed_messages(bool(request.overrides.get("quiet"))):
            reproduce(request)

    return exit_status_of(work, "the same command goes on with the arms that are not finished")


def reproduce(request: Request) -> None:
    """Runs what is missing, draws and writes.

    Raises:
        SettingsError: a folder cannot be used, or an arm not be run.
        WorkFailedError: an arm has no finite energy.
    """
    figures = [figure for name, figure in load_figures().items() if name in request.figures]
    arms = load_arms(request.scale, request.run_dir, request.overrides)
    shown_arms = [curve.arm for figure in figures for curve in figure.curves]
    _check_writable(request.output)  # better refused before hours of training, and before a folder is made
    with lock_folder(request.run_dir, LOCK_FILE, "another process is running these arms"):
        _make_folder(request.output)
        find_finished(arms, shown_arms)  # those of other settings are refused before anything is run
        outcomes = run_arms(arms, shown_arms if request.arms is None else request.arms, request.max_seconds)
        outcomes = find_finished(arms, set(shown_arms) - outcomes.keys()) | outcomes
        outcomes = {name: outcomes[name] for name in arms if name in outcomes}
        with told_in_one_line("output", request.output, "the same command goes on once it can", among_others=True):
            written = write_report(figures, outcomes, request.scale, request.output)
    logger.info(figures_table(figures, outcomes))
    if cut_short := [name for name, outcome in outcomes.items() if outcome.is_cut_short]:
        logger.info(f"not trained to the end: {', '.join(cut_short)}; the same command goes on with them")
    logger.info(f"written: {written[0]} and {len(written) - 1} pictures in {written[0].with_suffix('')}")


def _check_writable(output: Path) -> None:
    """Looks whether the file, and the folder of the pictures beside it, can be written; writes nothing.

    Raises:
        SettingsError: they cannot.
    """
    pictures = output.with_suffix("")
    try:
        reason = "is a folder" if output.is_dir() else None
        for place in (pictures, *pictures.parents):
            if place.exists() or place.is_symlink():
                if not place.is_dir():
                    reason = f"{place} is no folder"
                elif not os.access(place, os.W_OK):
                    reason = f"{place} is read-only"
                break
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
    if reason is not None:
        raise _not_writable(output, reason)


def _make_folder(output: Path) -> None:
    """Makes the folder of the pictures beside the file; raises SettingsError where the system lets none be made."""
    try:
        output.with_suffix("").mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise _not_writable(output, getattr(error, "strerror", None) or str(error)) from error


def _not_writable(output: Path, reason: str) -> SettingsError:
    return SettingsError(f"output = {shown(str(output))}: cannot be written ({reason}); must be {ALLOWED['output']}")


def entry_point() -> None:
    """The console script `tf-nqs-reproduce`."""
    sys.exit(main(sys.argv))


if __name__ == "__main__":
    entry_point()
