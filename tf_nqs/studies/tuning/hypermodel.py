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
from tf_nqs.experiment.isolated import run_apart
from tf_nqs.experiment.memory import check_training
from tf_nqs.storage import result as run_result
from tf_nqs.storage.run_folder import RESULT_FILE
from tf_nqs.studies.tuning.space import declare, values_of

OBJECTIVE = "objective"
TRIALS_FOLDER, STATE_FILE = "trials", "trainer.weights.h5"

_MOST_ITERATIONS_PER_SECOND = 5_000
"""Above what any run reaches, so that the seconds alone end a trial."""


class RunHyperModel(keras_tuner.HyperModel):
    """What a search tunes: a run of the experiment with some of its settings left open.

    keras-tuner's models are built and then fitted. Here `build` gives the values of the open settings, and `fit` does
    the whole run: the objects, the training for a number of seconds, the measurement of the energy and the run folder.

    Args:
        search: the whole search.
        folder: of the search; trials are run folders below it.
    """

    def __init__(self, search: Search, folder: Path):
        super().__init__(name="run")
        self.search = search
        self.folder = folder

    def build(self, hp: keras_tuner.HyperParameters) -> dict[str, Any]:
        """Declares the searched settings.

        Args:
            hp: where they are declared, or the values of a trial.

        Returns:
            Leaf name -> value of the trial.
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
        """Runs a trial in a process of its own, which takes its memory with it.

        Args:
            hp: of the trial.
            model: what `build` returned.
            trial_id: names the run folder.
            seconds: of training.
            begun: the trial whose training is continued; None for a new one.
            keeps_state: whether another trial may continue this one.

        Returns:
            The objective, energy + error_weight * energy_error in hbar*omega.

        Raises:
            FailedTrialError: the settings contradict each other or need too much memory, the run failed, or no finite
                energy was left, or no error of it can be known.
        """
        del hp
        folder = trial_folder(self.folder, trial_id)
        shutil.rmtree(folder, ignore_errors=True)  # of the same trial, if the search was interrupted in it
        continued = trial_folder(self.folder, begun) / STATE_FILE if begun else None
        kept = folder / STATE_FILE if keeps_state else None
        try:
            settings = trial_settings(self.search, model, folder, seconds)
            check_training(settings)
        except SettingsError as error:
            raise keras_tuner.errors.FailedTrialError(str(error)) from error
        outcome = run_apart(settings, continued, kept)
        if outcome.problem is not None:
            raise keras_tuner.errors.FailedTrialError(outcome.problem)
        if outcome.failure is not None:
            raise keras_tuner.errors.FailedTrialError(outcome.failure)
        if outcome.energy is None:
            raise keras_tuner.errors.FailedTrialError("no finite energy was left")
        if outcome.energy_error is None:
            raise keras_tuner.errors.FailedTrialError("the error of the energy is unknown: the walkers have not mixed")
        return {OBJECTIVE: outcome.energy + self.search.search.error_weight * outcome.energy_error}


def trial_folder(folder: Path, trial_id: str) -> Path:
    """Returns the run folder of a trial of the search in `folder`."""
    return folder / TRIALS_FOLDER / trial_id


def trial_settings(search: Search, values: dict[str, Any], folder: Path, seconds: float) -> Settings:
    """Returns all settings of a trial.

    Args:
        search: the whole search.
        values: leaf name -> value of the searched settings.
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
        "reference_max_seconds": 0.0,  # the search computes the reference once
    }
    return settings_from(None, {**search.fixed, **values, **own})


def best_settings(search: Search, values: dict[str, Any], n_iterations: int) -> Settings:
    """Returns the settings of a run that repeats a trial, as long as it was, in a run folder of its own.

    Args:
        search: the whole search.
        values: leaf name -> value of the searched settings.
        n_iterations: of the trial.
    """
    fixed = {leaf: value for leaf, value in search.fixed.items() if leaf not in ("run_dir", "quiet")}
    return settings_from(None, {**fixed, **values, "iterations": n_iterations})


def read_result(folder: Path, trial_id: str) -> dict[str, Any]:
    """Returns what the `result.json` of a trial holds; nothing where a search could not use it, or training failed."""
    try:
        result = run_result.read_result(trial_folder(folder, trial_id) / RESULT_FILE)
    except (OSError, ValueError):
        return {}
    if result.get("stop_reason") == "failed":
        return {}
    is_whole = all(result.get(name) is not None for name in ("energy", "energy_error", "n_iterations"))
    return result if is_whole and 1 <= result["n_iterations"] <= LARGEST_COUNT else {}
