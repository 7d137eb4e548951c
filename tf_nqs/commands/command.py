"""What all commands are: a record that says what one takes and does, and one `main` that runs it."""

from __future__ import annotations

import sys
import textwrap
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import tf_nqs
from tf_nqs.commands.flags import Flag, Given, parse, switch_flag
from tf_nqs.runtime.cluster import has_joined
from tf_nqs.runtime.exit_status import exit_status_of, leave
from tf_nqs.runtime.lost_worker import RESTART, lost_workers_told
from tf_nqs.runtime.terminal import printed_messages, say


class Command(NamedTuple):
    """A command.

    Attributes:
        name: console script that runs it.
        program: the same in a checkout that is not installed.
        summary: what it does, for the list of commands.
        usage: head of its help: what it does, usage, examples.
        flags: returns its flags.
        work: does it, with what was given on the command line; returns the exit status, None for 0.
        outcome: returns the end of its help: what it writes.
        interrupted: what Ctrl-C or a terminating signal leaves behind, and how to continue.
        lost_worker: how to go on after another worker has gone; of commands that several workers can run.
        main_flags: flags that the short help lists; empty if it lists all.
        short_end: end of the short help, if there is one.
    """

    name: str
    program: str
    summary: str
    usage: str
    flags: Callable[[], Sequence[Flag]]
    work: Callable[[Given], int | None]
    outcome: Callable[[], str] = str
    interrupted: str = "nothing was written"
    lost_worker: str = RESTART
    main_flags: tuple[str, ...] = ()
    short_end: str = ""


def main(command: Command, argv: Sequence[str] | None = None) -> int:
    """Runs a command.

    Args:
        command: which.
        argv: program name and arguments; None for those of the process.

    Returns:
        The exit status, see `tf_nqs.runtime.exit_status`.
    """

    def work() -> int | None:
        given = read(command, sys.argv if argv is None else argv)
        if given.own.get("help"):
            say(help_text(command, everything=given.own["help"] == "all"))
            return None
        if given.own.get("version"):
            say(f"tf-nqs {tf_nqs.__version__}")
            return None
        with printed_messages(bool(given.settings.get("quiet"))), lost_workers_told(has_joined, command.lost_worker):
            return command.work(given)

    try:
        status = exit_status_of(work, command.interrupted)
    except Exception:
        if has_joined():
            traceback.print_exc()
            leave(1)
        raise
    if status and has_joined():
        leave(status)
    return status


def read(command: Command, argv: Sequence[str]) -> Given:
    """Returns what the arguments of a command give; raises SettingsError if they cannot be used."""
    return parse(all_flags(command), argv)


def all_flags(command: Command) -> list[Flag]:
    """Returns the flags of a command: its own, `--help` and `--version`."""
    flags = list(command.flags())
    section = flags[0].section
    about = "Show the main settings (also -h); --help=all shows all." if command.main_flags else "Show this help."
    asked = {"true": "short", "false": "", "all": "all"}
    help_flag = Flag(
        "help", about, "all, or given without a value", section, lambda text: asked[text.lower()], takes_none=True
    )
    return [*flags, help_flag, switch_flag("version", "Show the version.", section)]


def help_text(command: Command, everything: bool = True) -> str:
    """Returns the text of `--help=all`, or the short one of `--help`; the flags in sections."""
    is_short = bool(command.main_flags) and not everything
    sections: dict[str, dict[str, str]] = {}
    for flag in all_flags(command):
        if not is_short or not flag.is_setting or flag.name in command.main_flags:
            sections.setdefault(flag.section, {})[flag.label or f"--{flag.name}"] = flag.text
    blocks = [help_block(title, entries) for title, entries in sections.items()]
    if is_short:
        return "\n\n".join([command.usage, *blocks, command.short_end])
    return "\n\n".join(part for part in [command.usage, *blocks, command.outcome()] if part)


def help_block(title: str, entries: Mapping[str, str]) -> str:
    """Returns a part of the text of `--help`: flag -> what it says about it, under a title."""
    lines = [f"{title}:"]
    for flag, text in entries.items():
        lines.append(textwrap.fill(text, 110, initial_indent=f"  {flag:<26} ", subsequent_indent=" " * 29))
    return "\n".join(lines)
