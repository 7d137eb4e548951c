"""The command that exports the wave function of a finished run as a SavedModel.

Exit status: 0 exported, 2 bad input, 3 the exported model does not give the run's numbers, 130 interrupted.
"""

from __future__ import annotations

import functools

from tf_nqs.commands import command
from tf_nqs.commands.finished_run import run_dir_flag
from tf_nqs.commands.flags import Flag, Given, switch_flag
from tf_nqs.commands.member_flags import member_flags, member_or_family
from tf_nqs.experiment.memory import check_model
from tf_nqs.runtime import startup
from tf_nqs.storage.export_folder import check_output
from tf_nqs.storage.run_folder import RunFolder


def _flags() -> list[Flag]:
    overwrite = "Replace the export that the output folder holds (true or false; default: false)."
    output = "Folder for the export (a new or an empty folder; required)."
    return [
        run_dir_flag(),
        Flag("output", output, "a new or an empty folder", is_required=True),
        switch_flag("overwrite", overwrite, label="--[no]overwrite"),
        *member_flags(),
    ]


def _export(given: Given) -> None:
    """Checks the folders and exports; what can be refused without TensorFlow does not wait for it."""
    run_dir, output, overwrite = given.own["run_dir"], given.own["output"], given.own.get("overwrite", False)
    check_output(output, overwrite)
    folder = RunFolder.finished(run_dir)
    member, extrapolate = member_or_family(folder, given), given.own.get("extrapolate", False)
    check_model(folder.settings)
    _ = folder.result_values  # refused if it cannot be used
    parts = folder, output, overwrite, member, extrapolate
    startup.call_with_tensorflow("tf_nqs.commands.export_run:export_run", *parts)


COMMAND = command.Command(
    name="tf-nqs-export",
    program="python export/saved_model.py",
    summary="export the wave function of a finished run as a SavedModel",
    usage="""\
Exports the wave function of a finished run as a SavedModel, which needs only TensorFlow. Of a run of a family all
members are exported together, in signatures that take the parameters of a system too, or the one that is asked for.

usage: python export/saved_model.py --run_dir=RUN_FOLDER --output=FOLDER [--overwrite]
example: python export/saved_model.py --run_dir=runs/a4 --output=exported/a4
         python export/saved_model.py --run_dir=runs/family --output=exported/family
         python export/saved_model.py --run_dir=runs/family --interaction_strength=7.3 --output=exported/a4v7""",
    flags=_flags,
    work=_export,
    outcome=lambda: (
        """\
Writes FOLDER/1/saved_model.pb, in the layout of TensorFlow Serving, and FOLDER/README.md, which describes every
signature: log_psi, psi, local_energy, gradient_and_laplacian, orbitals and sample. Of a family they take the parameters
of the system too; the table curve.csv of the run folder goes along. Before the export is put in place, it is loaded
again and compared with the run; if anything fails, the folder stays as it was."""
    ),
    interrupted="nothing was exported",
)

main = functools.partial(command.main, COMMAND)
