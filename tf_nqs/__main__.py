"""`python -m tf_nqs`: lists the commands."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from tf_nqs import curve, diffuse, evaluate, observe, reproduce, tune
from tf_nqs.commands import export, train
from tf_nqs.config.errors import SettingsError, shown
from tf_nqs.runtime.exit_status import exit_status_of
from tf_nqs.runtime.terminal import say

COMMANDS = tuple(module.COMMAND for module in (train, evaluate, observe, curve, diffuse, export, tune, reproduce))


def command_list() -> str:
    """Returns the text that lists the commands."""
    lines = [f"  {one.name:<17} {one.summary}\n  {'':<17} ({one.program})" for one in COMMANDS]
    return "\n".join(
        [
            "Ground states of trapped one-dimensional fermions with neural quantum states.",
            "",
            "commands, and how to run them in a checkout that is not installed:",
            *lines,
            "",
            "example: tf-nqs-train --config=quickstart --run_dir=runs/first",
            "Each command explains itself with --help.",
        ]
    )


def main(argv: Sequence[str]) -> int:
    """Lists the commands and returns the exit status.

    Args:
        argv: program name and arguments; only those that ask for help are allowed.
    """

    def work() -> None:
        for argument in argv[1:]:
            if argument not in ("-h", "--help", "--help=all"):
                raise SettingsError(f"{shown(argument)}: unexpected argument; python -m tf_nqs lists the commands")
        say(command_list())

    return exit_status_of(work, "nothing was written")


if __name__ == "__main__":
    sys.exit(main(sys.argv))
