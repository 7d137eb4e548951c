"""A trial of a hyper-parameter search: one whole run of the experiment, in a folder of its own."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import keras_tuner

from tf_nqs.config import Settings, SettingsError, settings_from
from tf_nqs.config.search import Search
from tf_nqs.config.section import LARGEST_COUNT
from tf_nqs.experiment.isolated import run_in_subprocess
from tf_nqs.experiment.memory import check_training
from tf_nqs.named_ansatze import without_meaning
from tf_nqs.storage import result as run_result
from tf_nqs.storage.run_folder import RunFolder
from tf_nqs.studies.plan import UNFINISHED
from tf_nqs.studies.tuning.space import declare, values_of

OBJECTIVE = "objective"
TRIALS_FOLDER, STATE_FILE = "trials", "trainer.weights.h5"

_MOST_ITERATIONS_PER_SECOND = 5_000
"""More than any run reaches, so that a trial always ends by its seconds."""


class RunHyperModel(keras_tuner.HyperModel):
    """The model that a search tunes: a run of the experiment with some settings left open.

    keras-tuner builds models and then fits them. Here `build` returns the values of the open settings, and `fit` does
    the whole run: builds its objects, trains for a number of seconds, measures the energy and writes the run folder.

    Args:
        search: the whole search.
        folder: of the search, which contains the run folders of its trials.
    """

    def __init__(self, search: Search, folder: Path):
        super().__init__(name="run")
        self.search = search
        self.folder = folder

    def build(self, hp: keras_tuner.HyperParameters) -> dict[str, Any]:
        """Declares the searched settings.

        Args:
            hp: receives the declarations, or has the values of a trial.

        Returns:
            Searched setting -> value.
        """
        declare(hp, self.search.space)
        return values_of(hp, self.search.space)

    def fit(
        self,
        hp: keras_tuner.HyperParameters,
        model: dict[str, Any],
        trial_id: str,
        seconds: float,
        begun: str | None = None,
        keeps_state: bool = False,
    ) -> dict[str, float]:
        """Runs a trial in a process of its own, which gives back all its memory.

        Args:
            hp: of the trial.
            model: what `build` returned.
            trial_id: names the run folder.
            seconds: of training.
            begun: name of the trial whose training is continued; None for a new one.
            keeps_state: whether another trial may continue this one.

        Returns:
            The objective, energy + error_weight * energy_error in hbar*omega.

        Raises:
            FailedTrialError: the settings contradict each other or need too much memory, the run failed, or there is no
                finite energy or no error of it.
        """
        del hp
        folder = trial_folder(self.folder, trial_id)
        shutil.rmtree(folder, ignore_errors=True)  # left by the same trial, if the search was interrupted in it
        continued = trial_folder(self.folder, begun) / STATE_FILE if begun else None
        kept = folder / STATE_FILE if keeps_state else None
        try:
            settings = trial_settings(self.search, model, folder, seconds)
            check_training(settings)
            result = run_in_subprocess(settings, continued, kept)
        except SettingsError as error:
            raise keras_tuner.errors.FailedTrialError(str(error)) from error
        if result.stop_reason == "failed":
            raise keras_tuner.errors.FailedTrialError(result.stop_explanation or "training failed")
        if result.energy is None:
            raise keras_tuner.errors.FailedTrialError("no finite energy was left")
        if result.energy_error is None:
            raise keras_tuner.errors.FailedTrialError("the error of the energy is unknown: the walkers have not mixed")
        return {OBJECTIVE: result.energy + self.search.search.error_weight * result.energy_error}


def trial_folder(folder: Path, trial_id: str) -> Path:
    """Returns the run folder of a trial of the search in `folder`."""
    return folder / TRIALS_FOLDER / trial_id


def trial_settings(search: Search, values: dict[str, Any], folder: Path, seconds: float) -> Settings:
    """Returns all settings of a trial.

    Args:
        search: the whole search.
        values: searched setting -> value.
        folder: of the run.
        seconds: of training.

    Raises:
        SettingsError: the values contradict each other or the fixed settings.
    """
    own = {
        "run_dir": str(folder),
        "quiet": True,
        "max_seconds": seconds,
        "iterations": min(math.ceil(seconds * _MOST_ITERATIONS_PER_SECOND), LARGEST_COUNT),
        "reference": "none",  # the search computes the reference once
        "reference_max_seconds": 0.0,
    }
    return settings_from(None, {**search.fixed, **_with_meaning(search, values), **own})


def best_settings(search: Search, values: dict[str, Any], n_iterations: int) -> Settings:
    """Returns the settings of a run that repeats a trial, with as many iterations, in a run folder of its own.

    Args:
        search: the whole search.
        values: searched setting -> value.
        n_iterations: of the trial.
    """
    fixed = {setting: value for setting, value in search.fixed.items() if setting not in ("run_dir", "quiet")}
    return settings_from(None, {**fixed, **_with_meaning(search, values), "iterations": n_iterations})


def _with_meaning(search: Search, values: dict[str, Any]) -> dict[str, Any]:
    """Returns the searched values without the sizes that only another wave function than the trial's has."""
    kind = values.get("ansatz", search.settings.ansatz.ansatz)
    return {setting: value for setting, value in values.items() if not without_meaning(kind, setting)}


def read_result(folder: Path, trial_id: str) -> dict[str, Any]:
    """Returns what the `result.json` of a trial holds; nothing if the trial is unfinished or a search cannot use it."""
    try:
        result = run_result.read_result(RunFolder(trial_folder(folder, trial_id)).result)
    except (OSError, ValueError):
        return {}
    if result.get("stop_reason") in UNFINISHED:
        return {}
    is_whole = all(result.get(name) is not None for name in ("energy", "energy_error", "n_iterations"))
    return result if is_whole and 1 <= result["n_iterations"] <= LARGEST_COUNT else {}
