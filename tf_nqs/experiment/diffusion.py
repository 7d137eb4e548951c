"""A diffusion in the folder of a run: the exact energy of its system, saved while it is computed, and written."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np

import tf_nqs
from tf_nqs import defaults
from tf_nqs.analysis.diffusion_plot import plot_diffusion
from tf_nqs.analysis.diffusion_report import diffusion_table, time_steps_table
from tf_nqs.analysis.notation import finite_or_none, format_with_error
from tf_nqs.config import Settings, SettingsError
from tf_nqs.diffusion import DiffusionEnergy, Look, Progress, TooShortError, diffusion_energy, look_at
from tf_nqs.diffusion.energy import check_energies
from tf_nqs.diffusion.extrapolation import fitted_polynomial
from tf_nqs.diffusion.saved import FORMAT, read_progress, write_progress
from tf_nqs.exact import NO_REFERENCE, Reference
from tf_nqs.experiment import result as make_result
from tf_nqs.experiment.diffusion_entries import observable_entries
from tf_nqs.experiment.diffusion_guide import ChosenGuide, choose_guide, last_walkers
from tf_nqs.physics import TrappedFermions
from tf_nqs.runtime.exit_status import WorkFailedError
from tf_nqs.storage.files import folder_errors, replace_text
from tf_nqs.storage.run_folder import RunFolder
from tf_nqs.storage.weights_file import iterations_of_run
from tf_nqs.training import EnergyMeasurement, VariationalMonteCarlo

logger = logging.getLogger(__name__)

_SECONDS_BETWEEN_SAVES, _SECONDS_BETWEEN_LINES = 10.0, 2.0

_MOST_DRIFT = 4.0
"""Difference of the two halves of a walk, in errors, above which it was hardly in equilibrium."""


class Options(NamedTuple):
    """What a diffusion may be told beside the settings of a run.

    Attributes:
        guide: auto, run or free_fermions.
        n_walkers: of each time step.
        time_steps: in 1/omega.
    """

    guide: str = "auto"
    n_walkers: int = defaults.N_DIFFUSION_WALKERS
    time_steps: Sequence[float] = defaults.DIFFUSION_TIME_STEPS


DEFAULTS = Options()


def diffuse(
    folder: RunFolder,
    system: TrappedFermions,
    ansatz: keras.Model,
    settings: Settings,
    measured: Mapping[str, Any],
    reference: Reference = NO_REFERENCE,
    options: Options = DEFAULTS,
) -> Reference:
    """Computes the exact energy of a run's system, writes `diffusion.json` and a plot, and prints tables.

    Continues what is in the folder's `diffusion_state.npz`, if there is such a file. The file is deleted as soon as the
    error is at most target_error.

    Args:
        folder: of the run, locked.
        system: the Hamiltonian.
        ansatz: the trained wave function.
        settings: of the run; target_error and evaluation_max_seconds end the diffusion.
        measured: energy and energy_error of the wave function, if they are known.
        reference: to compare the energy with.
        options: what else there is to choose.

    Returns:
        The energy by diffusion with its standard error.

    Raises:
        SettingsError: the wave function cannot guide, the potential is nowhere finite, or the folder cannot be written
            or holds another diffusion that was cut short.
        WorkFailedError: there is no energy after evaluation_max_seconds, or no walker with a finite energy is left.
    """
    walkers, seed = last_walkers(folder, system.n_particles), settings.run.seed
    jit_compile = settings.training.jit_compile
    chosen = choose_guide(system, ansatz, options.guide, options.n_walkers, seed, walkers, jit_compile)
    try:
        check_energies(chosen.guide, chosen.positions)
    except ValueError as error:
        what = f"guide = '{chosen.name}', interaction = '{settings.system.interaction}'"
        raise SettingsError(f"{what}: {error}; both must be finite where no particles meet") from error
    look = look_at(system, np.asarray(chosen.positions))
    identity = _identity(chosen, settings, options, look)
    earlier = read_progress(folder.diffusion_state, identity)
    _announce(folder, settings, chosen, earlier)
    look = look._replace(edge=earlier.edge) if earlier else look
    result, seconds = _diffuse(folder, settings, chosen, options.time_steps, identity, earlier, look)
    entries = _entries(settings, chosen, result, reference) | observable_entries(look, result)
    entries |= {
        "run_energy": measured.get("energy"),
        "run_energy_error": measured.get("energy_error"),
        "n_iterations": iterations_of_run(folder),
        "seconds": seconds,
    }
    _write(folder, settings, entries, result)
    logger.info(time_steps_table(entries))
    logger.info(diffusion_table(entries))
    for warning in entries["warnings"]:
        logger.info(f"warning: {warning}")
    return Reference(result.energy, "diffusion", result.energy_error)


def reference_by_diffusion(
    vmc: VariationalMonteCarlo, settings: Settings, folder: RunFolder, measurement: EnergyMeasurement
) -> Reference:
    """Returns the reference energy of a run that has just been trained: that of `diffuse`, guided by what was trained.

    A training that failed or was interrupted has none, nor has one whose diffusion fails or is interrupted: the run
    is finished without it, and the line that says so names the command that goes on.

    Args:
        vmc: the trainer.
        settings: of the run.
        folder: of the run, with its weights.
        measurement: of the trained wave function.
    """
    if vmc.stop_reason in ("failed", "interrupted"):
        return NO_REFERENCE
    measured = {name: finite_or_none(getattr(measurement, name)) for name in ("energy", "energy_error")}
    try:
        found = diffuse(folder, vmc.system, vmc.ansatz, settings, measured)
    except (SettingsError, WorkFailedError) as error:
        logger.info(f"no reference by diffusion: {error}")
        return NO_REFERENCE
    except KeyboardInterrupt:
        logger.info("diffusion interrupted, the run ends without a reference; python -m tf_nqs.diffuse continues it")
        return NO_REFERENCE
    return found if math.isfinite(found.uncertainty or math.nan) else NO_REFERENCE


def _identity(chosen: ChosenGuide, settings: Settings, options: Options, look: Look) -> dict[str, Any]:
    """Returns what a diffusion must have in common with the one that it continues."""
    return {
        "version": f"{tf_nqs.__version__}, format {FORMAT}",
        "time_steps": list(options.time_steps),
        "seed": settings.run.seed,
        "n_walkers": options.n_walkers,
        "guide": chosen.name,
        "stiffness": list(chosen.stiffness or ()),
        "pair_frequency": chosen.pair_frequency,
        "weights": chosen.weights,
        "system": settings.system.resolved(),
        "dtype": chosen.positions.dtype.name,
        "n_observed": len(look.names) + len(look.x),
    }


def _announce(folder: RunFolder, settings: Settings, chosen: ChosenGuide, earlier: Progress | None) -> None:
    target, max_seconds = settings.evaluation.target_error, settings.evaluation.evaluation_max_seconds
    words = {"run": "the run's wave function", "free_fermions": "free fermions"}[chosen.name]
    words += " with a factor for each pair" if chosen.pair_frequency else ""
    logger.info(f"diffusion for {folder} until the error is {target:g} ħω, at most {max_seconds:g} seconds ...")
    logger.info(f"guide: {words}{f', because {chosen.reason}' if chosen.reason else ''}")
    if earlier:
        logger.info(f"continues a diffusion that was cut short after {earlier.seconds:.0f} seconds")
    else:
        logger.info("equilibrating the walkers ...")


def _diffuse(
    folder: RunFolder,
    settings: Settings,
    chosen: ChosenGuide,
    time_steps: Sequence[float],
    identity: dict[str, Any],
    earlier: Progress | None,
    look: Look,
) -> tuple[DiffusionEnergy, float]:
    """Returns the energy and the seconds that it took, those of an earlier part included; saves its state meanwhile."""
    target, max_seconds = settings.evaluation.target_error, settings.evaluation.evaluation_max_seconds
    begun, printed, saved = time.monotonic(), -np.inf, time.monotonic()
    latest: Callable[[], Progress] | None = None

    def save() -> None:
        if latest is not None:
            with folder_errors("run_dir", folder.path):
                write_progress(folder.diffusion_state, latest()._replace(edge=look.edge), identity)

    def keep(progress: Callable[[], Progress]) -> None:
        nonlocal latest, saved
        latest = progress
        if time.monotonic() - saved > _SECONDS_BETWEEN_SAVES:
            save()
            saved = time.monotonic()

    def report(so_far: DiffusionEnergy) -> None:
        nonlocal printed
        if time.monotonic() - printed > _SECONDS_BETWEEN_LINES:
            printed = time.monotonic()
            energy = format_with_error(so_far.energy, so_far.energy_error)
            logger.info(f"energy {energy}  error {so_far.energy_error:.1e}, target {target:.1e}")

    arguments = (chosen.guide, chosen.positions, time_steps, target, max_seconds, settings.run.seed)
    more: dict[str, Any] = {"earlier": earlier, "jit_compile": settings.training.jit_compile, "observe": look}
    with _failures(max_seconds, save):
        result = diffusion_energy(*arguments, report=report, keep=keep, **more)
    if not result.energy_error <= target:
        save()
    return result, time.monotonic() - begun + (earlier.seconds if earlier else 0.0)


@contextlib.contextmanager
def _failures(max_seconds: float, save: Callable[[], None]) -> Iterator[None]:
    """Says in one line why there is no energy."""
    try:
        yield
    except TooShortError as error:
        save()
        raise WorkFailedError(
            f"evaluation_max_seconds = {max_seconds:g}: too short for an energy; the same command with more continues"
        ) from error
    except SettingsError:  # a full disk, say
        raise
    except ValueError as error:
        raise WorkFailedError(str(error)) from error


def _entries(settings: Settings, chosen: ChosenGuide, result: DiffusionEnergy, reference: Reference) -> dict[str, Any]:
    """Returns what `diffusion.json` holds, but for what belongs to the run."""
    steps = result.time_steps
    target = settings.evaluation.target_error
    return {
        "energy": finite_or_none(result.energy),
        "energy_error": finite_or_none(result.energy_error),
        "target_error": target,
        "time_steps": [one.time_step for one in steps],
        "energies": [finite_or_none(one.energy) for one in steps],
        "energy_errors": [finite_or_none(one.energy_error) for one in steps],
        "acceptance": [one.acceptance for one in steps],
        "effective_walkers": [one.effective_walkers for one in steps],
        "n_generations": [one.n_generations for one in steps],
        "n_non_finite": sum(one.n_non_finite for one in steps),
        "n_walkers": int(chosen.positions.shape[0]),
        "guide": chosen.name,
        "guide_reason": chosen.reason or None,
        "guide_stiffness": list(chosen.stiffness) if chosen.stiffness else None,
        "guide_pair_frequency": chosen.pair_frequency,
        "reference_energy": reference.energy,
        "reference_kind": reference.kind,
        "reference_uncertainty": reference.uncertainty,
        "deviation_in_sigma": make_result.deviation_in_sigma(result, reference),
        "seed": settings.run.seed,
        "versions": make_result.versions(),
        "warnings": _warnings(result, target),
    }


def _warnings(result: DiffusionEnergy, target: float) -> list[str]:
    found = []
    if not result.energy_error <= target:
        found.append(
            "target_error was not reached within evaluation_max_seconds; "
            "python -m tf_nqs.diffuse with a larger evaluation_max_seconds continues"
        )
    found += [
        f"at time step {one.time_step:g} the energy drifts: the walkers were hardly in equilibrium"
        for one in result.time_steps
        if abs(one.drift_in_sigma) > _MOST_DRIFT
    ]
    if n_non_finite := sum(one.n_non_finite for one in result.time_steps):
        found.append(f"{n_non_finite} times a walker came to an energy that is not finite, and was left out")
    return found


def _write(folder: RunFolder, settings: Settings, entries: dict[str, Any], result: DiffusionEnergy) -> None:
    """Writes the two files, and deletes the state, from which a diffusion goes on that has not reached its target."""
    points = [(one.time_step, one.energy, one.energy_error) for one in result.time_steps]
    fit = [float(one) for one in fitted_polynomial(result.time_steps)[0]]
    title, reference, density = settings.system.title(), entries["reference_energy"], entries["density"]
    with folder_errors("run_dir", folder.path):
        plot_diffusion(folder.diffusion_plot, title, points, fit, result.energy_error, reference, density)
        replace_text(folder.diffusion, json.dumps(entries, indent=2, allow_nan=False) + "\n")
        if result.energy_error <= entries["target_error"]:
            folder.diffusion_state.unlink(missing_ok=True)
