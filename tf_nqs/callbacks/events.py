"""What TensorBoard shows of a training: `tensorboard --logdir runs`.

TensorBoard draws curves of one name in one chart, a colour for each folder of events. The reference and the final
measurement therefore have folders of their own, and the name of the energy: the one is a line in its chart, the other
a point at the end.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tf_nqs.storage.files import error_number
from tf_nqs.storage.run_folder import RunFolder
from tf_nqs.trainer import Trainer

REFERENCE_FOLDER, MEASURED_FOLDER, CONDITIONS_FOLDER = "reference", "measured", "conditions"

ENERGY = "energy/energy"

_GROUPS = {
    "energy": ("energy", "energy_error", "variance", "kinetic", "trap", "interaction", "n_non_finite"),
    "time": ("seconds",),
}
"""Group -> columns; all others are about the sampling."""


def tag(column: str) -> str:
    """Returns TensorBoard's name for a column of `metrics.csv`: its group, a slash, and the column."""
    group = next((group for group, columns in _GROUPS.items() if column in columns), "sampling")
    return f"{group}/{column}"


class Events:
    """Writes the events of a training into its run folder.

    Args:
        folder: of the run.
        reference_energy: in hbar*omega, None where it is not known.
        settings: all settings as TOML, None to leave them out.
        iteration: at which the training starts.

    Raises:
        OSError: a file cannot be written; also of `write` and `close`.
    """

    def __init__(self, folder: Path, reference_energy: float | None, settings: str | None, iteration: int = 0):
        self._reference_energy = reference_energy
        place = RunFolder(folder).events
        with _telling_what_failed():
            self._writer = tf.summary.create_file_writer(str(place))
            self._reference = None
            if reference_energy is not None:
                self._reference = tf.summary.create_file_writer(str(place / REFERENCE_FOLDER))
            if settings is not None:
                with self._writer.as_default():
                    tf.summary.text("settings", _as_code(settings), step=iteration)

    def write(self, columns: Mapping[str, float], model: Trainer) -> None:
        """Writes a point of every curve.

        Args:
            columns: of the last iteration, as in `metrics.csv`.
            model: the trainer.
        """
        step = int(columns["iteration"])
        values = {tag(name): value for name, value in columns.items() if name != "iteration"}
        with _telling_what_failed():
            with self._writer.as_default(step):
                for name, value in (values | optimiser_values(model)).items():
                    tf.summary.scalar(name, value)
            if self._reference:
                with self._reference.as_default(step):
                    tf.summary.scalar(ENERGY, self._reference_energy)

    def close(self) -> None:
        """Closes the files."""
        with _telling_what_failed():
            self._writer.close()
            if self._reference:
                self._reference.close()


class ConditionEvents:
    """Writes the energies of a family's systems, a curve for each.

    Args:
        folder: of the run.

    Raises:
        OSError: a file cannot be written; also of `write` and `close`.
    """

    def __init__(self, folder: Path):
        with _telling_what_failed():
            self._writer = tf.summary.create_file_writer(str(RunFolder(folder).events / CONDITIONS_FOLDER))

    def write(self, iteration: int, rows: Sequence[Mapping[str, Any]]) -> None:
        """Writes a point of every curve, named by the number of particles and the system's place among theirs.

        Args:
            iteration: the last one of those that make the rows.
            rows: of the systems, ascending, see `tf_nqs.analysis.conditions.smoothed_conditions`.
        """
        counts: dict[int, int] = {}
        with _telling_what_failed(), self._writer.as_default(iteration):
            for row in rows:
                n_particles = row["n_particles"]
                counts[n_particles] = place = counts.get(n_particles, 0) + 1
                if row["energy"] is not None:
                    tf.summary.scalar(f"conditions/A{n_particles}_{place:02d}", row["energy"])

    def close(self) -> None:
        """Closes the file."""
        with _telling_what_failed():
            self._writer.close()


def optimiser_values(model: Trainer) -> dict[str, float]:
    """Returns TensorBoard's name -> value of the learning rate and of what else makes steps longer or shorter.

    Args:
        model: the trainer.
    """
    values = {}
    if (optimizer := getattr(model, "optimizer", None)) is not None:
        values["optimiser/learning_rate"] = float(np.asarray(optimizer.learning_rate))
        values["optimiser/step_factor"] = float(model.step_factor.numpy())
    if (natural := getattr(model, "natural_gradient", None)) is not None:
        damping = natural.damping(natural.iteration) if callable(natural.damping) else natural.damping
        values["optimiser/damping"] = float(natural.damping_factor.numpy()) * float(damping)
    return values


def write_measured(folder: Path, iteration: int, energy: float | None, energy_error: float | None) -> None:
    """Writes the final energy and its error as points at the iteration that they were measured at.

    Args:
        folder: of the run.
        iteration: how many iterations the training has done.
        energy: in hbar*omega, None where there is none.
        energy_error: in hbar*omega, None where it is not known.

    Raises:
        OSError: it cannot be written.
    """
    if energy is None:
        return
    with _telling_what_failed():
        writer = tf.summary.create_file_writer(str(RunFolder(folder).events / MEASURED_FOLDER))
        with writer.as_default(iteration):
            tf.summary.scalar(ENERGY, energy)
            if energy_error is not None:
                tf.summary.scalar(tag("energy_error"), energy_error)
        writer.close()


def forget_events(folder: Path, last_iteration: int) -> None:
    """Lets TensorBoard forget what a training has written after an iteration, which it is resumed from.

    Files of events are never changed. One more file, which TensorBoard reads behind those that there are, says from
    which step on they do not count.

    Args:
        folder: of the run.
        last_iteration: the last one that stays.

    Raises:
        OSError: a file cannot be written.
    """
    now, log = time.time(), tf.compat.v1.SessionLog(status=tf.compat.v1.SessionLog.START)
    start = tf.compat.v1.Event(wall_time=now, step=last_iteration + 1, session_log=log)
    # TensorBoard takes the first start for the beginning of the training, and forgets at later ones.
    events = tf.compat.v1.Event(wall_time=now, file_version="brain.Event:2"), start, start
    place = RunFolder(folder).events
    for name in ("", REFERENCE_FOLDER, CONDITIONS_FOLDER, MEASURED_FOLDER):
        files = sorted((place / name).glob("events.out.tfevents.*"))
        if not files:
            continue
        with _telling_what_failed(), tf.io.TFRecordWriter(f"{files[-1]}.resumed") as writer:
            for event in events:
                writer.write(event.SerializeToString())


def _as_code(text: str) -> str:
    """Returns a text so that TensorBoard, which takes it for Markdown, shows it as it is."""
    return "".join(f"    {line}\n" for line in text.splitlines())


@contextlib.contextmanager
def _telling_what_failed() -> Iterator[None]:
    """Turns TensorFlow's error about a file that cannot be written into Python's."""
    try:
        yield
    except tf.errors.OpError as error:
        number = error_number(error) or errno.EIO
        raise OSError(number, os.strerror(number)) from error
