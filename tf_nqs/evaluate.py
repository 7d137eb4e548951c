"""`python -m tf_nqs.evaluate --run_dir=runs/a4`: the energy of a finished run, measured to a requested error.

Exit status: 0 measured, 2 bad input, 3 no finite energy, 130 interrupted.
"""

from __future__ import annotations

import functools
import sys

from tf_nqs.commands import command
from tf_nqs.commands.finished_run import run_flags, work_on_run

SETTINGS = ("target_error", "evaluation_max_seconds", "reference_max_seconds", "seed", "quiet")

COMMAND = command.Command(
    name="tf-nqs-evaluate",
    program="python -m tf_nqs.evaluate",
    summary="measure the energy of a finished run again, to a requested error",
    usage="""\
Measures the energy of a finished run with its weights frozen, to a requested error.

usage: python -m tf_nqs.evaluate --run_dir=RUN_FOLDER [--setting=value ...]
example: python -m tf_nqs.evaluate --run_dir=runs/a4 --target_error=1e-4""",
    flags=lambda: run_flags(SETTINGS),
    work=work_on_run("tf_nqs.commands.evaluate_run:evaluate_run"),
    outcome=lambda: (
        """\
Draws new walkers and burns them in until they are in equilibrium. Writes RUN_FOLDER/evaluation.json: the keys of
result.json, measured again, and autocorrelation_time, v_score, virial, centre_of_mass, centre_of_mass_size and parity,
each with its _error. The last four are deviations from exact properties; see docs/observables.md."""
    ),
)

main = functools.partial(command.main, COMMAND)

if __name__ == "__main__":
    sys.exit(main())
