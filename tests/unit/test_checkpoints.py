"""Checkpoints: what is saved comes back, damaged ones are passed over, failures leave the last one whole."""

from __future__ import annotations

import json
import math
import pickle
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_nqs.config import RunFolderError
from tf_nqs.storage import checkpoints
from tf_nqs.storage.checkpoints import newest_checkpoint, restore_checkpoint, save_checkpoint
from tf_nqs.training.state import state_of

FACTS = {
    "iteration": 7,
    "bound": math.inf,
    "nothing": None,
    "callbacks": {"One": {"pending": np.arange(6.0).reshape(3, 2), "weights": [np.float32([0.1]), np.empty((3, 0))]}},
}


def make_model(value, size=3):
    """A stand-in for a trainer: a layer, a record that is not saved, and an optimiser."""
    layer = keras.layers.Dense(size)
    layer.build((None, 2))
    record = keras.Variable(np.zeros(2, "float32"), name="record")
    optimizer = keras.optimizers.Adam()
    optimizer.build(layer.trainable_variables)
    for variable in (*layer.variables, record, *optimizer.variables):
        variable.assign(np.full(variable.shape, value))
    counts = [keras.Variable(np.float32(value), name=name) for name in ("iteration", "n_samplings", "positions")]
    iteration, n_samplings, positions = counts
    return SimpleNamespace(
        variables=[*layer.variables, *counts, record],
        record=record,
        optimizer=optimizer,
        iteration=iteration,
        groups=[SimpleNamespace(positions=positions, reuse=SimpleNamespace(n_samplings=n_samplings, of_samples=()))],
        condition_record=None,
        natural_gradient=None,
    )


def values(model):
    """Values of all variables but the record, as a set of numbers."""
    saved = [variable for variable in (*model.variables, *model.optimizer.variables) if variable is not model.record]
    return {float(number) for variable in saved for number in np.ravel(variable.numpy())}


@pytest.fixture
def folder(tmp_path):
    """Three checkpoints, of the values 1, 2 and 3, of which two are kept."""
    for value in (1, 2, 3):
        save_checkpoint(tmp_path / "checkpoints", state_of(make_model(value)).saved, FACTS | {"iteration": value}, 2)
    return tmp_path / "checkpoints"


def refusal(action):
    with pytest.raises(RunFolderError) as caught:
        action()
    line = str(caught.value)
    assert line.startswith("run_dir = ") and line.isprintable()
    return line


@pytest.mark.parametrize("name", ["V0=[5]", "a\\b", "st*r", "wh?t"])
def test_a_folder_may_be_named_like_a_pattern(name, tmp_path):
    folder = tmp_path / name / "checkpoints"
    for value in (1, 2, 3):
        save_checkpoint(folder, state_of(make_model(value)).saved, FACTS | {"iteration": value}, 2)
    assert sorted(path.name for path in folder.glob("*.index")) == ["ckpt-2.index", "ckpt-3.index"]
    assert "/proc" not in (folder / "checkpoint").read_text()  # which is no place for another process
    found = newest_checkpoint(folder)
    assert (found.path, found.facts["iteration"]) == (folder / "ckpt-3", 3)
    model = make_model(0)
    restore_checkpoint(found, state_of(model).saved)
    assert values(model) == {3}


def test_everything_comes_back_and_the_oldest_is_gone(folder, messages):
    assert sorted(path.name for path in folder.glob("*.index")) == ["ckpt-2.index", "ckpt-3.index"]
    found = newest_checkpoint(folder)
    assert not messages and found.path.name == "ckpt-3"
    state = found.facts["callbacks"]["One"]
    np.testing.assert_array_equal(state["pending"], FACTS["callbacks"]["One"]["pending"])
    assert state["weights"][0].dtype == np.float32 and state["weights"][0] == np.float32(0.1)
    assert state["weights"][1].shape == (3, 0)
    assert (found.facts["bound"], found.facts["nothing"], found.facts["iteration"]) == (math.inf, None, 3)
    model = make_model(0)  # its layer has another number in its name
    restore_checkpoint(found, state_of(model).saved)
    assert values(model) == {3.0}
    assert not np.any(model.record.numpy())


def test_an_empty_folder_has_none(tmp_path):
    assert newest_checkpoint(tmp_path / "nowhere") is None


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DATA, INDEX = "ckpt-3.data-00000-of-00001", "ckpt-3.index"


@pytest.mark.parametrize("damage", [cut, flip, lambda path: path.unlink()], ids=["cut", "flip", "delete"])
@pytest.mark.parametrize("name", [DATA, INDEX])
def test_a_damaged_newest_is_passed_over_and_said(name, damage, folder, messages):
    damage(folder / name)
    found = newest_checkpoint(folder)
    assert found.path.name == "ckpt-2" and len(messages) == 1
    assert messages[0].startswith("checkpoint ckpt-3 is ") and messages[0].endswith(
        "continuing from ckpt-2, the one before"
    )
    model = make_model(0)
    restore_checkpoint(found, state_of(model).saved)
    assert values(model) == {2.0}
    assert not (folder / DATA).exists() or not (folder / INDEX).exists()
    for value in (4, 5):
        save_checkpoint(folder, state_of(make_model(value)).saved, FACTS, 2)
    messages.clear()
    again = newest_checkpoint(folder)
    restore_checkpoint(again, state_of(model).saved)
    assert values(model) == {5.0} and not messages
    assert len(list(folder.glob("*.index"))) == 2


@pytest.mark.parametrize(
    "damage",
    [cut, Path.unlink, *(lambda path, content=one: path.write_bytes(content) for one in (b"", b"hello", b"\xff\0"))],
    ids=["cut", "deleted", "emptied", "text", "bytes"],
)
def test_the_list_of_checkpoints_may_be_lost(damage, folder):
    damage(folder / "checkpoint")
    assert newest_checkpoint(folder).path.name == "ckpt-3"
    save_checkpoint(folder, state_of(make_model(4)).saved, FACTS, 2)
    assert newest_checkpoint(folder).path.name == "ckpt-4"


def test_all_damaged_is_refused(folder):
    for path in folder.glob("*.data*"):
        cut(path)
    line = refusal(lambda: newest_checkpoint(folder))
    assert "ckpt-3 is damaged" in line and "ckpt-2 is damaged" in line


def test_another_network_is_refused(folder):
    found = newest_checkpoint(folder)
    assert "ckpt-3 does not fit" in refusal(lambda: restore_checkpoint(found, state_of(make_model(0, size=4)).saved))


def test_a_full_disk_leaves_the_last_one_whole(folder, largest_file, messages):
    model = make_model(4)
    with largest_file(64):
        line = refusal(lambda: save_checkpoint(folder, state_of(model).saved, FACTS, 2))
    assert "no checkpoint can be written (File too large)" in line and "--resume continues from the last one" in line
    assert newest_checkpoint(folder).path.name == "ckpt-3" and not messages
    assert not list(folder.glob("*temp*"))
    save_checkpoint(folder, state_of(model).saved, FACTS, 2)
    assert newest_checkpoint(folder).path.name == "ckpt-4" and not messages


def test_a_read_only_folder_is_refused_in_one_line(folder, monkeypatch):
    def denied(*arguments, **options):
        raise tf.errors.PermissionDeniedError(None, None, f"{300 * 'x'}/checkpoints; Read-only file system")

    monkeypatch.setattr(tf.train.CheckpointManager, "save", denied)  # root may write everywhere
    line = refusal(lambda: save_checkpoint(folder, state_of(make_model(4)).saved, FACTS, 2))
    assert "(Read-only file system); those before are whole" in line
    line = refusal(
        lambda: save_checkpoint(folder.parent / "new" / "checkpoints", state_of(make_model(4)).saved, FACTS, 2)
    )
    assert "there is none before; start a new run in another folder" in line


def test_what_a_kill_while_writing_left_is_deleted(folder):
    (folder / "ckpt-4_temp").mkdir()
    (folder / "ckpt-4_temp" / "part-00000-of-00001.data-00000-of-00001").write_bytes(b"half")
    restore_checkpoint(newest_checkpoint(folder), state_of(make_model(0)).saved)
    assert not list(folder.glob("*temp*"))


def test_reading_runs_no_pickled_code(folder, monkeypatch):
    """Arrays of Python objects, which NumPy could only unpickle, are damage."""
    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, lambda *arguments: pytest.fail("unpickled"))
    restore_checkpoint(newest_checkpoint(folder), state_of(make_model(0)).saved)
    trap = {"dtype": "|O", "shape": [1], "base64": "gASVAAAAAAAAAAA="}
    with pytest.raises(ValueError):
        checkpoints._read_facts(json.dumps({"trap": trap}).encode())
