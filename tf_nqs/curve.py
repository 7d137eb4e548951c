"""`python -m tf_nqs.curve --run_dirs=runs/a,runs/b --output=curves/a4`: energies of several runs as a curve.

`python -m tf_nqs.curve --run_dir=runs/family --interaction_strength=-20:20:41`: those of members of a family.

Exit status: 0 measured, 2 bad input, 3 no finite energy, 130 interrupted.
"""

from __future__ import annotations

import functools
import sys

from tf_nqs.commands import command
from tf_nqs.commands.curve_flags import CurveRequest, curve_flags, request_of
from tf_nqs.commands.flags import Given
from tf_nqs.config.shape import compiled_shape
from tf_nqs.runtime import startup


def _work(given: Given) -> None:
    request = request_of(given)
    if isinstance(request, CurveRequest):
        target, first = "curve_run:curve_of_runs", request.settings(request.folders[0])
    else:
        target, first = "family_curve_run:curve_of_family", request.settings(request.places[0])
    startup.call_with_tensorflow(f"tf_nqs.commands.{target}", request, shape=compiled_shape(first))


COMMAND = command.Command(
    name="tf-nqs-curve",
    program="python -m tf_nqs.curve",
    summary="measure several runs, or members of a family, and draw their energies against what varies",
    usage="""\
Measures the wave functions of several runs with their weights frozen, and draws their energies against the parameter
that varies, with the exact ones. Compares the slope of the curve with the measured <dH/dlambda> (Hellmann and Feynman).

usage: python -m tf_nqs.curve --run_dirs=RUN_FOLDER,RUN_FOLDER,... --output=FOLDER [--setting=value ...]
       python -m tf_nqs.curve --run_dir=FAMILY --interaction_strength=LOW:HIGH:POINTS [--setting=value ...]
example: python -m tf_nqs.curve --run_dir=runs/family --interaction_strength=-20:20:41
example: python -m tf_nqs.curve --run_dirs=runs/v1,runs/v2,runs/v3,runs/v4 --output=curves/a4 --target_error=3e-4""",
    flags=curve_flags,
    work=_work,
    outcome=lambda: (
        """\
Writes FOLDER/curve.csv, a row per run: energy, exact energy, deviation, variance, kinetic, trap, interaction, rms_size,
measured_slope, fitted_slope, curvature and fidelity_susceptibility, with their errors; and curve.png. Runs of the same
system are compared in differences.csv. A slope needs one parameter that varies, beside the number of particles; a curve
through the energies needs four values of it. Each point is kept in FOLDER/curve_points/: the same command continues
after an interruption, and with more runs it measures the new ones only. See docs/curves.md."""
    ),
    interrupted="the same command continues with the runs that are not measured yet",
    lost_worker="restart all workers; the same command continues with the runs that are not measured yet",
)

main = functools.partial(command.main, COMMAND)

if __name__ == "__main__":
    sys.exit(main())
