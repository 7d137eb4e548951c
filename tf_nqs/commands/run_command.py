"""What the commands on a finished run have in common: flags, checked input, one line for what is wrong."""

from __future__ import annotations

import errno
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from absl import flags

from tf_nqs.commands.help_text import help_block, wanted_help
from tf_nqs.commands.train import define_flag, from_text, parse_flags
from tf_nqs.config import Settings, settings_from
from tf_nqs.config.errors import SettingsError, shown
from tf_nqs.config.settings import FIELDS, allowed, value_type
from tf_nqs.experiment.memory import check_measurement
from tf_nqs.runtime.exit_status import exit_status_of
from tf_nqs.runtime.startup import collection_paused, import_tensorflow
from tf_nqs.runtime.terminal import say
from tf_nqs.storage.files import replace_file, told_in_one_line
from tf_nqs.storage.run_folder import CONFIG_FILE, WEIGHTS_FILE, result_of_run, settings_of_run

_RUN_DIR = "the folder of a run"


class Choice(NamedTuple):
    """A flag of a command alone, with a few words to choose from.

    Attributes:
        description: one sentence for the help.
        values: the words, the default first.
    """

    description: str
    values: tuple[str, ...]

    def allowed(self) -> str:
        """Returns what the value must be: png, pdf or svg."""
        return f"{', '.join(self.values[:-1])} or {self.values[-1]}"


class Command(NamedTuple):
    """A command on a run folder.

    Attributes:
        usage: the head of its help: what it does, usage, example.
        leaves: settings of the run that it takes other values for.
        outcome: the end of its help: what it writes.
        work: does it; called with TensorFlow loaded.
        choices: name -> flag that is no setting of a run.
    """

    usage: str
    leaves: tuple[str, ...]
    outcome: str
    work: Callable[[Request], None]
    choices: dict[str, Choice] = {}  # noqa: RUF012 - a tuple's default, which nobody changes


class Request(NamedTuple):
    """What was asked for on the command line.

    Attributes:
        run_dir: the run folder.
        overrides: leaf name -> value of the settings given.
        result: what the run's `result.json` holds; empty without that file.
        choices: name -> value of the command's own flags.
    """

    run_dir: Path
    overrides: dict[str, Any]
    result: dict[str, Any]
    choices: dict[str, str]


class OpenedRun(NamedTuple):
    """A run read back from its folder.

    Attributes:
        folder: where it is.
        settings: the run's own, with the values given on the command line.
        vmc: a compiled trainer with the run's trained weights, and walkers of its own.
        result: what `result.json` holds; empty without that file.
        n_iterations: of the training that the weights come from; None where neither file says it.
    """

    folder: Path
    settings: Settings
    vmc: Any
    result: dict[str, Any]
    n_iterations: int | None

    def title(self) -> str:
        """Returns the headline of pictures: the system, and the iterations where they are known."""
        system = self.settings.system.title()
        return system if self.n_iterations is None else f"{system}, after {self.n_iterations} iterations"


def main(command: Command, argv: Sequence[str] | None = None) -> int:
    """Runs a command.

    Args:
        command: which.
        argv: program name and arguments; None for those of the process.

    Returns:
        The exit status: the command's own, 2 for bad input, 130 if it was interrupted.
    """

    def work() -> None:
        request = read_command_line(command, sys.argv if argv is None else argv)
        if request is None:
            say(help_text(command))
            return
        with collection_paused(freeze=True):
            import_tensorflow()
        command.work(request)

    return exit_status_of(work, "nothing was written")


def help_text(command: Command) -> str:
    """Returns the text of a command's `--help`."""
    entries = {"--run_dir": f"Folder of a run, as train.py writes it ({_RUN_DIR}; required)."}
    for leaf in command.leaves:
        name = f"[no]{leaf}" if _is_switch(leaf) else leaf
        default = "false" if leaf == "quiet" else "the run's own"
        entries[f"--{name}"] = f"{FIELDS[leaf].description} ({allowed(leaf)}; default: {default})"
    for name, choice in command.choices.items():
        entries[f"--{name}"] = f"{choice.description} ({choice.allowed()}; default: {choice.values[0]})"
    return "\n\n".join(
        [command.usage, help_block("settings", entries | {"--help": "Show this help."}), command.outcome]
    )


def _is_switch(leaf: str) -> bool:
    return leaf in FIELDS and value_type(leaf) is bool


def read_command_line(command: Command, argv: Sequence[str]) -> Request | None:
    """Returns what the arguments ask for, None if that is help.

    Raises:
        SettingsError: an unknown or a missing flag, a value that is not allowed, an argument that is no flag, or a
            folder that holds no run that fits into memory.
    """
    flag_values = flags.FlagValues()
    for name in ("run_dir", *command.leaves, *command.choices, "help"):
        define_flag(name, name == "help" or _is_switch(name), flag_values)
    of_choices = {name: choice.allowed() for name, choice in command.choices.items()}
    of_leaves = {leaf: allowed(leaf) for leaf in command.leaves}
    parse_flags(flag_values, argv, {"run_dir": _RUN_DIR} | of_leaves | of_choices)
    if wanted_help(flag_values["help"].value):
        return None
    given = {leaf: text for leaf in command.leaves if (text := flag_values[leaf].value) is not None}
    overrides = {leaf: from_text(value_type(leaf), text) for leaf, text in given.items()}
    settings_from(None, {"n_particles": 1} | overrides)  # bad values are told at once, without TensorFlow
    choices = {name: _chosen(name, choice, flag_values[name].value) for name, choice in command.choices.items()}
    run_dir = flag_values["run_dir"].value
    if run_dir is None:
        raise SettingsError(f"run_dir: must be given; {_RUN_DIR}")
    check_measurement(settings_of_run(run_dir))
    folder = Path(run_dir).expanduser()
    # How quiet the training was is not asked.
    return Request(folder, {"quiet": False} | overrides, result_of_run(folder), choices)


def _chosen(name: str, choice: Choice, text: str | None) -> str:
    """Returns the value of a command's own flag, the default where it is not given."""
    if text is None:
        return choice.values[0]
    if text not in choice.values:
        raise SettingsError(f"{name} = {shown(text)}: must be {choice.allowed()}")
    return text


def open_run(request: Request) -> OpenedRun:
    """Returns a run with a trainer that can sample it.

    Raises:
        SettingsError: the folder holds no run that can be read.
    """
    from tf_nqs.experiment import build as builders  # not before: --help and bad flags need not wait for TensorFlow
    from tf_nqs.storage.weights_file import iterations_of_weights

    run = builders.load(request.run_dir)
    settings = settings_from(str(request.run_dir / CONFIG_FILE), request.overrides)
    trainer = builders.build_trainer(settings, run.system, run.ansatz)
    n_iterations = iterations_of_weights(request.run_dir / WEIGHTS_FILE)
    if n_iterations is None:
        n_iterations = request.result.get("n_iterations")
    return OpenedRun(request.run_dir, settings, trainer, request.result, n_iterations)


def probe_folder(run_dir: Path, subfolder: str | None = None) -> None:
    """Refuses, before anything is measured, a run folder that the results could not be written to afterwards.

    What is tried is a file that vanishes again: permissions say little, least of all to the superuser.

    Args:
        run_dir: the folder of a run.
        subfolder: where more than one file goes; it need not exist.

    Raises:
        SettingsError: nothing can be written there.
    """
    with told_in_one_line("run_dir", run_dir):
        place = run_dir / subfolder if subfolder else run_dir
        if not place.exists():
            place = run_dir
        elif not place.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, f"{place.name} is a file, but must be a folder")
        with tempfile.NamedTemporaryFile(dir=place, prefix="unfinished-") as file:
            file.write(b"probe")


def write_beside(path: Path, write: Callable[[Path], object]) -> None:
    """Writes a file under another name first, so that a file of this name is always whole.

    Raises:
        SettingsError: it cannot be written.
    """
    with told_in_one_line("run_dir", path.parent):
        replace_file(path, write)


def write_plots(folder: Path, write: Callable[[Path], list[Path]]) -> list[Path]:
    """Writes pictures into a folder inside that of a run; returns their files.

    Raises:
        SettingsError: they cannot be written.
    """
    with told_in_one_line("run_dir", folder.parent):
        return write(folder)
