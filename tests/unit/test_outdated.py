"""Results of fewer iterations are put away when training goes on, and weights say of how many they are."""

from __future__ import annotations

import io
import json

import h5py
import pytest

from tf_nqs.storage.outdated import put_away_results
from tf_nqs.storage.run_folder import RunFolder
from tf_nqs.storage.weights_file import iterations_of_weights, note_iterations


def test_nothing_is_said_of_nothing(tmp_path, messages):
    (tmp_path / "metrics.csv").write_text("")
    (tmp_path / "tensorboard").mkdir()
    put_away_results(RunFolder(tmp_path))
    assert messages == []
    assert {path.name for path in tmp_path.iterdir()} == {"metrics.csv", "tensorboard"}


@pytest.mark.parametrize(
    ("source", "name"),
    [("result", "after_7_iterations"), ("weights", "after_5_iterations"), (None, "earlier_results")],
)
def test_the_subfolder_is_named_after_the_iterations(source, name, tmp_path, messages):
    """A run that was killed has no result, but perhaps weights that were measured meanwhile."""
    if source == "result":
        (tmp_path / "result.json").write_text(json.dumps({"n_iterations": 7}))
    elif source == "weights":
        (tmp_path / "ansatz.weights.h5").write_bytes(noted(5))
    for place in (name, f"{name}_2"):
        (tmp_path / "evaluation.json").write_text(place)
        put_away_results(RunFolder(tmp_path))
        assert f"moved to {tmp_path / place}, as training continues: evaluation.json" in messages
        assert (tmp_path / place / "evaluation.json").read_text() == place
        if source == "result":
            (tmp_path / "result.json").write_text(json.dumps({"n_iterations": 7}))


def test_an_energy_by_diffusion_is_moved_and_its_state_deleted(tmp_path, messages):
    for name in ("diffusion.json", "diffusion.png", "diffusion_state.npz"):
        (tmp_path / name).write_text(name)
    put_away_results(RunFolder(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["earlier_results"]
    assert {path.name for path in (tmp_path / "earlier_results").iterdir()} == {"diffusion.json", "diffusion.png"}
    assert "deleted, as training continues: diffusion_state.npz" in messages


def test_the_curve_of_a_family_is_moved_and_its_points_stay(tmp_path):
    """An export would ship it beside later weights; a point is measured again for these in any case."""
    for name in ("curve.csv", "curve.png", "differences.csv"):
        (tmp_path / name).write_text(name)
    (tmp_path / "curve_points").mkdir()
    put_away_results(RunFolder(tmp_path))
    assert {path.name for path in tmp_path.iterdir()} == {"curve_points", "earlier_results"}
    moved = {path.name for path in (tmp_path / "earlier_results").iterdir()}
    assert moved == {"curve.csv", "curve.png", "differences.csv"}


def noted(n_iterations):
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        file["kernel"] = [1.0]
    if n_iterations is not None:
        note_iterations(content, n_iterations)
    return content.getvalue()


@pytest.mark.parametrize(("content", "found"), [(noted(5), 5), (noted(None), None), (b"no HDF5", None)])
def test_iterations_of_weights(content, found, tmp_path):
    (tmp_path / "ansatz.weights.h5").write_bytes(content)
    assert iterations_of_weights(tmp_path / "ansatz.weights.h5") == found
    assert iterations_of_weights(tmp_path / "nowhere.h5") is None
