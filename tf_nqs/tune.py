"""The command line of a hyper-parameter search: python -m tf_nqs.tune.

Exit status: 0 found a best trial (or, as a worker, did its part), 2 bad input, 3 no trial has a finite energy, 130
interrupted.
"""

from __future__ import annotations

import contextlib
import functools
import ipaddress
import logging
import os
import re
import sys
from collections.abc import Mapping
from typing import NamedTuple

from tf_nqs.commands import command
from tf_nqs.commands.flags import Flag, Given, setting_flag
from tf_nqs.config import SettingsError, preset_names
from tf_nqs.config.errors import must_be
from tf_nqs.config.search import Search, SearchSettings, search_from
from tf_nqs.runtime import startup
from tf_nqs.runtime.exit_status import WorkFailedError
from tf_nqs.runtime.terminal import printed_messages
from tf_nqs.storage.files import folder_errors
from tf_nqs.storage.run_folder import default_run_dir
from tf_nqs.studies.search_folder import HINT, search_folder, wait_for_search

logger = logging.getLogger(__name__)

USAGE = """\
Searches for good settings: many short trainings, compared at equal seconds.

usage: python -m tf_nqs.tune --config=FILE_OR_PRESET [--run_dir=FOLDER] [--setting=value ...]
example: python -m tf_nqs.tune --config=configs/tune.toml --run_dir=runs/search

The config is that of a training with two more sections: [search], whose settings are flags too (below), and
[search.space], which lists the settings to search. Any setting of the network, the walkers or the training can be
searched:

  learning_rate = {low = 1e-3, high = 1.0, scale = "log"}   a number in a range; the default scale is linear
  n_features = {low = 16, high = 128, step = 16}            in steps; with scale = "log", step is a ratio
  n_walkers = {choices = [256, 512, 1024]}                  one of several values

Every trial trains for seconds_per_trial, not counting compilation, burn-in and measurement; then its energy is
measured. The trial with the lowest energy + error_weight * error wins. A failed trial does not end the search. The
folder gets a run folder per trial, trials.csv, trials.png and best.toml, which train.py --config runs. The same
command resumes an interrupted search; with a larger --max_trials it continues a finished one."""

WORKERS_HELP = """\
several processes: run the same command in each of them, with the same folder. Set KERASTUNER_TUNER_ID to chief in one
  process and to a different name in each of the others, and KERASTUNER_ORACLE_IP and KERASTUNER_ORACLE_PORT to the
  address of the chief in all of them."""

WORKER_VARIABLES = ("KERASTUNER_TUNER_ID", "KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT")

SECONDS_TO_WAIT_FOR_CHIEF = 600.0


class Role(NamedTuple):
    """Role of this process in a search: the only process, the chief, or a worker."""

    tuner_id: str
    is_chief: bool
    is_worker: bool


def _flags() -> list[Flag]:
    presets = ", ".join(preset_names(searches=True))
    run_dir = (
        "New folder for the search, or the folder of the same search, which is resumed; default: a dated one in runs/."
    )
    seed = "Seed of all random numbers, of the search itself and of every trial."
    return [
        Flag(
            "config",
            f"TOML file with the search, or a shipped one: {presets} (required).",
            f"a TOML file or one of {presets}",
            "general",
            str,
            is_required=True,
        ),
        setting_flag("run_dir", section="general", text=run_dir),
        setting_flag("seed", section="general", text=seed, default="from the config"),
        setting_flag("quiet", section="general", default="from the config"),
        *(setting_flag(name, field, "search") for name, field in SearchSettings.model_fields.items()),
    ]


def search_of(given: Given) -> Search:
    """Returns the search that a command line asks for.

    Raises:
        SettingsError: bad input, in one line.
    """
    config, overrides = given.own["config"], given.settings
    search = search_from(config, overrides)
    if search.settings.run.run_dir is None:
        search = search_from(config, {**overrides, "run_dir": default_run_dir(config)})
    return search


def read_role(environment: Mapping[str, str]) -> Role:
    """Returns the role that the environment variables of keras-tuner give this process.

    Args:
        environment: variable -> value.

    Raises:
        SettingsError: some of them are missing, or no valid name, address or port.
    """
    given = {name: environment[name] for name in WORKER_VARIABLES if environment.get(name)}
    if not given:
        return Role("tuner0", False, False)
    missing = [name for name in WORKER_VARIABLES if name not in given]
    if missing:
        raise SettingsError(f"{missing[0]}: must be given, as {', '.join(given)} is; all three or none")
    tuner_id, host, port = (given[name] for name in WORKER_VARIABLES)
    if not (port.isdecimal() and len(port) <= 5 and 0 < int(port) < 2**16):
        raise must_be(WORKER_VARIABLES[2], port, "an integer from 1 to 65535")
    if not _is_host(host):
        raise must_be(WORKER_VARIABLES[1], host, "an IP address or the name of a host")
    if not tuner_id.replace("_", "").replace("-", "").isalnum():  # it becomes a file name
        raise must_be(WORKER_VARIABLES[0], tuner_id, "only letters, digits, - and _")
    is_chief = "chief" in tuner_id  # as keras-tuner sees it
    return Role(tuner_id, is_chief, not is_chief)


def _is_host(text: str) -> bool:
    """Returns whether a text looks like the address of a host; whether the host exists is not checked."""
    with contextlib.suppress(ValueError):
        ipaddress.ip_address(text.removeprefix("[").removesuffix("]"))  # grpc wants IPv6 in brackets
        return True
    label = r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
    is_number = text.replace(".", "").isdecimal()  # such as 127.0.0.256
    return len(text) <= 253 and not is_number and re.fullmatch(rf"{label}(\.{label})*\.?", text) is not None


def run(search: Search, role: Role) -> None:
    """Runs the part of this process in a search.

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
            best = startup.call_with_tensorflow("tf_nqs.studies.tuning:run_search", search, folder, role.tuner_id)
    if best is None:
        raise WorkFailedError("no trial has a finite energy")


def _work_for_chief(search: Search, role: Role) -> None:
    logger.info("waiting for the chief ...")
    folder = wait_for_search(search, SECONDS_TO_WAIT_FOR_CHIEF)
    with folder_errors("run_dir", folder, HINT, among_others=True):
        startup.call_with_tensorflow("tf_nqs.studies.tuning:run_worker", search, folder, role.tuner_id)


COMMAND = command.Command(
    name="tf-nqs-tune",
    program="python -m tf_nqs.tune",
    summary="search for good settings",
    usage=USAGE,
    flags=_flags,
    work=lambda given: run(search_of(given), read_role(os.environ)),
    outcome=lambda: WORKERS_HELP,
    interrupted="the same command continues the search",
)

main = functools.partial(command.main, COMMAND)

if __name__ == "__main__":
    sys.exit(main())
