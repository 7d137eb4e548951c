"""A whole search: its trials, in this process or several, and the table, plot and best settings that it writes."""

from __future__ import annotations

import logging
from pathlib import Path

from tf_nqs.analysis import format_with_error
from tf_nqs.config import RunFolderError
from tf_nqs.config.errors import brief, shown
from tf_nqs.config.search import Search
from tf_nqs.exact import NO_REFERENCE, Reference
from tf_nqs.experiment.build import find_reference
from tf_nqs.storage.files import FAILURES, error_number
from tf_nqs.studies.tuning.plots import plot_search
from tf_nqs.studies.tuning.summary import (
    TABLE_FILE,
    TrialRecord,
    best_record,
    trial_records,
    trials_table,
    write_best,
    write_csv,
)
from tf_nqs.studies.tuning.tuner import SearchTuner

logger = logging.getLogger(__name__)

PLOT_FILE = "trials.png"


def run_search(search: Search, folder: Path, tuner_id: str) -> TrialRecord | None:
    """Runs the remaining trials of a search, or, as the chief of several processes, hands them out.

    Table, plot and `best.toml` are written however the search ends.

    Args:
        search: the whole search.
        folder: of the search, see `tf_nqs.studies.search_folder`.
        tuner_id: name of this process.

    Returns:
        The best trial, None if none has a finite energy.

    Raises:
        RunFolderError: the folder holds a search that cannot be continued.
    """
    tuner = _take_up(search, folder, tuner_id)
    oracle = tuner.oracle
    begun = len(oracle.trials)
    if begun:
        logger.info(f"resuming a search of {begun} trials")
    try:
        tuner.search()
    finally:
        records = trial_records(search, folder, oracle)
        best = _write(search, records, folder) if records else None
    return best


def run_worker(search: Search, folder: Path, tuner_id: str) -> None:
    """Runs the trials that the chief process of a search hands out, until none is left.

    Args:
        search: the whole search.
        folder: of the search, the same as the chief's.
        tuner_id: name of this process.

    Raises:
        RunFolderError: the folder holds a search that cannot be continued.
    """
    _take_up(search, folder, tuner_id).search()
    logger.info("no trials are left; the chief has the table")


def _take_up(search: Search, folder: Path, tuner_id: str) -> SearchTuner:
    """Returns the tuner of a search, new or in the state that keras-tuner saved."""
    try:
        tuner = SearchTuner(search, folder, tuner_id)
        if hasattr(tuner.oracle, "trials"):  # the oracle of a worker has none: its chief does
            for trial in tuner.oracle.start_order:
                if trial not in tuner.oracle.trials:
                    raise LookupError(f"trial {trial} is not there")
        return tuner
    except (AttributeError, LookupError, OSError, RuntimeError, TypeError, ValueError) as error:
        if error_number(error) in FAILURES and isinstance(error, OSError):
            raise  # an error of the disk, not of the content
        reason = brief(f"{type(error).__name__}: {error}")
        raise RunFolderError(
            f"run_dir = {shown(str(folder))}: the state of keras-tuner in it cannot be read ({reason}); "
            "must be a new folder"
        ) from error


def reference_of_search(search: Search) -> Reference:
    """Returns the exact energy that all trials are compared with, with energy None where none is wanted or known."""
    if search.settings.evaluation.reference == "none":
        return NO_REFERENCE
    return find_reference(search.settings)


def _write(search: Search, records: list[TrialRecord], folder: Path) -> TrialRecord | None:
    reference = reference_of_search(search)
    write_csv(records, folder / TABLE_FILE)
    how = f"{search.search.tuner} search, {search.search.seconds_per_trial:g} s of training per trial"
    title = f"{search.settings.system.title()}: {how}"
    plot_search(search, records, reference, folder / PLOT_FILE, title)
    logger.info(trials_table(records, reference))
    best = best_record(records)
    if best is None:
        return None
    path = write_best(search, best, folder)
    energy = format_with_error(best.energy, best.energy_error)
    logger.info(f"best: trial {best.trial}, energy {energy} after {best.seconds:g} s; train.py --config={path}")
    return best
