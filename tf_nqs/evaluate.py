"""`python -m tf_nqs.evaluate --run_dir=runs/a4`: the energy of a finished run, measured to a requested error.

Exit status: 0 measured, 2 bad input, 3 no finite energy, 130 interrupted.
"""

from __future__ import annotations

import functools
import sys

from tf_nqs.commands import command
from tf_nqs.commands.finished_run import run_flags, work_on_run
from tf_nqs.commands.flags import DISTRIBUTION, Flag, Given, setting_flag
from tf_nqs.commands.member_flags import member_flags
from tf_nqs.config.errors import must_be
from tf_nqs.storage.diffusion_result import read_diffusion
from tf_nqs.storage.run_folder import RunFolder

SETTINGS = (
    "target_error",
    "evaluation_max_seconds",
    "n_steps",
    "reference_max_seconds",
    "seed",
    "quiet",
    *DISTRIBUTION,
)


def _flags() -> list[Flag]:
    text = (
        "Energy that the measured one is compared with; diffusion: the one in diffusion.json; auto: the exact one if "
        "there is one, else that in diffusion.json."
    )
    return [
        *run_flags(SETTINGS),
        *member_flags(),
        setting_flag("reference", text=text, default="the run's own"),
    ]


def _work(given: Given) -> None:
    if given.settings.get("reference") == "diffusion":
        folder = RunFolder.finished(given.own["run_dir"])
        can_diffuse = folder.settings.system.has_trap
        if folder.settings.is_family:
            advice = "; python -m tf_nqs.curve measures members against it" if can_diffuse else ""
            raise must_be("reference", "diffusion", f"auto, exact or none for a family{advice}")
        if read_diffusion(folder) is None:
            advice = "; python -m tf_nqs.diffuse writes it" if can_diffuse else " and no trap"
            raise must_be("reference", "diffusion", f"auto, exact or none, as the run has no diffusion.json{advice}")
    work_on_run("tf_nqs.commands.evaluate_run:evaluate_run")(given)


COMMAND = command.Command(
    name="tf-nqs-evaluate",
    program="python -m tf_nqs.evaluate",
    summary="measure the energy of a finished run again, to a requested error",
    usage="""\
Measures the energy of a finished run with its weights frozen, to a requested error.

usage: python -m tf_nqs.evaluate --run_dir=RUN_FOLDER [--setting=value ...]
example: python -m tf_nqs.evaluate --run_dir=runs/a4 --target_error=1e-4
         python -m tf_nqs.evaluate --run_dir=runs/family --interaction_strength=7.3""",
    flags=_flags,
    work=_work,
    outcome=lambda: (
        """\
Draws new walkers and burns them in until they are in equilibrium. Writes RUN_FOLDER/evaluation.json: the keys of
result.json, measured again, and autocorrelation_time, v_score, virial, centre_of_mass, centre_of_mass_size and parity,
each with its _error. The last four are deviations from exact properties; see docs/observables.md. Of a member of a
family it writes RUN_FOLDER/evaluation_A4_V7.3_s0.5.json."""
    ),
)

main = functools.partial(command.main, COMMAND)

if __name__ == "__main__":
    sys.exit(main())
