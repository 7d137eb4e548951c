"""The command line of a hyper-parameter search: python -m tf_nqs.tune.

Exit status: 0 found a best trial (or, as a worker, did its part), 2 bad input, 3 no trial has a finite energy, 130
interrupted.
"""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import os
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from absl import flags

from tf_nqs.commands.help_text import help_block, setting_help, wanted_help
from tf_nqs.commands.train import CONFIG_ALLOWED, define_flag, from_text, parse_flags
from tf_nqs.config import SettingsError, preset_names
from tf_nqs.config.errors import shown
from tf_nqs.config.fields import field_allowed, field_type
from tf_nqs.config.search import Search, SearchSettings, search_from
from tf_nqs.config.settings import FIELDS
from tf_nqs.runtime.exit_status import WorkFailedError, exit_status_of
from tf_nqs.runtime.startup import collection_paused, import_tensorflow
from tf_nqs.runtime.terminal import printed_messages, say
from tf_nqs.storage.files import told_in_one_line
from tf_nqs.storage.run_folder import default_run_dir
from tf_nqs.studies.search_folder import HINT, search_folder, wait_for_search

logger = logging.getLogger(__name__)

USAGE = """\
Searches for good settings: many short trainings, compared at equal seconds.

usage: python -m tf_nqs.tune --config=FILE_OR_PRESET [--run_dir=FOLDER] [--setting=value ...]
example: python -m tf_nqs.tune --config=configs/tune.toml --run_dir=runs/search

The config is that of a training, with two sections more: [search], whose settings are flags too (below), and
[search.space], which says what is searched, for any settings of the network, the walkers and the training:

  learning_rate = {low = 1e-3, high = 1.0, scale = "log"}   a number in a range; scale is linear where it is left out
  n_features = {low = 16, high = 128, step = 16}            in steps; with scale = "log", step is a ratio
  n_walkers = {choices = [256, 512, 1024]}                  one of some values

Every trial trains for seconds_per_trial (compilation, burn-in and measurement are not counted), then its energy is
measured; the lowest energy + error_weight * error wins. A trial that fails does not end the search. The folder gets
a run folder per trial, trials.csv, trials.png and best.toml, which train.py --config runs. The same command resumes
a search that was interrupted, and with a larger --max_trials goes on with one that has ended."""

WORKERS_HELP = """\
several processes: the same command in each, with KERASTUNER_TUNER_ID = chief in one and another name in each other,
  KERASTUNER_ORACLE_IP and KERASTUNER_ORACLE_PORT those of the chief in all; the folder must be the same for all."""

WORKER_VARIABLES = ("KERASTUNER_TUNER_ID", "KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT")

SECONDS_TO_WAIT_FOR_CHIEF = 600.0

GENERAL = {
    "config": "TOML file with the search, or a shipped one",
    "run_dir": "Folder of the search: a new one, or that of the same search, which is resumed; a dated one in runs/ "
    "where it is left out.",
    "seed": "Seed of all random numbers, in every trial and in the search itself.",
    "quiet": str(FIELDS["quiet"].description),
    "help": "Show this help.",
}


class Role(NamedTuple):
    """What this process is in the search: alone, the chief or a worker."""

    tuner_id: str
    is_chief: bool
    is_worker: bool


def help_text() -> str:
    """Returns the text of `--help`."""
    general = dict(GENERAL, config=f"{GENERAL['config']}: {', '.join(preset_names(searches=True))} (required).")
    for name in ("seed", "quiet"):
        general[name] += f" ({field_allowed(FIELDS[name])}; default: the config's)"
    entries = {f"--{'[no]' if name == 'quiet' else ''}{name}": text for name, text in general.items()}
    search = {f"--{name}": setting_help(field) for name, field in SearchSettings.model_fields.items()}
    return "\n\n".join([USAGE, help_block("general", entries), help_block("search", search), WORKERS_HELP])


def read_command_line(argv: Sequence[str]) -> Search | None:
    """Returns the search that the arguments ask for, None if that is help.

    Args:
        argv: program name and arguments.

    Raises:
        SettingsError: bad input, in one line.
    """
    fields = {"run_dir": FIELDS["run_dir"], "seed": FIELDS["seed"], "quiet": FIELDS["quiet"]}
    fields |= SearchSettings.model_fields
    flag_values = flags.FlagValues()
    for name in ("config", "help", *fields):
        define_flag(name, name in ("help", "quiet"), flag_values)
    limits = {name: field_allowed(field) for name, field in fields.items()}
    parse_flags(flag_values, argv, {"config": CONFIG_ALLOWED} | limits)
    given = {name: text for name in flag_values if (text := flag_values[name].value) is not None}
    if wanted_help(given.pop("help", None)):
        return None
    if "config" not in given:
        raise SettingsError(f"config: must be given; a TOML file or one of {', '.join(preset_names(searches=True))}")
    config = given.pop("config")
    overrides: dict[str, Any] = {name: from_text(field_type(fields[name]), text) for name, text in given.items()}
    search = search_from(config, overrides)
    if search.settings.run.run_dir is None:
        search = search_from(config, {**overrides, "run_dir": default_run_dir(config)})
    return search


def read_role(environment: Mapping[str, str]) -> Role:
    """Returns what keras-tuner's environment variables make of this process.

    Args:
        environment: variable -> value.

    Raises:
        SettingsError: some of them are missing, or are no name, no address or no port.
    """
    given = {name: environment[name] for name in WORKER_VARIABLES if environment.get(name)}
    if not given:
        return Role("tuner0", False, False)
    missing = [name for name in WORKER_VARIABLES if name not in given]
    if missing:
        raise SettingsError(f"{missing[0]}: must be given, as {', '.join(given)} is; all three or none")
    tuner_id, host, port = (given[name] for name in WORKER_VARIABLES)
    if not (port.isdecimal() and len(port) <= 5 and 0 < int(port) < 2**16):
        raise SettingsError(f"{WORKER_VARIABLES[2]} = {shown(port)}: must be an integer from 1 to 65535")
    if not _is_host(host):
        raise SettingsError(f"{WORKER_VARIABLES[1]} = {shown(host)}: must be an IP address or the name of a host")
    if not tuner_id.replace("_", "").replace("-", "").isalnum():  # it becomes the name of a file
        raise SettingsError(f"{WORKER_VARIABLES[0]} = {shown(tuner_id)}: must be letters, digits, - and _ alone")
    is_chief = "chief" in tuner_id  # as keras-tuner sees it
    return Role(tuner_id, is_chief, not is_chief)


def _is_host(text: str) -> bool:
    """Returns whether a text looks like an address; nobody is asked whether there is such a host."""
    with contextlib.suppress(ValueError):
        ipaddress.ip_address(text.removeprefix("[").removesuffix("]"))  # grpc wants IPv6 in brackets
        return True
    label = r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
    is_number = text.replace(".", "").isdecimal()  # such as 127.0.0.256
    return len(text) <= 253 and not is_number and re.fullmatch(rf"{label}(\.{label})*\.?", text) is not None


def main(argv: Sequence[str] | None = None) -> int:
    """Searches as the command line says.

    Args:
        argv: program name and arguments; None for those of the process.

    Returns:
        The exit status.
    """

    def work() -> None:
        search = read_command_line(sys.argv if argv is None else argv)
        if search is None:
            say(help_text())
            return
        run(search, read_role(os.environ))

    return exit_status_of(work, "the same command goes on with the search")


def run(search: Search, role: Role) -> None:
    """Runs this process' part of a search.

    Args:
        search: the whole search.
        role: of this process.

    Raises:
        SettingsError: the folder cannot be used.
        WorkFailedError: no trial has a finite energy.
    """
    with printed_messages(search.settings.run.quiet):
        if role.is_worker:
            _work_for_chief(search, role)
            return
        with search_folder(search) as folder:
            logger.info(f"{search.search.max_trials} trials over {', '.join(search.space)}; results go to {folder}")
            best = _tuning().run_search(search, folder, role.tuner_id)
    if best is None:
        raise WorkFailedError("no trial has a finite energy")


def _work_for_chief(search: Search, role: Role) -> None:
    logger.info("waiting for the chief ...")
    folder = wait_for_search(search, SECONDS_TO_WAIT_FOR_CHIEF)
    with told_in_one_line("run_dir", folder, HINT, among_others=True):
        _tuning().run_worker(search, folder, role.tuner_id)


def _tuning() -> Any:
    """Imports TensorFlow and what needs it, here and not earlier."""
    with collection_paused(freeze=True):
        import_tensorflow()
        from tf_nqs.studies import tuning
    return tuning


def entry_point() -> None:
    """The console script `tf-nqs-tune`."""
    sys.exit(main(sys.argv))


if __name__ == "__main__":
    entry_point()
