"""The work of `python -m tf_nqs.diffuse`: the exact energy of a run's system. Loads TensorFlow."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tf_nqs.analysis.diffusion_plot import plot_diffusion
from tf_nqs.analysis.notation import finite_or_none, format_with_error
from tf_nqs.analysis.report import SIGMA
from tf_nqs.analysis.tables import terminal_table
from tf_nqs.analysis.words import REFERENCE_WORDS
from tf_nqs.commands.diffusion_flags import N_WALKERS, TIME_STEPS
from tf_nqs.commands.diffusion_guide import ChosenGuide, choose_guide
from tf_nqs.commands.finished_run import Request
from tf_nqs.commands.known_reference import reference_of
from tf_nqs.config import Settings, SettingsError, settings_from
from tf_nqs.diffusion import DiffusionEnergy, Progress, TooShortError, diffusion_energy
from tf_nqs.diffusion.energy import check_energies
from tf_nqs.diffusion.extrapolation import fitted_polynomial
from tf_nqs.diffusion.saved import read_progress, write_progress
from tf_nqs.exact import Reference
from tf_nqs.experiment import build as builders
from tf_nqs.experiment import result as make_result
from tf_nqs.runtime.exit_status import WorkFailedError
from tf_nqs.storage.files import folder_errors, replace_file, replace_text
from tf_nqs.storage.weights_file import iterations_of_run

logger = logging.getLogger(__name__)

_SECONDS_BETWEEN_SAVES, _SECONDS_BETWEEN_LINES = 10.0, 2.0

_MOST_DRIFT = 4.0
"""Difference of the two halves of a walk, in errors, above which it was hardly in equilibrium."""


def diffuse_run(request: Request) -> None:
    """Computes the exact energy of a run's system, writes `diffusion.json` and a plot, and prints a table.

    Raises:
        SettingsError: the run cannot be read, its wave function cannot guide, its potential is nowhere finite, or its
            folder cannot be written or holds another diffusion that was cut short.
        WorkFailedError: there is no energy after evaluation_max_seconds, or no walker with a finite energy is left.
    """
    run = builders.read_run(request.folder)
    settings = settings_from(request.folder.config, request.overrides)
    n_walkers = request.own.get("n_walkers", N_WALKERS)
    chosen = choose_guide(run, settings, request.own.get("guide", "auto"), n_walkers)
    try:
        check_energies(chosen.guide, chosen.positions)
    except ValueError as error:
        what = f"guide = '{chosen.name}', interaction = '{settings.system.interaction}'"
        raise SettingsError(f"{what}: {error}; both must be finite where no particles meet") from error
    time_steps = request.own.get("time_steps", TIME_STEPS)
    identity = _identity(chosen, settings, time_steps, n_walkers)
    earlier = read_progress(request.folder.diffusion_state, identity)
    reference = reference_of(request, settings)
    _announce(request, settings, chosen, earlier)
    result, seconds = _diffuse(request, settings, chosen, time_steps, identity, earlier)
    entries = _entries(request, settings, chosen, result, reference) | {"seconds": seconds}
    _write(request, settings, entries, result)
    logger.info(_steps_table(result))
    logger.info(_table(entries))
    for warning in entries["warnings"]:
        logger.info(f"warning: {warning}")


def _identity(chosen: ChosenGuide, settings: Settings, time_steps: Sequence[float], n_walkers: int) -> dict[str, Any]:
    """Returns what a diffusion must have in common with the one that it continues."""
    return {
        "time_steps": list(time_steps),
        "seed": settings.run.seed,
        "n_walkers": n_walkers,
        "guide": chosen.name,
        "stiffness": list(chosen.stiffness or ()),
        "weights": chosen.weights,
        "system": settings.system.resolved(),
    }


def _announce(request: Request, settings: Settings, chosen: ChosenGuide, earlier: Progress | None) -> None:
    target, max_seconds = settings.evaluation.target_error, settings.evaluation.evaluation_max_seconds
    words = {"run": "the run's wave function", "free_fermions": "free fermions"}[chosen.name]
    logger.info(f"diffusion for {request.folder} until the error is {target:g} ħω, at most {max_seconds:g} seconds ...")
    logger.info(f"the guide is that of {words}{f', as {chosen.reason}' if chosen.reason else ''}")
    if earlier:
        logger.info(f"continues a diffusion that was cut short after {earlier.seconds:.0f} seconds")
    else:
        logger.info("the walkers move to equilibrium ...")


def _diffuse(
    request: Request,
    settings: Settings,
    chosen: ChosenGuide,
    time_steps: Sequence[float],
    identity: dict[str, Any],
    earlier: Progress | None,
) -> tuple[DiffusionEnergy, float]:
    """Returns the energy and the seconds that it took, those of an earlier part included; saves its state meanwhile."""
    target, max_seconds = settings.evaluation.target_error, settings.evaluation.evaluation_max_seconds
    begun, printed, saved = time.monotonic(), -np.inf, time.monotonic()
    latest: Callable[[], Progress] | None = None

    def save() -> None:
        if latest is not None:
            with folder_errors("run_dir", request.folder.path):
                write_progress(request.folder.diffusion_state, latest(), identity)

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

    jit_compile = settings.training.jit_compile
    arguments = (chosen.guide, chosen.positions, time_steps, target, max_seconds, settings.run.seed)
    try:
        result = diffusion_energy(*arguments, report=report, keep=keep, earlier=earlier, jit_compile=jit_compile)
    except TooShortError as error:
        save()
        raise WorkFailedError(
            f"evaluation_max_seconds = {max_seconds:g}: too short for an energy; the same command with more continues"
        ) from error
    except ValueError as error:
        raise WorkFailedError(str(error)) from error
    return result, time.monotonic() - begun + (earlier.seconds if earlier else 0.0)


def _entries(
    request: Request, settings: Settings, chosen: ChosenGuide, result: DiffusionEnergy, reference: Reference
) -> dict[str, Any]:
    """Returns what `diffusion.json` holds, but for the seconds."""
    steps = result.time_steps
    trained = request.folder.result_values
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
        "run_energy": trained.get("energy"),
        "run_energy_error": trained.get("energy_error"),
        "reference_energy": reference.energy,
        "reference_kind": reference.kind,
        "reference_uncertainty": reference.uncertainty,
        "deviation_in_sigma": make_result.deviation_in_sigma(result, reference),
        "n_iterations": iterations_of_run(request.folder),
        "seed": settings.run.seed,
        "versions": make_result.versions(),
        "warnings": _warnings(result, target),
    }


def _warnings(result: DiffusionEnergy, target: float) -> list[str]:
    found = []
    if not result.energy_error <= target:
        found.append("target_error was not reached within evaluation_max_seconds")
    found += [
        f"at time step {one.time_step:g} the energy drifts: the walkers were hardly in equilibrium"
        for one in result.time_steps
        if abs(one.drift_in_sigma) > _MOST_DRIFT
    ]
    if n_non_finite := sum(one.n_non_finite for one in result.time_steps):
        found.append(f"{n_non_finite} times a walker came to an energy that is not finite, and was left out")
    return found


def _write(request: Request, settings: Settings, entries: dict[str, Any], result: DiffusionEnergy) -> None:
    """Writes the two files, and deletes the state that a diffusion which was cut short would go on from."""
    folder = request.folder
    points = [(one.time_step, one.energy, one.energy_error) for one in result.time_steps]
    fit = [float(one) for one in fitted_polynomial(result.time_steps)[0]]
    title, reference = settings.system.title(), entries["reference_energy"]
    with folder_errors("run_dir", folder.path):
        replace_file(
            folder.diffusion_plot,
            lambda path: plot_diffusion(path, title, points, fit, result.energy_error, reference),
        )
        replace_text(folder.diffusion, json.dumps(entries, indent=2, allow_nan=False) + "\n")
        folder.diffusion_state.unlink(missing_ok=True)


def _steps_table(result: DiffusionEnergy) -> str:
    rows = [
        (
            f"{one.time_step:g}",
            format_with_error(one.energy, one.energy_error),
            f"{100 * one.acceptance:.1f} %",
            f"{one.effective_walkers:.0f}",
        )
        for one in result.time_steps
    ]
    header = ("Time step (1/ω)", "Energy (ħω)", "Acceptance", "Effective walkers")
    return terminal_table([[*rows, ("0", format_with_error(result.energy, result.energy_error), "", "")]], header)


def _table(entries: dict[str, Any]) -> str:
    """Returns the table of the result: the energy, and what stands beside it."""
    energy, error = entries["energy"], entries["energy_error"]
    rows = [("Energy", f"{format_with_error(energy, error)} ħω (diffusion)")]
    if entries["reference_energy"] is not None:
        kind = REFERENCE_WORDS.get(entries["reference_kind"], entries["reference_kind"])
        known = format_with_error(entries["reference_energy"], entries["reference_uncertainty"])
        rows.append(("Reference", f"{known} ħω ({kind})"))
    if entries["deviation_in_sigma"] is not None:
        rows.append(("Deviation", f"{entries['deviation_in_sigma']:.2f} {SIGMA}"))
    if entries["run_energy"] is not None:
        above, trained = entries["run_energy"] - energy, entries["run_energy_error"]
        rows.append(("Run's energy", f"{format_with_error(entries['run_energy'], trained)} ħω, {above:+.6f} ħω"))
    guide = entries["guide"].replace("_", " ")
    rows += [
        ("Guide", guide + (f" ({entries['guide_reason']})" if entries["guide_reason"] else "")),
        ("Walkers", f"{entries['n_walkers']} for each time step"),
        ("Seconds", f"{entries['seconds']:.1f}"),
    ]
    return terminal_table([rows], n_left=2)
