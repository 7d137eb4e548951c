"""The command line of a training: absl flags derived from the settings, no TensorFlow until it runs."""

from __future__ import annotations

import importlib
import importlib.metadata
import re
import sys
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any, NamedTuple

from absl import flags

from tf_nqs.commands.help_text import EVERYDAY, help_block, setting_help, settings_blocks, wanted_help
from tf_nqs.config import Settings, SettingsError, preset_names, settings_from
from tf_nqs.config.chain import chain_from, is_chain
from tf_nqs.config.errors import ELSE_LISTED, shown, suggestion
from tf_nqs.config.settings import FIELDS, allowed, value_type
from tf_nqs.experiment.preflight import check_chain, check_run, config_of_run
from tf_nqs.runtime.exit_status import EXIT_STATUS, WorkFailedError, exit_status_of
from tf_nqs.runtime.startup import collection_paused, import_tensorflow
from tf_nqs.runtime.terminal import say
from tf_nqs.storage.run_folder import default_run_dir, reopen_run_folder

CONFIG_ALLOWED = "a TOML file or a preset"
"""What --config must be."""

USAGE = """\
Finds the ground state of trapped fermions with a neural quantum state.

usage: python train.py [--config=FILE_OR_PRESET] [--setting=value ...]
       python train.py --run_dir=FOLDER --resume [--iterations=MORE]
example: python train.py --config=quickstart --n_particles=3

Flags override the config, which overrides the defaults. The names are those of the TOML keys.

Ctrl-C ends training after the iterations of the current call, writes a checkpoint and measures the energy (status
130); a second Ctrl-C ends at once. SIGTERM, SIGHUP (a closed terminal), SIGUSR1, SIGUSR2 and SIGXCPU do the same
without measuring (status 128 + signal). After any of them, or after a kill, --resume continues as if there had been no
break. A run that ends before training starts removes its folder."""

GENERAL_HELP = {
    "config": "TOML file with settings, or with [[stage]] tables for a chain of runs, or a shipped preset",
    "resume": "Continue the run in --run_dir from its last checkpoint, with its own settings. Only iterations, time "
    "limits, max_repairs, iterations_per_call, profile, quiet and the settings of evaluation and checkpoints may "
    "change.",
    "help": "Show the main settings (also -h); --help=all shows all.",
    "version": "Show the version.",
}


class CommandLine(NamedTuple):
    """What was asked for on the command line.

    Attributes:
        config: TOML file or preset, if given.
        overrides: leaf name -> value of the settings given.
        wants_help: "short" after `--help`, "all" after `--help=all`, else None.
        wants_version: `--version` was given.
        resume: `--resume` was given.
    """

    config: str | None
    overrides: dict[str, Any]
    wants_help: str | None
    wants_version: bool
    resume: bool


def define_flags(flag_values: flags.FlagValues) -> None:
    """Defines `--config`, `--resume`, `--help`, `--version` and one flag per setting.

    All flags hold the text given, None where they are not given: the settings alone decide what is allowed.

    Args:
        flag_values: where the flags are defined.
    """
    for name, help_text in GENERAL_HELP.items():
        define_flag(name, name != "config", flag_values, help_text)
    for leaf in FIELDS:
        define_flag(leaf, value_type(leaf) is bool, flag_values, setting_help(FIELDS[leaf]))


def define_flag(name: str, is_boolean: bool, flag_values: flags.FlagValues, help_text: str = "") -> None:
    """Defines a flag that holds the text given, None where it is not given; a boolean one needs none."""
    flag: flags.Flag[str] = flags.Flag(flags.ArgumentParser(), None, name, None, help_text, boolean=is_boolean)
    flags.DEFINE_flag(flag, flag_values)


def help_text(everything: bool = True) -> str:
    """Returns the text of `--help=all`, or the short one of `--help`; the flags grouped by section."""
    general = dict(GENERAL_HELP, config=f"{GENERAL_HELP['config']}: {', '.join(preset_names())}.")
    blocks = [USAGE if everything else USAGE.partition("\n\nCtrl-C")[0]]
    blocks += [help_block("general", {f"--{name}": text for name, text in general.items()})]
    if everything:
        return "\n\n".join(blocks + settings_blocks())
    more = f"--help=all lists all {len(FIELDS)} settings, and what signals do."
    return "\n\n".join([*blocks, *settings_blocks(EVERYDAY), more])


def read_command_line(argv: Sequence[str]) -> CommandLine:
    """Returns what the arguments ask for; the values are not validated yet.

    Args:
        argv: program name and arguments.

    Returns:
        The config, the settings given and the wish for help, version or resuming.

    Raises:
        SettingsError: an unknown flag, a flag without its value, or an argument that is no flag.
    """
    flag_values = flags.FlagValues()
    define_flags(flag_values)
    parse_flags(flag_values, argv, {"config": CONFIG_ALLOWED} | {leaf: allowed(leaf) for leaf in FIELDS})
    given = {name: text for name in flag_values if (text := flag_values[name].value) is not None}
    overrides = {leaf: from_text(value_type(leaf), given[leaf]) for leaf in FIELDS if leaf in given}
    switches = (is_on(name, given.get(name)) for name in ("version", "resume"))
    return CommandLine(given.get("config"), overrides, wanted_help(given.get("help")), *switches)


def is_on(name: str, text: str | None) -> bool:
    """Returns whether a switch that is no setting was given as on; `text` is None where it was not given."""
    value = from_text(bool, "false" if text is None else text)
    if not isinstance(value, bool):
        raise SettingsError(f"{name} = {shown(text)}: must be true or false")
    return value


def parse_flags(flag_values: flags.FlagValues, argv: Sequence[str], allowed: Mapping[str, str]) -> None:
    """Sets the flags that the arguments give.

    Args:
        flag_values: the flags that there are.
        argv: program name and arguments.
        allowed: setting -> what it must be.

    Raises:
        SettingsError: an unknown flag, a flag without its value, or an argument that is no flag.
    """
    for argument in argv[1:]:  # absl would obey these two even though they are not defined
        name = argument.lstrip("-").partition("=")[0]
        if argument.startswith("-") and name in ("flagfile", "undefok"):
            raise SettingsError(f"--{name}: no such flag{ELSE_LISTED}")
    try:
        leftover = flag_values(["--help" if argument == "-h" else argument for argument in argv])[1:]
    except flags.UnrecognizedFlagError as error:
        name = error.flagname
        closest = suggestion(name, list(flag_values), "--")
        raise SettingsError(f"--{name}: no such flag{closest or ELSE_LISTED}") from error
    except (flags.Error, ValueError) as error:
        raise SettingsError(_flag_problem(str(error), allowed)) from error
    if leftover:
        raise SettingsError(f"{shown(leftover[0])}: unexpected argument; must be given as --setting=value")


def _flag_problem(message: str, allowed: Mapping[str, str]) -> str:
    """Returns one line for an error message of absl, with what is allowed if it names a setting."""
    found = re.search(r"--?(?:no)?(\w+)", message)
    expected = f"; must be {allowed[found[1]]}" if found and found[1] in allowed else ""
    return " ".join(message.split()) + expected


def from_text(kind: type, text: str) -> Any:
    """Returns the text of a flag as the value it spells, or unchanged, to be refused, if it spells none.

    Args:
        kind: bool, int, float or str.
        text: what was given.
    """
    if kind is bool:
        return {"true": True, "false": False}.get(text.lower(), text)
    if kind is str:
        return text
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return text


def parse(argv: Sequence[str]) -> Settings:
    """Returns the settings that a command line stands for.

    Args:
        argv: program name and arguments.

    Returns:
        Validated settings: defaults, then `--config`, then flags.

    Raises:
        SettingsError: bad input, in one line.
    """
    command_line = read_command_line(argv)
    return settings_from(command_line.config, command_line.overrides)


def main(argv: Sequence[str] | None = None) -> int:
    """Trains as the command line says.

    Args:
        argv: program name and arguments; None for those of the process.

    Returns:
        The exit status.
    """

    def work() -> int | None:
        command_line = read_command_line(sys.argv if argv is None else argv)
        if command_line.wants_help:
            say(help_text(command_line.wants_help == "all"))
            return None
        if command_line.wants_version:
            say(f"tf-nqs {_version()}")
            return None
        reason = _train(command_line)
        if reason == "failed":
            raise WorkFailedError("training failed, stop_explanation in the run folder's result.json says why")
        return EXIT_STATUS.get(reason)

    # Ctrl-C before or after training; while it lasts the experiment handles it.
    return exit_status_of(work, "where there is a checkpoint, --resume goes on from it")


def _train(command_line: CommandLine) -> str:
    """Runs the experiment, or a chain of them, and returns why it stopped."""
    config, overrides, resume = command_line.config, command_line.overrides, command_line.resume
    if resume and config is None:
        config = config_of_run(overrides.get("run_dir"))
    if config is not None and is_chain(config):
        chain = chain_from(config, overrides, default_run_dir(config))
        check_chain(chain)
        return _imported("tf_nqs.studies.chain").run_chain(chain, resume=resume)
    settings = settings_from(config, overrides)
    if resume:
        reopen_run_folder(settings.run.run_dir)  # refused before TensorFlow is loaded
    elif settings.run.run_dir is None:
        settings = settings_from(config, overrides | {"run_dir": default_run_dir(config)})
    check_run(settings, resume)
    experiment = _imported("tf_nqs.experiment.run", optimise_graphs=not settings.training.jit_compile)
    return experiment.run(settings, resume=resume).stop_reason


def _imported(name: str, optimise_graphs: bool = True) -> ModuleType:
    """Returns a module that needs TensorFlow, which is imported here and not earlier."""
    with collection_paused(freeze=True):
        import_tensorflow(optimise_graphs)
        return importlib.import_module(name)


def _version() -> str:
    try:
        return importlib.metadata.version("tf-nqs")
    except importlib.metadata.PackageNotFoundError:
        return "(not installed)"


def entry_point() -> None:
    """The console script `tf-nqs-train`."""
    sys.exit(main(sys.argv))
