"""Run folders are data from elsewhere: damaged ones are refused in one line, and no code in them is ever run."""

from __future__ import annotations

import ast
import io
import os
import pickle
import shutil
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from tf_nqs import evaluate, observe
from tf_nqs.callbacks import save_weights
from tf_nqs.commands import export as export_command
from tf_nqs.commands import train as cli
from tf_nqs.config import SettingsError, settings_from, to_toml
from tf_nqs.experiment import build as builders
from tf_nqs.experiment import run as experiment
from tf_nqs.experiment import transfer
from tf_nqs.saved_model import export as saved_model
from tf_nqs.storage.run_folder import RunFolder

REPOSITORY = Path(__file__).resolve().parents[2]


class Malicious:
    """Makes a folder when it is unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


class AcceptedError(Exception):
    """Raised where the work on a run that was read would begin."""


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory):
    """A run folder as a run leaves it, but for the training."""
    folder = tmp_path_factory.mktemp("whole")
    settings = settings_from(None, {"n_particles": 2, "n_features": 4, "n_walkers": 8, "jit_compile": False})
    (folder / "config.toml").write_text(to_toml(settings))
    ansatz = builders.build_ansatz(settings)
    save_weights(ansatz, folder / "ansatz.weights.h5")
    transfer.save_walkers(builders.build_trainer(settings, builders.build_system(settings), ansatz), RunFolder(folder))
    return folder


@pytest.fixture
def run_dir(whole_run, tmp_path):
    """A copy of it, to be spoilt."""
    return Path(shutil.copytree(whole_run, tmp_path / "run"))


@pytest.fixture
def commands(monkeypatch, tmp_path):
    """Name -> a call of the command on a run folder; what it does with a run that was read is left out."""

    def accept(*arguments, **options):
        raise AcceptedError

    monkeypatch.setattr(builders, "build_trainer", accept)
    monkeypatch.setattr(experiment, "_warm_up", accept)
    monkeypatch.setattr(saved_model, "export", accept)
    training = ["--n_particles=2", "--n_features=4", "--quiet", f"--run_dir={tmp_path / 'new' / 'run'}"]
    output = f"--output={tmp_path / 'exported'}"
    return {
        "evaluate": lambda folder: evaluate.main(["evaluate", f"--run_dir={folder}"]),
        "observe": lambda folder: observe.main(["observe", f"--run_dir={folder}"]),
        "export": lambda folder: export_command.main(["export", f"--run_dir={folder}", output]),
        "train": lambda folder: cli.main(["train.py", *training, f"--transfer_from={folder}"]),
    }


def zipped(entries):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        for name, content in entries.items():
            file.writestr(name, content)
    return archive.getvalue()


def weights_in_hdf5(change):
    """Returns what makes weights into other ones: opens the file and lets `change` spoil the dataset of each."""

    def spoil(path):
        with h5py.File(path, "r+") as file:
            found = []
            file.visititems(lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) else None)
            for name in found:
                change(file, name)

    return spoil


def replaced(value):
    def change(file, name):
        del file[name]
        file[name] = value

    return weights_in_hdf5(change)


def of_another_network(path):
    settings = settings_from(None, {"n_particles": 3, "n_features": 5})
    save_weights(builders.build_ansatz(settings), path)


def as_folder(path):
    path.unlink()
    path.mkdir()


def as_loop(path):
    path.unlink()
    path.symlink_to(path.name)


SPOILT_WEIGHTS = {
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("no weights"),
    "pickle": lambda path: path.write_bytes(pickle.dumps([1, 2])),
    "zip": lambda path: path.write_bytes(zipped({"a": b"b"})),
    "head": lambda path: path.write_bytes(path.read_bytes()[:64]),
    "half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "zeros": lambda path: path.write_bytes(b"\0" * path.stat().st_size),
    "other": of_another_network,
    "groups": weights_in_hdf5(lambda file, name: file.__delitem__(name)),
    "texts": replaced("no number"),
    "scalars": replaced(1.0),
    "nothing": replaced(h5py.Empty("f")),
    "folder": as_folder,
    "loop": as_loop,
}


@pytest.mark.parametrize("kind", SPOILT_WEIGHTS)
def test_spoilt_weights_are_refused_in_one_line(kind, run_dir, commands, tmp_path, capsys):
    SPOILT_WEIGHTS[kind](run_dir / "ansatz.weights.h5")
    before = sorted(tmp_path.rglob("*"))
    for name, command in commands.items():
        assert command(run_dir) == 2, name
        printed = capsys.readouterr()
        leaf = "transfer_from" if name == "train" else "run_dir"
        assert printed.err.startswith(f"error: {leaf} = '{run_dir}': ") and printed.err.count("\n") == 1
        assert "ansatz.weights.h5" in printed.err and printed.err.endswith("; must be the folder of a run\n")
        assert sorted(tmp_path.rglob("*")) == before


def test_whole_weights_are_accepted(run_dir, commands):
    for name in ("evaluate", "observe", "export", "train"):
        with pytest.raises(AcceptedError):
            commands[name](run_dir)


def npy(array):
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


def huge_array():
    """The header of an array that no memory holds, without the array."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (2**44, 2)})
    return header.getvalue()


def walkers_file(**entries):
    ours = {"positions": np.zeros((8, 2)), "proposal_width": np.array(0.5), "sampler": np.array("metropolis")} | entries
    return zipped({f"{name}.npy": value if isinstance(value, bytes) else npy(value) for name, value in ours.items()})


SPOILT_WALKERS = {
    "objects": (walkers_file(positions=np.array([[None, None]])), "cannot be read"),
    "huge": (walkers_file(positions=huge_array()), "cannot be read"),
    "text": (walkers_file(positions=np.array([["a", "b"]])), "new, because"),
    "none": (walkers_file(positions=np.zeros((0, 2))), "new, because"),
    "nan": (walkers_file(positions=np.full((8, 2), np.nan)), "new, because"),
    "width": (walkers_file(proposal_width=np.array(-1.0)), "new, because"),
    "no width": (walkers_file(proposal_width=np.array([1.0, 2.0])), "cannot be read"),
    "cut": (walkers_file()[:100], "cannot be read"),
    "garbled": (walkers_file().replace(b"NUMPY", b"YPMUN"), "cannot be read"),
}


@pytest.mark.parametrize("kind", SPOILT_WALKERS)
def test_spoilt_walkers_are_refused_or_drawn_anew(kind, run_dir):
    content, outcome = SPOILT_WALKERS[kind]
    (run_dir / "walkers.npz").write_bytes(content)
    run = builders.load(run_dir)
    vmc = builders.build_trainer(run.settings, run.system, run.ansatz)
    start = vmc.positions.numpy()
    try:
        said = transfer.carry_walkers(run_dir, vmc)
    except SettingsError as error:
        said = str(error)
    assert outcome in said
    np.testing.assert_array_equal(vmc.positions, start)


def malicious_files(mark):
    """Name of a file -> contents that make a folder if anything in them is unpickled, in every place there is."""
    code = pickle.dumps(Malicious(mark))
    array = np.array([Malicious(mark)], dtype=object)
    hdf5 = io.BytesIO()
    with h5py.File(hdf5, "w") as file:
        file["layers/orbitals/vars/0"] = np.void(code)
        file.attrs["config"] = np.void(code)
    walkers = [
        code,
        npy(array),
        walkers_file(positions=array),
        walkers_file(sampler=npy(array)),
        walkers_file(sampler=code),
    ]
    archive = zipped({"config.json": code, "metadata.json": code, "model.weights.h5": code})
    return {"walkers.npz": walkers, "ansatz.weights.h5": [code, npy(array), archive, hdf5.getvalue()]}


def test_no_pickled_code_is_run(run_dir, commands, tmp_path):
    mark = tmp_path / "was_run"
    trainer = Trainer(builders.load(run_dir))
    for file, contents in malicious_files(mark).items():
        whole = (run_dir / file).read_bytes()
        for content in contents:
            (run_dir / file).write_bytes(content)
            if file == "ansatz.weights.h5":
                assert [commands[name](run_dir) for name in ("evaluate", "export", "train")] == [2, 2, 2]
            else:
                with pytest.raises(SettingsError, match=r"walkers\.npz cannot be read"):
                    transfer.carry_walkers(run_dir, trainer)
            assert not mark.exists()
        (run_dir / file).write_bytes(whole)
    pickle.loads(pickle.dumps(Malicious(mark)))  # it would have been seen
    assert mark.is_dir()


class Trainer:
    """What `carry_walkers` asks a trainer for before it has read the file."""

    def __init__(self, run):
        self.positions = np.zeros((run.settings.sampling.n_walkers, run.system.n_particles))


FILES = [
    path for place in ("tf_nqs", "export", "examples", "benchmarks") for path in (REPOSITORY / place).rglob("*.py")
]
CODE_READERS = {"cPickle", "cloudpickle", "dill", "joblib", "marshal", "pickle", "shelve"}


def test_nothing_unpickles():
    """No module that runs what it reads is imported, arrays are read without pickle, models by their weights alone."""
    n_reads = 0
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [getattr(node, "module", None) or "", *(alias.name for alias in node.names)]
                assert not CODE_READERS & {name.partition(".")[0] for name in names}, path
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            assert node.func.attr not in ("load_model", "enable_unsafe_deserialization"), path
            if ast.unparse(node.func) == "np.load":
                n_reads += 1
                given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
                assert given.get("allow_pickle") == "False", f"{path}:{node.lineno}"
    assert n_reads > 0
