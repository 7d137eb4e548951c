"""The command `train`: the flags are the settings, and TensorFlow is not loaded before it trains."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Sequence
from typing import Any

from tf_nqs.commands import command
from tf_nqs.commands.command import Command
from tf_nqs.commands.flags import Flag, Given, setting_flag, switch_flag
from tf_nqs.config import Settings, preset_names, settings_from
from tf_nqs.config.chain import chain_from, is_chain
from tf_nqs.config.distribution import check_flags
from tf_nqs.config.settings import FIELDS, SECTION_OF
from tf_nqs.config.shape import compiled_shape
from tf_nqs.experiment.preflight import check_chain, check_run, config_of_run, open_run
from tf_nqs.runtime import startup
from tf_nqs.runtime.cluster import own_cluster
from tf_nqs.runtime.exit_status import EXIT_STATUS, WorkFailedError
from tf_nqs.runtime.terminal import printed_messages
from tf_nqs.storage.run_folder import default_run_dir

CONFIG_ALLOWED = "a TOML file or a preset"
"""What --config must be."""

MAIN_SETTINGS = (
    "n_particles",
    "interaction",
    "interaction_strength",
    "interaction_range",
    "trap",
    "ansatz",
    "n_features",
    "n_layers",
    "dtype",
    "n_walkers",
    "n_steps",
    "iterations",
    "optimizer",
    "learning_rate",
    "max_seconds",
    "transfer_from",
    "early_stopping",
    "target_error",
    "evaluation_max_seconds",
    "seed",
    "run_dir",
    "quiet",
    "strategy",
)
"""Settings that the short help lists; the others have good defaults."""

SIGNALS = """\
Ctrl-C ends training after the iterations of the current call, writes a checkpoint and measures the energy (status
130); a second Ctrl-C ends at once. SIGTERM, SIGHUP (a closed terminal), SIGUSR1, SIGUSR2 and SIGXCPU do the same
without measuring (status 128 + signal). After any of them, or after a kill, --resume continues as if there had been no
break. A run that ends before training starts removes its folder."""


def _flags() -> list[Flag]:
    config = (
        "TOML file with settings, or with [[stage]] tables for a chain of runs, or a shipped preset: "
        f"{', '.join(preset_names())}."
    )
    resume = (
        "Continue the run in --run_dir from its last checkpoint, with its own settings. Only iterations, time limits, "
        "max_repairs, iterations_per_call, profile, quiet, compilation_cache and the settings of evaluation, "
        "checkpoints and distribution may change."
    )
    general = [Flag("config", config, CONFIG_ALLOWED, "general", str), switch_flag("resume", resume, "general")]
    return general + [setting_flag(name, section=SECTION_OF[name], several=True) for name in FIELDS]


def _train(given: Given) -> int | None:
    """Checks a training or a chain of them, runs it, and returns the exit status."""
    config, overrides, resume = given.own.get("config"), given.settings, given.own.get("resume", False)
    if resume and config is None:
        config = config_of_run(overrides.get("run_dir"))
    if config is not None and is_chain(config):
        chain = chain_from(config, overrides, default_run_dir(config))
        for number, stage in enumerate(chain.stages, start=1):
            check_flags(overrides, stage.distribution.strategy, f"stage {number}: ")
        check_chain(chain)
        reason = startup.call_late("tf_nqs.studies.chain:run_chain", chain, resume=resume)
    else:
        settings = settings_from(config, overrides)
        check_flags(overrides, settings.distribution.strategy)
        is_shared = settings.distribution.strategy == "multi_worker"  # whose workers must agree on one name
        if settings.run.run_dir is None and not resume and not is_shared:
            settings = settings_from(config, overrides | {"run_dir": default_run_dir(config)})
        reason = _train_one(settings, resume)
    if reason == "failed":
        raise WorkFailedError("training failed, stop_explanation in the run folder's result.json says why")
    return EXIT_STATUS.get(reason)


def _train_one(settings: Settings, resume: bool) -> str:
    """Trains one run and returns its stop reason; with other workers, the chief opens the folder once all are there."""
    options: dict[str, Any] = {"optimise_graphs": not settings.training.jit_compile, "shape": compiled_shape(settings)}
    arguments: tuple[Any, ...] = (settings,)
    with contextlib.ExitStack() as until_the_end:
        if settings.distribution.strategy == "multi_worker":
            check_run(settings, resume)
            is_chief = own_cluster().is_chief
            until_the_end.enter_context(printed_messages(settings.run.quiet or not is_chief))
            target = "tf_nqs.experiment.run:run"
        else:
            folder = open_run(settings, resume)
            until_the_end.enter_context(printed_messages(settings.run.quiet))
            until_the_end.enter_context(folder.locked())
            target, arguments = "tf_nqs.experiment.run:run_in", (folder, settings)
        return startup.call_with_tensorflow(target, *arguments, resume=resume, **options).stop_reason


COMMAND = Command(
    name="tf-nqs-train",
    program="python train.py",
    summary="train a wave function and measure its energy",
    usage="""\
Finds the ground state of trapped fermions with a neural quantum state.

usage: python train.py [--config=FILE_OR_PRESET] [--setting=value ...]
       python train.py --run_dir=FOLDER --resume [--iterations=MORE]
example: python train.py --config=quickstart --n_particles=3

Flags override the config, which overrides the defaults. The names are those of the TOML keys.""",
    flags=_flags,
    work=_train,
    outcome=lambda: SIGNALS,
    interrupted="where there is a checkpoint, --resume continues from it",
    lost_worker="restart all workers with --resume, which continues from the last checkpoint",
    main_flags=MAIN_SETTINGS,
    short_end=f"--help=all lists all {len(FIELDS)} settings, and what signals do.",
)


def parse(argv: Sequence[str]) -> Settings:
    """Returns the settings that a command line stands for: defaults, then `--config`, then flags.

    Args:
        argv: program name and arguments.

    Raises:
        SettingsError: bad input, in one line.
    """
    given = command.read(COMMAND, argv)
    return settings_from(given.own.get("config"), given.settings)


main = functools.partial(command.main, COMMAND)
