"""The end of a run: the verdict on its energy, advice, and the next commands."""

from __future__ import annotations

import math
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from tf_nqs.analysis import not_the_ground_state
from tf_nqs.analysis.rounding import unreachable
from tf_nqs.analysis.verdict import Doubt, find_doubts, is_above_reference
from tf_nqs.config import Settings
from tf_nqs.named_ansatze import SIZES
from tf_nqs.storage.export_folder import UNREADABLE
from tf_nqs.storage.result import RunResult
from tf_nqs.storage.run_folder import CHAIN_MARK, bears_mark

_COMMANDS = {
    True: ("python train.py", "python -m tf_nqs.evaluate", "python -m tf_nqs.observe", "python export/saved_model.py"),
    False: ("tf-nqs-train", "tf-nqs-evaluate", "tf-nqs-observe", "tf-nqs-export"),
}
"""Whether the run was started by `train.py` of a checkout -> the commands that train, evaluate, observe and export."""

_LONGER = 5
"""Factor by which a measurement is advised to be longer."""


def find_other_states(result: RunResult, settings: Settings) -> list[Doubt]:
    """Returns why the energy cannot be the ground state's; empty if nothing shows that."""
    if result.energy is None or result.energy_error is None:
        return []
    measured = result.energy, result.energy_error, settings.evaluation.target_error
    doubt = not_the_ground_state(settings.system.gaussian(), *measured, settings.system.named())
    return [] if doubt is None else [doubt]


def judged(
    result: RunResult, settings: Settings, metrics: Mapping[str, Any], others: Sequence[Doubt] = ()
) -> tuple[RunResult, list[Doubt]]:
    """Returns the result with its verdict, and the doubts about its energy.

    Args:
        result: without a verdict.
        settings: of the run.
        metrics: columns of `metrics.csv`; may be empty.
        others: doubts from elsewhere, see `find_other_states`; they explain how training ended unless it failed.
    """
    if result.stop_reason != "failed":
        explanations = filter(None, (result.stop_explanation, *(doubt.reason for doubt in others)))
        result = replace(result, stop_explanation="; ".join(explanations) or None)
    doubts = find_doubts(asdict(result), settings.evaluation.target_error, metrics.get("energy", ()), others)
    reasons = [doubt.reason for doubt in doubts]
    return replace(result, converged=not doubts, not_converged_because=reasons), doubts


def closing_lines(result: RunResult, doubts: Sequence[Doubt], settings: Settings, folder: Path) -> list[str]:
    """Returns the lines below the table: advice if there are doubts, the folder of the results, and the next commands.

    Args:
        result: of the run.
        doubts: about its energy.
        settings: of the run.
        folder: of the run.
    """
    train, evaluate, observe, export = _COMMANDS[Path(sys.argv[0]).name == "train.py"]
    run_dir = f"--run_dir={shlex.quote(str(folder))}"
    longer = f"{evaluate} {run_dir} --evaluation_max_seconds={_LONGER * settings.evaluation.evaluation_max_seconds:g}"
    more = _longer_training(result, settings, folder, f"{train} {run_dir} --resume")
    advice = {
        "failure": "start again with a smaller --learning_rate, or with --dtype=float64",
        "training": more,
        "sampling": f"measure longer, with more steps between samples: {longer} "
        f"--n_steps={2 * settings.sampling.n_steps}"
        + ("" if settings.sampling.global_moves else "; or train with --global_moves"),
        "precision": f"measure longer: {longer}",
        "binding": "use a stronger attraction, or the trap",
        "start": "start again without --transfer_from and with --pretrain_iterations: then walkers start in the well",
        "wave_function": f"try a larger network ({_sizes(settings)}), or --dtype=float64",
    }
    causes = dict.fromkeys(doubt.cause for doubt in doubts)
    lines = [f"to improve it: {advice[cause]}" for cause in causes]
    if is_above_reference(asdict(result)) and not {"training", "failure"} & causes.keys():
        above = f"{result.deviation_in_sigma:.1f} standard errors above the reference"
        lines.append(f"the energy lies {above}, though by no more than target_error; to lower it: {more}")
    target = settings.evaluation.target_error
    if result.energy_error is not None and result.energy_error > target and "precision" not in causes:
        parts = [part or 0.0 for part in (result.kinetic, result.trap, result.interaction)]
        why = unreachable(target, parts, settings.ansatz.dtype)
        lines.append(why or f"target_error was not reached within evaluation_max_seconds; to reach it: {longer}")
    name = _export_folder(folder)
    return [
        *lines,
        f"results are in {folder}; next:",
        f"  {evaluate} {run_dir}    measures the energy more precisely",
        f"  {observe} {run_dir}    measures densities and correlations",
        f"  {export} {run_dir} --output={name}    exports the wave function",
    ]


def closing_lines_of_family(settings: Settings, folder: Path) -> list[str]:
    """Returns the lines below the table of a family: the folder of the results, and commands on one of its members.

    Args:
        settings: of the run.
        folder: of the run.
    """
    _, evaluate, observe, export = _COMMANDS[Path(sys.argv[0]).name == "train.py"]
    values = [f"--{leaf}={getattr(settings.system, leaf):.12g}" for leaf in settings.family.varied()]
    member = " ".join([f"--run_dir={shlex.quote(str(folder))}", *values])
    return [
        f"results are in {folder}; next, for any member:",
        f"  {evaluate} {member}    measures its energy",
        f"  {observe} {member}    measures its densities and correlations",
        f"  {export} {member} --output={_export_folder(folder)}    exports its wave function",
    ]


def _export_folder(folder: Path) -> str:
    """Returns where an export may go: a path that TensorFlow can load."""
    return shlex.quote(str(Path("exported", re.sub(f"[{re.escape(UNREADABLE)}]", "_", folder.name))))


def _sizes(settings: Settings) -> str:
    """Returns the flags that make the wave function's network larger."""
    sizes = SIZES.get(settings.ansatz.ansatz, ("n_features", "n_layers"))
    return ", ".join(f"--{leaf}" for leaf in sizes if leaf.startswith("n_"))


def _longer_training(result: RunResult, settings: Settings, folder: Path, resume: str) -> str:
    """Returns how to train longer; a stage of a chain, or a run that a criterion has ended, cannot simply resume."""
    iterations = 2 * max(result.n_iterations, settings.training.iterations)
    if result.stop_reason == "early_stopping":
        return f"train longer: start again with --early_stopping=none --iterations={iterations}"
    if bears_mark(folder.parent, CHAIN_MARK):
        return f"train longer: start the chain again with iterations = {iterations} in this stage"
    if result.stop_reason == "interrupted":
        return f"continue training: {resume}"
    if result.stop_reason == "time_limit" and settings.training.max_seconds:
        return f"train longer: {resume} --max_seconds={math.ceil(2 * settings.training.max_seconds)}"
    return f"train longer: {resume} --iterations={iterations}"
