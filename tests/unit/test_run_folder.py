"""A run folder is asked for its files by name, read once, and given back by a run in which nothing was trained."""

from __future__ import annotations

from pathlib import Path

import pytest

from tf_nqs.config import RunFolderError
from tf_nqs.config.load import settings_from
from tf_nqs.storage import run_folder
from tf_nqs.storage.run_folder import RunFolder


def test_the_names_of_the_files_stay():
    folder = RunFolder("runs/a4")
    names = {name: place.name for name, place in vars(folder).items() if isinstance(place, Path)}
    assert names == {
        "path": "a4",
        "mark": ".claimed",
        "config": "config.toml",
        "metrics": "metrics.csv",
        "windows": "windows.csv",
        "conditions": "conditions.csv",
        "events": "tensorboard",
        "checkpoints": "checkpoints",
        "weights": "ansatz.weights.h5",
        "walkers": "walkers.npz",
        "result": "result.json",
        "plot": "energy.png",
        "profile": "profile.csv",
        "profile_plot": "profile.png",
        "evaluation": "evaluation.json",
        "diffusion": "diffusion.json",
        "diffusion_plot": "diffusion.png",
        "diffusion_state": "diffusion_state.npz",
        "observables": "observables.npz",
        "observable_plots": "observables",
    }
    assert Path(folder) == folder.path and str(folder) == "runs/a4"


def test_settings_and_result_are_read_once(tmp_path, monkeypatch):
    (tmp_path / "config.toml").write_text("n_particles = 2")
    (tmp_path / "ansatz.weights.h5").touch()
    (tmp_path / "result.json").write_text('{"n_iterations": 7}')
    reads = []
    monkeypatch.setattr(run_folder, "settings_from", lambda path: reads.append(path) or settings_from(path))
    folder = RunFolder.finished(tmp_path)
    assert folder.result_values
    (tmp_path / "result.json").unlink()
    assert (folder.settings.system.n_particles, folder.result_values) == (2, {"n_iterations": 7})
    assert reads == [tmp_path / "config.toml"]


@pytest.mark.parametrize("trained", [False, True])
def test_an_error_gives_back_a_new_folder_unless_something_was_trained(trained, tmp_path):
    folder = RunFolder.claim(tmp_path / "new" / "run")
    with pytest.raises(KeyboardInterrupt), folder.locked():
        with pytest.raises(RunFolderError, match="locked by another process; wait for it to finish"), folder.locked():
            pass
        folder.config.write_text("n_particles = 2")
        if trained:
            folder.metrics.touch()
        raise KeyboardInterrupt
    assert [path.name for path in tmp_path.iterdir()] == ["new"] * trained
    assert folder.config.exists() == trained


def test_the_setting_that_gives_the_folder_is_named(tmp_path):
    for setting in ("run_dir", "transfer_from"):
        with pytest.raises(RunFolderError, match=rf"^{setting} = '.*': has no config\.toml; must be the folder of a"):
            RunFolder.finished(tmp_path, setting)
        with pytest.raises(RunFolderError, match=rf"^{setting} = '~no-such-user': no usable path"):
            RunFolder.finished("~no-such-user", setting)
