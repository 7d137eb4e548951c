"""`python -m tf_nqs.observe --run_dir=runs/a4`: densities, correlations and occupations of a finished run.

Exit status: 0 measured, 2 bad input, 3 no finite sample, 130 interrupted.
"""

from __future__ import annotations

import functools
import sys

from tf_nqs.commands import command
from tf_nqs.commands.finished_run import run_flags, work_on_run
from tf_nqs.commands.flags import DISTRIBUTION, choice_flag
from tf_nqs.commands.several_members import several_member_flags, work_on_members

SETTINGS = ("evaluation_max_seconds", "reference_max_seconds", "seed", "quiet", *DISTRIBUTION)

COMMAND = command.Command(
    name="tf-nqs-observe",
    program="python -m tf_nqs.observe",
    summary="measure densities, correlations and occupations of a finished run",
    usage="""\
Measures densities, correlations and natural occupations of a finished run, with its weights frozen.

usage: python -m tf_nqs.observe --run_dir=RUN_FOLDER [--setting=value ...]
example: python -m tf_nqs.observe --run_dir=runs/a4 --evaluation_max_seconds=60
         python -m tf_nqs.observe --run_dir=runs/family --interaction_strength=7.3
         python -m tf_nqs.observe --run_dir=runs/family --interaction_strength=-10,0,10""",
    flags=lambda: [
        *run_flags(SETTINGS),
        *several_member_flags(),
        choice_flag("format", "Format of the plots.", ("png", "pdf", "svg")),
    ],
    work=work_on_members(
        "tf_nqs.commands.observe_members_run:observe_members",
        work_on_run("tf_nqs.commands.observe_run:observe_run", lambda folder: folder.observable_plots),
    ),
    outcome=lambda: (
        """\
Burns walkers in until they are in equilibrium, then measures for evaluation_max_seconds. Writes
RUN_FOLDER/observables.npz: density, one_body_density_matrix, occupations, pair_density, pair_distribution,
distribution_of_distance, rms_size, entropy, kinetic, trap and interaction, each with its _error; x, r,
natural_orbitals, occupations_left_out, n_iterations, in_equilibrium, and exact_... where there is an exact solution
(A = 2 to 4, and free fermions; --reference_max_seconds=0 leaves it out). Writes a plot of each into
RUN_FOLDER/observables/ and replaces earlier plots of any format. Of a member of a family file and folder are named
observables_A4_V7.3_s0.5. Of several members, each is measured for evaluation_max_seconds; their densities and
occupations are also in one picture, observables_A4_V-10to10_s0.5.png, and in a table. See docs/observables.md."""
    ),
)

main = functools.partial(command.main, COMMAND)

if __name__ == "__main__":
    sys.exit(main())
