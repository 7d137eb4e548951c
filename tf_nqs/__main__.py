"""`python -m tf_nqs`: lists the commands."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from tf_nqs.config.errors import SettingsError, shown
from tf_nqs.runtime.exit_status import exit_status_of
from tf_nqs.runtime.terminal import say

COMMANDS = {
    "tf-nqs-train": "python train.py",
    "tf-nqs-evaluate": "python -m tf_nqs.evaluate",
    "tf-nqs-observe": "python -m tf_nqs.observe",
    "tf-nqs-export": "python export/saved_model.py",
    "tf-nqs-tune": "python -m tf_nqs.tune",
    "tf-nqs-reproduce": "python -m tf_nqs.reproduce",
}
"""Command of the installed package -> the same in a checkout."""

_DOES = {
    "tf-nqs-train": "train a wave function and measure its energy",
    "tf-nqs-evaluate": "measure the energy of a finished run again, to any error",
    "tf-nqs-observe": "measure densities, correlations and occupations of a finished run",
    "tf-nqs-export": "export the wave function of a finished run as a SavedModel",
    "tf-nqs-tune": "search for good settings",
    "tf-nqs-reproduce": "draw the figures of the thesis from runs",
}


def command_list() -> str:
    """Returns the text that lists the commands."""
    lines = [f"  {name:<17} {_DOES[name]}\n  {'':<17} ({COMMANDS[name]})" for name in COMMANDS]
    return "\n".join(
        [
            "Ground states of trapped one-dimensional fermions with neural quantum states.",
            "",
            "commands, and the same in a checkout that is not installed:",
            *lines,
            "",
            "example: tf-nqs-train --config=quickstart --run_dir=runs/first",
            "Each command explains itself with --help.",
        ]
    )


def main(argv: Sequence[str]) -> int:
    """Lists the commands and returns the exit status.

    Args:
        argv: program name and arguments; only a wish for help is allowed.
    """

    def work() -> None:
        for argument in argv[1:]:
            if argument not in ("-h", "--help", "--help=all"):
                raise SettingsError(f"{shown(argument)}: unexpected argument; python -m tf_nqs lists the commands")
        say(command_list())

    return exit_status_of(work, "nothing was written")


if __name__ == "__main__":
    sys.exit(main(sys.argv))
