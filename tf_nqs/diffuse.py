"""`python -m tf_nqs.diffuse --run_dir=runs/a8`: the exact ground-state energy of a run's system.

Exit status: 0 measured, 2 bad input, 3 no energy in the given time, 130 interrupted.
"""

from __future__ import annotations

import functools
import sys

from tf_nqs import defaults
from tf_nqs.commands import command
from tf_nqs.commands.diffusion_flags import diffusion_flags
from tf_nqs.commands.finished_run import run_flags, work_on_run
from tf_nqs.commands.flags import Given
from tf_nqs.config import RunFolderError
from tf_nqs.config.errors import must_be
from tf_nqs.experiment.memory import available_bytes
from tf_nqs.storage.run_folder import RunFolder

SETTINGS = ("target_error", "evaluation_max_seconds", "reference_max_seconds", "seed", "quiet")

_BYTES_PER_PAIR = 256
"""Of memory for each walker and each pair of its particles, in either order: 32 numbers of double precision."""


def _check(folder: RunFolder, given: Given) -> None:
    """Refuses a run without a trap, and more walkers than fit into memory."""
    if not folder.settings.system.has_trap:
        raise RunFolderError(
            f"run_dir = {folder.path}: its trap is none, so that equilibration may take arbitrarily long; "
            "must be the folder of a run in a trap"
        )
    _check_memory(folder.settings.system.n_particles, given.own.get("n_walkers", defaults.N_DIFFUSION_WALKERS))


def _check_memory(n_particles: int, n_walkers: int) -> None:
    """Refuses more walkers than fit into the memory of this machine, by the distances of their particles."""
    most = available_bytes() // (_BYTES_PER_PAIR * n_particles**2)
    if n_walkers > most:
        raise must_be("n_walkers", n_walkers, f"at most about {most}, for the memory of this machine")


COMMAND = command.Command(
    name="tf-nqs-diffuse",
    program="python -m tf_nqs.diffuse",
    summary="compute the exact energy of a run's system by diffusion Monte Carlo",
    usage="""\
Computes the exact ground-state energy of a run's system, for any number of particles, by diffusion Monte Carlo.

usage: python -m tf_nqs.diffuse --run_dir=RUN_FOLDER [--setting=value ...]
example: python -m tf_nqs.diffuse --run_dir=runs/a8 --target_error=1e-3""",
    flags=lambda: [*run_flags(SETTINGS), *diffusion_flags()],
    work=work_on_run("tf_nqs.commands.diffuse_run:diffuse_run", check=_check, locks=True, has_members=False),
    outcome=lambda: (
        """\
Ends when the standard error is at most target_error, or after evaluation_max_seconds. Writes RUN_FOLDER/diffusion.json:
energy, energy_error, time_steps, energies, energy_errors and more; and diffusion.png, the energy against the time step.
Saves its state every few seconds: after a crash the same command continues; after evaluation_max_seconds the same
command with more seconds does. See docs/diffusion.md."""
    ),
    interrupted="the same command continues from the last saved state",
)

main = functools.partial(command.main, COMMAND)

if __name__ == "__main__":
    sys.exit(main())
