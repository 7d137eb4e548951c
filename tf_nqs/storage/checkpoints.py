"""Checkpoints: the whole state of a training in files that are always whole, and data alone.

TensorFlow's `CheckpointManager` writes them: under another name first, then in place, then the oldest is deleted.
"""

from __future__ import annotations

import base64
import json
import logging
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from tf_nqs.config import RunFolderError
from tf_nqs.config.errors import brief, shown
from tf_nqs.storage.files import FAILURES, error_number
from tf_nqs.storage.plain_path import plain_path

logger = logging.getLogger(__name__)

_NAME, _STATE_FILE = "ckpt", "checkpoint"
_FACTS_KEY = "facts/.ATTRIBUTES/py_state"
"""Where TensorFlow keeps the `PythonState` of that name."""


State = Mapping[str, Mapping[str, keras.Variable]]
"""Group -> name -> variable: what the files hold."""


class Checkpoint(NamedTuple):
    """A checkpoint that can be read.

    Attributes:
        path: what its files have in common.
        facts: what was saved beside the variables.
    """

    path: Path
    facts: dict[str, Any]


class _Facts(tf.train.experimental.PythonState):
    """Facts as JSON in a checkpoint, with arrays in base64: nothing that could be executed when it is read."""

    def __init__(self, facts: dict[str, Any] | None = None):
        self.facts = facts or {}

    def serialize(self) -> bytes:
        return json.dumps(self.facts, default=_written_array).encode()

    def deserialize(self, string_value: bytes) -> None:
        self.facts = _read_facts(string_value)


def save_checkpoint(folder: Path, state: State, facts: dict[str, Any], n_kept: int) -> None:
    """Writes a checkpoint, then deletes the oldest ones.

    Args:
        folder: of the checkpoints; need not exist.
        state: the variables, see `tf_nqs.training.state.TrainingState.saved`.
        facts: what JSON can hold, and NumPy arrays.
        n_kept: how many of the last checkpoints stay.

    Raises:
        RunFolderError: it cannot be written; those before are as they were.
    """
    numbers = [_number(path) for path in _all_checkpoints(folder)]
    try:
        if _last_name(folder) is None:
            (folder / _STATE_FILE).unlink(missing_ok=True)  # damaged: the manager would not begin with it
        # A new manager each time: after layers were released, the variables are others. It reads what there is.
        folder.mkdir(parents=True, exist_ok=True)
        with plain_path(folder) as place:
            manager = tf.train.CheckpointManager(_saved(state, facts), place, n_kept, checkpoint_name=_NAME)
            manager.save(checkpoint_number=max(numbers, default=0) + 1)
    except (OSError, tf.errors.OpError) as error:
        _delete_unfinished(folder)
        before = "those before are whole, --resume continues from the last one"
        raise RunFolderError(
            f"run_dir = {shown(str(folder.parent))}: no checkpoint can be written ({_reason(error)}); "
            + (before if numbers else "there is none before; start a new run in another folder")
        ) from error


def newest_checkpoint(folder: Path) -> Checkpoint | None:
    """Returns the newest checkpoint that can be read in full, None if there is none at all.

    Args:
        folder: of the checkpoints.

    Raises:
        RunFolderError: there are some, but all of them are damaged.
    """
    paths = sorted(_all_checkpoints(folder), key=_number, reverse=True)
    problems = []
    last = _last_name(folder)
    if paths and last is not None and last not in {path.name for path in paths}:
        problems.append(f"{last} is missing")
    for path in paths:
        try:
            facts = _read(path)
        except (OSError, tf.errors.OpError, LookupError, RuntimeError, ValueError) as error:
            problems.append(f"{path.name} is damaged ({_reason(error)})")
            continue
        for problem in problems:
            logger.info(f"checkpoint {problem}; continuing from {path.name}, the one before")
        return Checkpoint(path, facts)
    if problems:
        raise RunFolderError(
            f"run_dir = {shown(str(folder.parent))}: no checkpoint can be read: {'; '.join(problems)}; "
            "start a new run in another folder"
        )
    return None


def restore_checkpoint(checkpoint: Checkpoint, state: State, tidy: bool = True) -> None:
    """Gives a trainer the state of a checkpoint, and deletes the damaged ones after it.

    Args:
        checkpoint: as `newest_checkpoint` returned it.
        state: variables of the same names and shapes.
        tidy: whether to delete; of several processes that read it, one does.

    Raises:
        RunFolderError: it has others.
    """
    folder = checkpoint.path.parent
    try:
        with plain_path(folder) as place:
            restored = _saved(state, {}).restore(str(place / checkpoint.path.name))
            restored.assert_existing_objects_matched()
    except (AssertionError, LookupError, ValueError, tf.errors.OpError) as error:
        raise RunFolderError(
            f"run_dir = {shown(str(folder.parent))}: {checkpoint.path.name} does not fit, it may be of another version "
            f"of tf_nqs ({_reason(error)}); start a new run in another folder"
        ) from error
    if not tidy:
        return
    _delete_unfinished(folder)
    for path in _all_checkpoints(folder):
        if _number(path) > _number(checkpoint.path):
            for file in folder.glob(f"{path.name}.*"):
                file.unlink()


def _saved(state: State, facts: dict[str, Any]) -> tf.train.Checkpoint:
    """Groups of variables by name, and the facts.

    Not simply the model: TensorFlow follows attributes, but not Keras' lists of layers, and would lose the weights of
    the equivariant ones without a word.
    """
    return tf.train.Checkpoint(**state, facts=_Facts(facts))


def _all_checkpoints(folder: Path) -> list[Path]:
    return [path.with_suffix("") for path in folder.glob(f"{_NAME}-*.index") if _number(path.with_suffix(""))]


def _number(path: Path) -> int:
    found = re.fullmatch(rf"{_NAME}-(\d+)", path.name)
    return int(found[1]) if found else 0


def _last_name(folder: Path) -> str | None:
    """Returns the name of the checkpoint that was written last, as TensorFlow has noted; None if it has not."""
    try:
        with plain_path(folder) as place:
            state = tf.train.get_checkpoint_state(str(place))
    except (OSError, tf.errors.OpError, ValueError):  # damaged; the checkpoints themselves need not be
        return None
    return Path(state.model_checkpoint_path).name if state else None


def _read(path: Path) -> dict[str, Any]:
    """Returns the facts of a checkpoint, after reading all of it: TensorFlow compares every tensor's checksum."""
    with plain_path(path.parent) as place:
        reader = tf.train.load_checkpoint(str(place / path.name))
        for name in reader.get_variable_to_shape_map():
            reader.get_tensor(name)
        return _read_facts(reader.get_tensor(_FACTS_KEY))


def _read_facts(text: bytes) -> dict[str, Any]:
    return json.loads(text, object_hook=_read_array)


def _written_array(value: object) -> dict[str, Any]:
    if isinstance(value, np.generic):
        return value.item()
    array = np.asarray(value)
    return {"dtype": array.dtype.str, "shape": array.shape, "base64": base64.b64encode(array.tobytes()).decode()}


def _read_array(entries: dict[str, Any]) -> Any:
    if entries.keys() != {"dtype", "shape", "base64"}:
        return entries
    content = base64.b64decode(entries["base64"])
    return np.frombuffer(content, np.dtype(entries["dtype"])).reshape(entries["shape"]).copy()


def _delete_unfinished(folder: Path) -> None:
    """Deletes what a process that was killed while writing has left."""
    for path in folder.glob(f"{_NAME}-*temp*"):
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


def _reason(error: Exception) -> str:
    """Returns the cause of an error in one short line."""
    number = error_number(error)
    if number in FAILURES:
        return os.strerror(number)  # TensorFlow puts paths before it, which may be long
    text = getattr(error, "strerror", None) or getattr(error, "message", None) or str(error)
    return brief(text) or type(error).__name__
