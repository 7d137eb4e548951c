"""conditions.csv: a row per system for every 100 iterations, however training is cut into calls, and after a resume."""

from __future__ import annotations

import csv
import json
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.util import event_pb2

from tf_nqs.analysis.conditions import CONDITION_COLUMNS
from tf_nqs.callbacks import ConditionsLog
from tf_nqs.experiment.resume import keep_rows

N_SYSTEMS = 3


def column(name, iterations):
    rng = np.random.default_rng(len(name))
    full = rng.normal(size=(400, N_SYSTEMS))[iterations - 1]
    return {"n_particles": 2 + 0 * full, "interaction_range": 0.5 + 0 * full}.get(name, full)


def run(callback, first, last, call):
    """Iterations `first` to `last` in calls of some iterations."""
    callback.on_train_begin()
    for start in range(first, last + 1, call):
        iterations = np.arange(start, min(start + call, last + 1))
        systems = {name: column(name, iterations) for name in CONDITION_COLUMNS[1:]}
        callback.set_model(SimpleNamespace(recent_conditions=lambda systems=systems: systems))
        callback.on_iterations({"iteration": iterations})


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    callback = ConditionsLog(folder)
    run(callback, 1, 350, 7)
    callback.on_train_end()
    return (folder / "conditions.csv").read_bytes(), callback.members


def test_rows_of_every_hundred_iterations(whole):
    header, *rows = csv.reader(whole[0].decode().splitlines())
    assert tuple(header) == CONDITION_COLUMNS
    assert [int(row[0]) for row in rows] == [100] * N_SYSTEMS + [200] * N_SYSTEMS + [300] * N_SYSTEMS
    assert [float(row[4]) for row in rows[-N_SYSTEMS:]] == [member["energy"] for member in whole[1]]
    assert rows[0][1] == "2" and all(len(row) == len(CONDITION_COLUMNS) for row in rows)


def test_a_resumed_training_writes_the_same(whole, tmp_path):
    first = ConditionsLog(tmp_path)
    run(first, 1, 150, 50)
    state = first.get_state()
    json.dumps({**state, "pending": {name: values.tolist() for name, values in state["pending"].items()}})
    run_on = [*range(151, 331, 60)]  # killed in the middle of the fourth hundred
    for start in run_on:
        iterations = np.arange(start, start + 60)
        systems = {name: column(name, iterations) for name in CONDITION_COLUMNS[1:]}
        first.set_model(SimpleNamespace(recent_conditions=lambda systems=systems: systems))
        first.on_iterations({"iteration": iterations})
    first.close()
    assert (tmp_path / "conditions.csv").read_bytes() == whole[0]
    keep_rows(tmp_path / "conditions.csv", 150)
    again = ConditionsLog(tmp_path)
    again.resume(state)
    run(again, 151, 350, 20)
    again.close()
    assert (tmp_path / "conditions.csv").read_bytes() == whole[0]
    assert again.members == whole[1]


def test_a_short_training_has_members_too(tmp_path):
    callback = ConditionsLog(tmp_path)
    run(callback, 1, 12, 12)
    callback.close()
    assert len(callback.members) == N_SYSTEMS and callback.members[0]["n_particles"] == 2
    assert (tmp_path / "conditions.csv").read_text(encoding="utf-8").splitlines() == [",".join(CONDITION_COLUMNS)]
    untrained = ConditionsLog(tmp_path)
    untrained.begin(None)
    assert untrained.members == []
    untrained.close()


def test_every_system_is_a_curve(tmp_path):
    callback = ConditionsLog(tmp_path)
    run(callback, 1, 200, 100)
    callback.close()
    found = {}
    for path in (tmp_path / "tensorboard/conditions").glob("events*"):
        for record in tf.data.TFRecordDataset(str(path)):
            event = event_pb2.Event.FromString(record.numpy())
            found |= {(event.step, one.tag): tf.make_ndarray(one.tensor).item() for one in event.summary.value}
    assert set(found) == {(step, f"conditions/A2_0{place}") for step in (100, 200) for place in (1, 2, 3)}
    assert found[200, "conditions/A2_03"] == np.float32(callback.members[2]["energy"])  # as events are
