"""The work of `python -m tf_nqs.evaluate`: measures the energy of a finished run. Loads TensorFlow."""

from __future__ import annotations

import json
import logging
import math
import time
from typing import Any

from tf_nqs.analysis import format_with_error, not_the_ground_state, read_metrics, result_table
from tf_nqs.analysis.notation import finite_or_none
from tf_nqs.analysis.rounding import unreachable
from tf_nqs.analysis.tables import terminal_table
from tf_nqs.analysis.verdict import find_doubts
from tf_nqs.commands.finished_run import Request
from tf_nqs.commands.known_reference import diffused_earlier, reference_of
from tf_nqs.commands.opened_run import OpenedRun, open_run, written_into
from tf_nqs.exact import Reference
from tf_nqs.experiment import result as make_result
from tf_nqs.measurement.energy import EnergyMeasurement
from tf_nqs.measurement.evaluation import warm_up_evaluation
from tf_nqs.physics.contact import why_no_errors
from tf_nqs.runtime.exit_status import WorkFailedError
from tf_nqs.storage.files import replace_text
from tf_nqs.storage.result import RunResult

logger = logging.getLogger(__name__)

RELATIONS = {
    "virial": ("Virial theorem", "2T \N{MINUS SIGN} Σ x·dV/dx", "ħω"),
    "centre_of_mass": ("Centre of mass", "energy \N{MINUS SIGN} 1/2", "ħω"),
    "centre_of_mass_size": ("", "⟨X²⟩ \N{MINUS SIGN} 1/(2A)", "a_ho²"),
    "parity": ("Parity", "⟨Psi(\N{MINUS SIGN}x)/Psi(x)⟩ \N{MINUS SIGN} exact", ""),
}
"""Key -> how the table calls what the exact state obeys, the deviation, and its unit."""


def evaluate_run(request: Request) -> None:
    """Measures the energy of a run, writes `evaluation.json` into its folder and prints it.

    Raises:
        SettingsError: the run folder holds no run that can be read, cannot be written, or is trained again.
        WorkFailedError: no sample has a finite energy.
    """
    diffused = diffused_earlier(request.folder)  # a damaged file is refused before anything is measured
    run = open_run(request)
    with run.workers.messages(run.settings.run.quiet):
        measurement, seconds = _measure(request, run)
        if run.workers.is_chief:
            evaluation = _evaluation(run, request, measurement, seconds, diffused)
            if diffused.energy is not None:
                evaluation |= {"diffusion_energy": diffused.energy, "diffusion_energy_error": diffused.uncertainty}
            _write(request, run, evaluation)
        run.workers.wait()
    if not math.isfinite(measurement.energy):
        raise WorkFailedError("no sample has a finite energy")


def _measure(request: Request, run: OpenedRun) -> tuple[EnergyMeasurement, float]:
    """Returns the measured energy, and the seconds that it took without compilation."""
    target, max_seconds = run.settings.evaluation.target_error, run.settings.evaluation.evaluation_max_seconds
    logger.info(f"measuring {request.subject()} until the error is {target:g} ħω, at most {max_seconds:g} seconds ...")

    def report(estimate: Any) -> None:
        energy = format_with_error(estimate.mean, estimate.error)
        logger.info(f"{estimate.n_samples:,} samples  energy {energy}  error {estimate.error:.1e}, target {target:.1e}")

    with run.workers.scope():
        warm_up_evaluation(run.vmc)
        logger.info("burn-in, until the walkers are in equilibrium; it may take half of the time ...")
        started = time.monotonic()
        return run.vmc.evaluate_energy(target, max_seconds, report=report), time.monotonic() - started


def _write(request: Request, run: OpenedRun, evaluation: dict[str, Any]) -> None:
    """Writes evaluation.json and prints the tables."""
    text = json.dumps(evaluation, indent=2, allow_nan=False) + "\n"
    with written_into(request, run):
        replace_text(request.folder.evaluation, text)
    logger.info(result_table(evaluation))
    logger.info(_more(evaluation))
    for warning in evaluation["warnings"]:
        logger.info(f"warning: {warning}")


def _evaluation(
    run: OpenedRun, request: Request, measurement: Any, seconds: float, diffused: Reference
) -> dict[str, Any]:
    """Returns what `evaluation.json` holds: the keys of `result.json`, measured again, and more."""
    earlier = request.folder.result_values
    reference = reference_of(request, run.settings, diffused)
    measured = measurement._asdict()
    relations, with_error = measured.pop("relations"), {}
    for key in ("autocorrelation_time", "v_score"):
        with_error[key] = measured.pop(key)
    with_error |= {key: relations.get(key) for key in RELATIONS}
    measured = {key: finite_or_none(value) for key, value in measured.items()}
    measured["non_finite_share"] = measurement.non_finite_share
    for key, pair in with_error.items():
        measured[key], measured[f"{key}_error"] = map(finite_or_none, pair or (None, None))
    evaluation = {
        **{key: earlier.get(key) for key in RunResult.__annotations__ if key != "members"},
        **measured,
        **{f"reference_{key}": value for key, value in reference._asdict().items()},
        "deviation_in_sigma": make_result.deviation_in_sigma(measurement, reference),
        "n_iterations": run.n_iterations,
    }
    target_error = run.settings.evaluation.target_error
    system, found = run.settings.system, (measurement.energy, measurement.energy_error, target_error)
    lower = not_the_ground_state(system.gaussian(), *found, system.named())
    doubts = find_doubts(evaluation, target_error, _energies(request), [lower] if lower else [])
    reasons = [doubt.reason for doubt in doubts]
    return evaluation | {
        "converged": not reasons,
        "not_converged_because": reasons,
        "n_parameters": run.vmc.ansatz.count_params(),
        "seed": run.settings.run.seed,
        "versions": make_result.versions(),
        "seconds_evaluation": seconds,
        "target_error": target_error,
        "warnings": _warnings(run, measurement),
    }


def _energies(request: Request) -> Any:
    """Returns the energies of the training; nothing where they cannot be read, or are means over a family."""
    if request.member is not None:
        return ()
    try:
        return read_metrics(request.folder.metrics)["energy"]
    except (OSError, ValueError):
        return ()


def _warnings(run: OpenedRun, measurement: Any) -> list[str]:
    found = []
    if not measurement.in_equilibrium:
        found.append("burn-in ran out of time before the walkers reached equilibrium")
    if not measurement.is_mixed:
        found.append(f"the Markov chains have not mixed: R-hat is {measurement.r_hat:.3g}, it should be at most 1.05")
    if not (measurement.in_equilibrium and measurement.is_mixed):
        found.append("so the errors are unknown; a longer evaluation_max_seconds may help")
    if measurement.energy_error > (target := run.settings.evaluation.target_error):
        parts = (measurement.kinetic, measurement.trap, measurement.interaction)
        why = unreachable(target, parts, run.vmc.compute_dtype)
        found.append(why or "target_error was not reached within evaluation_max_seconds")
    if measurement.error_uncertainty > 0.15:
        share = f"{100 * measurement.error_uncertainty:.0f} %"
        found.append(f"a few walkers with extreme local energies dominate the error: it is known only to {share}")
    if measurement.energy_error_blocks > 1.5 * measurement.energy_error_chains:
        found.append("blocks of time differ by more than the walkers do: the energy drifts")
    if why := why_no_errors(run.vmc.system.contact_exponent):
        found.append(why)
    if measurement.n_non_finite:
        share = f"{100 * measurement.non_finite_share:.2g} %"
        found.append(f"{measurement.n_non_finite} samples ({share}) without a finite energy were left out")
    return found


def _more(evaluation: dict[str, Any]) -> str:
    """Returns a second table: what only an evaluation measures, with errors."""

    def value(key: str, unit: str = "") -> str:
        return (
            "-"
            if evaluation[key] is None
            else f"{format_with_error(evaluation[key], evaluation[f'{key}_error'])} {unit}".strip()
        )

    rows = [
        ("Samples", "", f"{evaluation['n_samples']:,}"),
        ("Autocorrelation time", "", value("autocorrelation_time", "sampling calls")),
        ("V-score", "A Var/(E \N{MINUS SIGN} A²/2)²", value("v_score")),
    ]
    rows += [(name, words, value(key, unit)) for key, (name, words, unit) in RELATIONS.items()]
    return terminal_table([rows], n_left=3)
