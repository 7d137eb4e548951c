"""The command line of an export: from a run folder to a SavedModel.

Exit status: 0 exported, 2 bad input, 3 the exported model does not give the run's numbers, 130 interrupted.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from absl import flags

from tf_nqs.commands.help_text import wanted_help
from tf_nqs.commands.train import define_flag, parse_flags
from tf_nqs.config.errors import SettingsError, shown
from tf_nqs.experiment.memory import check_model
from tf_nqs.runtime.exit_status import WorkFailedError, exit_status_of
from tf_nqs.runtime.startup import import_tensorflow
from tf_nqs.runtime.terminal import say
from tf_nqs.storage.export_folder import check_output
from tf_nqs.storage.run_folder import CONFIG_FILE, RESULT_FILE, WEIGHTS_FILE, result_of_run, settings_of_run

USAGE = """\
Exports the wave function of a finished run as a SavedModel, which needs TensorFlow alone.

usage: python export/saved_model.py --run_dir=RUN_FOLDER --output=FOLDER [--overwrite]
example: python export/saved_model.py --run_dir=runs/a4 --output=exported/a4

  --run_dir        Folder of a run, as train.py writes it (required).
  --output         Where the export goes (a new or an empty folder; required).
  --[no]overwrite  Replace the export that the output folder holds (true or false; default: false).
  --help           Show this help.

Writes FOLDER/1/saved_model.pb, the layout of TensorFlow Serving, and FOLDER/README.md, which describes every
signature: log_psi, psi, local_energy, gradient_and_laplacian, orbitals and sample. The model is reloaded and compared
with the run before it is put in place; if anything fails, what was there before stays."""

ALLOWED = {"run_dir": "the folder of a run", "output": "a new or an empty folder", "overwrite": "true or false"}
"""Setting -> what it must be."""


class Request(NamedTuple):
    """What was asked for on the command line."""

    run_dir: str
    output: str
    overwrite: bool


def read_command_line(argv: Sequence[str]) -> Request | None:
    """Returns what the arguments ask for, None if that is help.

    Args:
        argv: program name and arguments.

    Raises:
        SettingsError: an unknown or a missing flag, a value that is not allowed, or an argument that is no flag.
    """
    flag_values = flags.FlagValues()
    for name in (*ALLOWED, "help"):
        define_flag(name, name in ("overwrite", "help"), flag_values)
    parse_flags(flag_values, argv, ALLOWED)
    if wanted_help(flag_values["help"].value):
        return None
    return _checked(**{name: flag_values[name].value for name in ALLOWED})


def _checked(run_dir: str | None, output: str | None, overwrite: str | None) -> Request:
    """Returns the request, its values checked as far as they can be without looking at the disk."""
    choice = {None: False, "true": True, "false": False}.get(overwrite and overwrite.lower())
    if choice is None:
        raise SettingsError(f"overwrite = {shown(overwrite)}: must be {ALLOWED['overwrite']}")
    return Request(_required("run_dir", run_dir), _required("output", output), choice)


def _required(name: str, value: str | None) -> str:
    if value is None:
        raise SettingsError(f"{name}: must be given; {ALLOWED[name]}")
    if not value:
        raise SettingsError(f"{name} = '': must be {ALLOWED[name]}")
    return value


def main(argv: Sequence[str] | None = None) -> int:
    """Exports as the command line says.

    Args:
        argv: program name and arguments; None for those of the process.

    Returns:
        The exit status.
    """

    def work() -> None:
        request = read_command_line(sys.argv if argv is None else argv)
        if request is None:
            say(USAGE)
            return
        export_run(request)

    return exit_status_of(work, "nothing was exported")


def export_run(request: Request) -> None:
    """Loads a run, exports it and says how far the exported numbers are off.

    Raises:
        SettingsError: the run folder holds no run that can be read, or output cannot be used.
        WorkFailedError: the exported numbers are not those of the run.
    """
    check_output(request.output, request.overwrite)
    check_model(settings_of_run(request.run_dir))
    result_of_run(request.run_dir)
    folder = Path(request.run_dir).expanduser()
    files = [folder / name for name in (CONFIG_FILE, RESULT_FILE)]
    assets = {file.name: file.read_text(encoding="utf-8") for file in files if file.is_file()}
    import_tensorflow()
    # Not before: what can be refused without TensorFlow need not wait for it.
    from tf_nqs.experiment import build as builders
    from tf_nqs.saved_model import export as saved_model
    from tf_nqs.storage.weights_file import iterations_of_weights

    run = builders.load(request.run_dir)
    try:
        deviations = saved_model.export(
            run.ansatz,
            run.system,
            request.output,
            run.settings.training.laplacian,
            assets,
            request.overwrite,
            n_iterations=iterations_of_weights(folder / WEIGHTS_FILE),
        )
    except saved_model.ExportError as error:
        raise WorkFailedError(f"nothing was exported: {error}") from error
    say(f"exported to {request.output}; reloaded, it gives the run's own numbers up to rounding:")
    for signature, deviation in deviations.items():
        say(f"  {signature:<23} largest deviation {deviation:.1e}")


def entry_point() -> None:
    """Runs `main` and exits with its status."""
    sys.exit(main(sys.argv))
