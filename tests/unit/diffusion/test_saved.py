"""The saved progress of a diffusion: read back as it was, or refused in one line."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tf_nqs.config import SettingsError
from tf_nqs.diffusion.energy import Progress
from tf_nqs.diffusion.saved import read_progress, write_progress
from tf_nqs.diffusion.time_step import PER_CALL, ROW_LENGTH, WalkState

IDENTITY = {
    "version": "1.0, format 2",
    "time_steps": [0.2, 0.1],
    "n_walkers": 32,
    "n_observed": 7,
    "dtype": "float32",
    "system": {"n_particles": 2},
    "seed": 0,
}


def state(n_calls, n_carried):
    x, energies = np.ones((32, 2), np.float32), np.ones(32, np.float32)
    carried = np.ones((n_carried, 32, 2), np.float32)
    observed = np.ones((n_calls, 2, 7 if n_calls else 0), np.float32)
    return WalkState(x, energies, x, energies, carried, observed, np.ones((n_calls * PER_CALL, ROW_LENGTH)))


PROGRESS = Progress([state(3, 2), state(0, 0)], 12.5, 4.2)
"""The second walk has not begun."""


@pytest.fixture
def path(tmp_path):
    write_progress(tmp_path / "state.npz", PROGRESS, IDENTITY)
    return tmp_path / "state.npz"


def test_what_is_written_is_read(path):
    found = read_progress(path, IDENTITY)
    assert found.seconds == 12.5 and found.edge == 4.2
    for before, after in zip(PROGRESS.states, found.states, strict=True):
        for one, other in zip(before, after, strict=True):
            np.testing.assert_array_equal(one, other)
            assert one.dtype == other.dtype


@pytest.mark.parametrize("version", ["0.9, format 2", "1.0, format 1", None])
def test_the_state_of_another_version_is_refused(version, path):
    with np.load(path) as file:
        arrays = dict(file)
    del arrays["carried_0"]  # which that version may not have had
    identity = {name: value for name, value in (IDENTITY | {"version": version}).items() if value is not None}
    np.savez(path, **arrays | {"identity": json.dumps(identity)})
    line = "holds a diffusion of another version of tf_nqs; must be deleted to begin again"
    with pytest.raises(SettingsError, match=line):
        read_progress(path, IDENTITY)


@pytest.mark.parametrize("name", [*(f"{field}_0" for field in WalkState._fields), "edge", "seconds", "observed_1"])
@pytest.mark.parametrize("how", ["shorter", "of another rank", "words", "not there"])
def test_a_damaged_part_is_refused(name, how, path):
    with np.load(path) as file:
        arrays = dict(file)
    part = arrays.pop(name)
    if how == "shorter":
        arrays[name] = part[..., :-1] if part.ndim and part.size else np.asarray(np.nan)
    elif how != "not there":
        arrays[name] = np.asarray(["x"] * 4) if how == "words" else np.ones((2, 3, 4, 5), np.float32)
    np.savez(path, **arrays)
    with pytest.raises(SettingsError, match="must be deleted to begin again"):
        read_progress(path, IDENTITY)


def test_a_file_that_asks_for_a_password_is_refused(path):
    """One bit of the list of the archive; NumPy's error is a RuntimeError."""
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(SettingsError, match=r"cannot be read \(.*password.*\); must be deleted to begin again$"):
        read_progress(path, IDENTITY)
