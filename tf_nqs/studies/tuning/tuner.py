"""keras-tuner's oracles and its loop over trials, counting in seconds."""

from __future__ import annotations

import contextlib
import io
import logging
import math
import time
import warnings
from pathlib import Path
from typing import Any

import keras_tuner
from keras_tuner.engine import base_tuner, trial

from tf_nqs.analysis import format_with_error
from tf_nqs.config.search import Search, SearchSettings
from tf_nqs.storage.plain_path import plain_path
from tf_nqs.studies.tuning.hypermodel import OBJECTIVE, RunHyperModel, read_result, trial_folder

logger = logging.getLogger(__name__)

TUNER_FOLDER, FAILURE_FILE = "tuner", "failure.txt"

NO_RESULT = "its result.json cannot be used"

_NEVER = 10**9
"""Number of consecutive failed trials that would end a search."""


class _InTime(keras_tuner.Oracle):
    """An oracle that starts no trial after its deadline."""

    deadline = math.inf

    @keras_tuner.synchronized
    def create_trial(self, tuner_id: str) -> Any:
        """Returns the next trial, or one that marks the end of the search."""
        if self.trials and time.monotonic() >= self.deadline:
            self.max_trials = len(self.trials)
        return super().create_trial(tuner_id)


class RandomOracle(_InTime, keras_tuner.oracles.RandomSearchOracle):
    """Draws every trial at random."""


class BayesianOracle(_InTime, keras_tuner.oracles.BayesianOptimizationOracle):
    """Draws some trials at random, then chooses by a Gaussian process."""


class HyperbandOracle(_InTime, keras_tuner.oracles.HyperbandOracle):
    """Continues the best of many short trials; an epoch is one `hyperband_unit`, in seconds."""


def hyperband_unit(search: SearchSettings) -> float:
    """Returns Hyperband's unit, the training of its shortest trials, in seconds."""
    return search.seconds_per_trial / _hyperband_units(search)


def _hyperband_units(search: SearchSettings) -> int:
    shortest = search.min_seconds_per_trial or search.seconds_per_trial / 9
    return math.floor(search.seconds_per_trial / shortest + 1e-9)  # 60/(60/9) may be below 9 by rounding


def make_oracle(search: Search) -> keras_tuner.Oracle:
    """Returns the oracle, which chooses the trials.

    Args:
        search: the whole search; its deadline starts now.
    """
    settings = search.search
    common = {
        "objective": keras_tuner.Objective(OBJECTIVE, "min"),
        "seed": search.settings.run.seed + 1,  # 0 means no seed to keras-tuner
        "max_consecutive_failed_trials": _NEVER,
    }
    if settings.tuner == "hyperband":
        oracle = HyperbandOracle(
            max_epochs=_hyperband_units(settings),
            factor=settings.hyperband_factor,
            hyperband_iterations=None,  # repeats until max_trials
            **common,
        )
        oracle.max_trials = settings.max_trials
    elif settings.tuner == "bayesian":
        n_random = settings.random_trials or max(math.ceil(settings.max_trials / 3), 2)
        oracle = BayesianOracle(max_trials=settings.max_trials, num_initial_points=n_random, **common)
    else:
        oracle = RandomOracle(max_trials=settings.max_trials, **common)
    oracle.verbose = 0
    if settings.search_seconds is not None:
        oracle.deadline = time.monotonic() + settings.search_seconds
    return oracle


class SearchTuner(base_tuner.BaseTuner):
    """Runs the trials that an oracle chooses.

    Args:
        search: the whole search.
        folder: of the search; its subfolder `tuner` has the state of keras-tuner.
        tuner_id: name of this process among the workers.
    """

    def __init__(self, search: Search, folder: Path, tuner_id: str):
        self.search_settings = search.search
        self.folder = folder
        project = folder / TUNER_FOLDER
        self._open = contextlib.ExitStack()  # as long as the tuner
        place = self._open.enter_context(plain_path(folder))  # keras-tuner finds its trials by a glob pattern
        if (project / "oracle.json").is_file():
            # keras-tuner resumes a search only if a tuner of the same name has left this file.
            (project / f"{tuner_id}.json").write_text("{}", encoding="utf-8")
        with contextlib.redirect_stdout(io.StringIO()):  # keras-tuner prints that it reloads
            super().__init__(
                make_oracle(search), RunHyperModel(search, folder), directory=str(place), project_name=TUNER_FOLDER
            )

    def search(self) -> None:
        """Runs trials until none is left."""
        with warnings.catch_warnings():
            # From a Gaussian process fitted to few trials, and from the NaN that marks a failed trial.
            expected = "close to the specified|lbfgs failed to converge|All-NaN axis encountered"
            warnings.filterwarnings("ignore", f"(?s).*({expected})")
            super().search()

    def run_trial(self, trial: trial.Trial) -> dict[str, float]:
        """Runs one trial; keras-tuner calls it."""
        hyperparameters = trial.hyperparameters
        values = self.hypermodel.build(hyperparameters)
        past = hyperparameters.values
        shown = ", ".join(f"{setting} = {value}" for setting, value in values.items())
        start, end = trial_seconds(past, self.search_settings)
        continued = f" (continues trial {past['tuner/trial_id']})" if start else ""
        logger.info(f"trial {trial.trial_id}{continued}: {shown}; training for {end - start:g} s ...")
        try:
            return self.hypermodel.fit(
                hyperparameters,
                values,
                trial.trial_id,
                end - start,
                begun=past["tuner/trial_id"] if start else None,
                keeps_state=self.search_settings.tuner == "hyperband",
            )
        except keras_tuner.errors.FailedTrialError as error:
            self._keep_reason(trial, str(error))
            return {OBJECTIVE: math.nan}  # fails the trial as well, without a traceback

    def _keep_reason(self, failed: trial.Trial, reason: str) -> None:
        """Writes the reason of a failed trial: keras-tuner sends no messages from its workers to its chief."""
        folder = trial_folder(self.folder, failed.trial_id)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / FAILURE_FILE).write_text(f"{reason}\n", encoding="utf-8")

    def on_trial_end(self, trial: trial.Trial) -> None:
        """Logs how the trial ended; keras-tuner calls it."""
        super().on_trial_end(trial)
        if trial.message:  # the traceback of an unexpected error
            self._keep_reason(trial, trial.message.strip().splitlines()[-1])
        reason = failure_reason(self.folder, trial.trial_id)
        result = read_result(self.folder, trial.trial_id)
        if reason is None and result:
            energy = format_with_error(result["energy"], result["energy_error"])
            logger.info(f"trial {trial.trial_id}: energy {energy} after {result['n_iterations']} iterations")
        else:
            logger.info(f"trial {trial.trial_id} failed: {reason or NO_RESULT}")


def trial_seconds(values: dict, search: SearchSettings) -> tuple[float, float]:
    """Returns the first and the last second of the training that a trial does.

    Args:
        values: of keras-tuner's hyperparameters, which include Hyperband's rounds.
        search: how trials are chosen.
    """
    if "tuner/epochs" not in values:
        return 0.0, search.seconds_per_trial
    unit = hyperband_unit(search)
    return values["tuner/initial_epoch"] * unit, values["tuner/epochs"] * unit


def failure_reason(folder: Path, trial_id: str) -> str | None:
    """Returns the reason of a failed trial in one line, None for any other.

    Args:
        folder: of the search.
        trial_id: of the trial.
    """
    path = trial_folder(folder, trial_id) / FAILURE_FILE
    return path.read_text(encoding="utf-8", errors="replace").strip() if path.is_file() else None
