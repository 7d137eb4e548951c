"""`export/saved_model.py` and `export/client.py` from the outside, each in a process of its own."""

from __future__ import annotations

import ast
import errno
import importlib.util
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_nqs
from tf_nqs.callbacks import save_weights
from tf_nqs.commands import export as export_command
from tf_nqs.config import settings_from, to_toml
from tf_nqs.experiment import build as builders

ROOT = Path(__file__).parents[2]


def make_run(folder, dtype="float64", n_particles=2, n_layers=2):
    """A run folder as a run leaves it, but for the training."""
    system = {"n_particles": n_particles, "interaction_strength": 5.0, "dtype": dtype}
    settings = settings_from(overrides=system | {"n_features": 8, "n_layers": n_layers})
    keras.utils.set_random_seed(1)
    folder.mkdir()
    (folder / "config.toml").write_text(to_toml(settings))
    (folder / "result.json").write_text(json.dumps({"energy": 2.5, "energy_error": 0.01}))
    save_weights(builders.build_ansatz(settings), folder / "ansatz.weights.h5")
    return folder


def run_python(*arguments, cwd, python=sys.executable):
    command = [str(python), *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=600, check=False)


WITH_TENSORFLOW_ALONE = """
import runpy, sys
blocked = ("tf_nqs", "keras", "tf_keras", "keras_tuner", "tensorflow_probability")
sys.modules.update(dict.fromkeys(blocked))  # None: an import of them fails as if they were not installed
sys.argv = sys.argv[1:]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
finally:
    loaded = [name for name, module in sys.modules.items() if module and name.partition(".")[0] in blocked]
    assert not loaded, loaded
"""


def run_alone(*arguments, cwd, python=sys.executable):
    """Runs a script where this package, Keras, and all that brings Keras along, cannot be imported."""
    return run_python("-I", "-c", WITH_TENSORFLOW_ALONE, *arguments, cwd=cwd, python=python)


FAMILY = {"n_particles": [2, 3], "interaction_strength": [-20.0, 20.0], "interaction_range": [0.25, 1.0]}
CURVE = "n_particles,interaction_strength,interaction_range,energy\n2,1.0,0.5,2.17\n"


def make_family(folder):
    """The run folder of a family as a run and a curve leave it, but for the training."""
    sizes = {"n_features": 4, "n_layers": 1, "n_pair_features": 4, "n_pair_layers": 1}
    settings = settings_from(overrides={"ansatz": "jastrow", "dtype": "float64", **sizes, **FAMILY})
    keras.utils.set_random_seed(1)
    folder.mkdir()
    (folder / "config.toml").write_text(to_toml(settings.filled()))
    (folder / "curve.csv").write_text(CURVE)
    save_weights(builders.build_ansatz(settings), folder / "ansatz.weights.h5")
    return folder


@pytest.mark.slow
def test_a_client_gets_the_numbers_of_the_members_of_a_family(tmp_path):
    """From one model, with TensorFlow alone; parameters outside of what was trained are refused in one line."""
    run_dir = make_family(tmp_path / "run")
    arguments = (ROOT / "export/saved_model.py", f"--run_dir={run_dir}", "--output=exported")
    done = run_python(*arguments, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "exported/1/assets/curve.csv").read_text() == CURVE
    summary = json.loads((tmp_path / "exported/1/assets/export.json").read_text())
    assert {name: summary[name] for name in FAMILY} == FAMILY
    run = tf_nqs.load(run_dir)
    client = (ROOT / "export/client.py", "--model=exported", "--output=numbers.npz", "--n_walkers=50")
    for place in ((2, -20.0, 0.25), (3, 7.3, 0.5)):
        flags = [f"--{name}={value}" for name, value in zip(FAMILY, place, strict=True)]
        done = run_alone(*client, *flags, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        with np.load(tmp_path / "numbers.npz") as file:
            numbers = dict(file)
        system, ansatz, _ = run.at(*place)
        x = numbers["positions"]
        assert x.shape == (50, place[0])
        _, derivatives = ansatz.forward_laplacian(x)
        wanted = {"log_psi/log_abs_psi": ansatz(x)[1], "local_energy/total": system.local_energy(x, derivatives).total}
        wanted["gradient_and_laplacian/gradient"] = wanted["tapes/gradient"] = derivatives.gradient
        for name, value in wanted.items():
            off = np.abs(numbers[name] - value) / np.maximum(1, np.abs(value))
            assert np.quantile(off, 0.9) <= 1e-11, name  # next to a node there is no bound on roundings
    for given, line in (
        (flags[:2], "interaction_range: must be given, as the export is that of a family"),
        ([*flags[:2], "--interaction_range=2"], "interaction_range must be from 0.25 to 1, as trained; it was 2"),
        (["--n_particles=4", *flags[1:]], "n_particles must be 2 or 3, as trained; it was 4"),
    ):
        done = run_alone(*client, *given, cwd=tmp_path)
        assert (done.returncode, done.stderr) == (2, f"error: {line}\n")


def assert_exported_numbers(tmp_path, run_dir, bounds, by_tapes, python=sys.executable):
    """Exports in one process, evaluates in another, and compares with the ansatz: |a - b| <= bound max(1, |b|)."""
    arguments = (ROOT / "export/saved_model.py", f"--run_dir={run_dir}", "--output=exported")
    done = run_python(*arguments, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "exported to exported" in done.stdout and "local_energy" in done.stdout
    client = (ROOT / "export/client.py", "--model=exported", "--output=numbers.npz", "--n_walkers=200")
    done = run_alone(*client, cwd=tmp_path, python=python)
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "numbers.npz") as file:
        numbers = dict(file)
    x = numbers["positions"]
    system, ansatz, _ = tf_nqs.load(run_dir)
    assert x.shape == (200, system.n_particles) and x.dtype == ansatz.compute_dtype
    _, derivatives = ansatz.forward_laplacian(x)
    energy = system.local_energy(x, derivatives)
    sign, log_abs_psi = ansatz(x)
    np.testing.assert_array_equal(numbers["log_psi/sign"], sign)
    wanted = {"log_psi/log_abs_psi": log_abs_psi, "local_energy/total": energy.total}
    wanted["local_energy/kinetic"] = energy.kinetic
    for name, bound in zip(wanted, bounds, strict=True):
        off = np.abs(numbers[name] - wanted[name]) / np.maximum(1, np.abs(wanted[name]))
        assert off.max() <= bound, name
    # The exported Laplacian and that of the client's tapes are two formulas whose terms cancel near a node.
    scale = 1 + np.sum(derivatives.gradient**2, axis=1)
    for name in ("gradient", "laplacian"):
        one, other = numbers[f"tapes/{name}"], numbers[f"gradient_and_laplacian/{name}"]
        assert np.median(np.abs(one - other).T / scale) <= by_tapes
    return done


BOUNDS = {"float64": ((1e-12, 1e-12, 1e-12), 1e-11), "float32": ((1e-5, 1e-3, 1e-3), 1e-3)}
"""dtype -> those of ln|Psi|, energy and kinetic energy, and that of the tapes, for four fermions."""


def test_a_client_gets_the_numbers_of_the_run(tmp_path):
    # The operations are the same; eager and graph round alike but for the order of a few sums.
    run_dir = make_run(tmp_path / "run", n_layers=1)
    done = assert_exported_numbers(tmp_path, run_dir, (1e-12, 1e-12, 1e-12), by_tapes=1e-12)
    assert "energy of 200 independent walkers" in done.stdout
    assert "custom gradients" not in done.stderr  # of which TensorFlow would warn if any were lost


@pytest.mark.slow
@pytest.mark.parametrize("dtype", BOUNDS)
def test_a_client_gets_the_numbers_of_four_fermions(tmp_path, dtype):
    assert_exported_numbers(tmp_path, make_run(tmp_path / "run", dtype, 4), *BOUNDS[dtype])


@pytest.fixture(scope="module")
def tensorflow_alone(tmp_path_factory):
    """The Python of a new virtual environment with TensorFlow, without even the Keras that pip installs beside it."""
    folder = tmp_path_factory.mktemp("environment")
    assert run_python("-m", "venv", folder, cwd=folder).returncode == 0
    python = folder / "bin/python"
    done = run_python("-m", "pip", "install", "-q", f"tensorflow=={tf.__version__}", cwd=folder, python=python)
    if done.returncode != 0:
        pytest.skip(f"no package index gives tensorflow {tf.__version__}: {done.stderr.strip()[-200:]}")
    assert run_python("-m", "pip", "uninstall", "-q", "-y", "keras", cwd=folder, python=python).returncode == 0
    for package in ("keras", "tf_nqs"):
        assert "ModuleNotFoundError" in run_python("-I", "-c", f"import {package}", cwd=folder, python=python).stderr
    return python


@pytest.mark.slow
@pytest.mark.parametrize("dtype", BOUNDS)
def test_a_trained_state_needs_tensorflow_alone(tmp_path, tensorflow_alone, dtype):
    """Four trained fermions, in an environment where nothing but TensorFlow is installed."""
    run_dir = tmp_path / "run"
    settings = ("--config=quickstart", f"--dtype={dtype}", "--max_seconds=20", "--evaluation_max_seconds=5", "--quiet")
    done = run_python(ROOT / "train.py", *settings, f"--run_dir={run_dir}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert_exported_numbers(tmp_path, run_dir, *BOUNDS[dtype], python=tensorflow_alone)


def test_the_client_imports_tensorflow_alone():
    tree = ast.parse((ROOT / "export/client.py").read_text())
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    packages = {name.partition(".")[0] for name in imported}
    assert packages - set(sys.stdlib_module_names) == {"numpy", "tensorflow"}


BAD_COMMAND_LINES = [
    ([], "run_dir: must be given; the folder of a run"),
    (["--run_dir=run"], "output: must be given; a new or an empty folder"),
    (["--run_dir=", "--output=new"], "run_dir = '': must be the folder of a run"),
    (["--run_dir=run", "--output="], "output = '': must be a new or an empty folder"),
    (["--run_dir", "run", "--output"], "Missing value for flag --output; must be a new or an empty folder"),
    (["--run_dir=run", "--output=new", "--overwrite=maybe"], "overwrite = 'maybe': must be true or false"),
    (["--run_dir=run", "--output=new", "--nooverwrite=1"], "--nooverwrite=1 does not take an argument; must be true"),
    (["--run_dir=run", "--ouput=new"], "--ouput: no such flag; did you mean --output?"),
    (["--run_dir=run", "--output=new", "extra"], "'extra': unexpected argument"),
    (["--run_dir=run", "--output=new", "--flagfile=x"], "--flagfile: no such flag"),
    (["--run_dir=missing", "--output=new"], "run_dir = 'missing': no such folder; must be the folder of a run"),
    (["--run_dir=run", "--output=notes"], "output = 'notes': holds files that do not belong to an export; must be"),
    (["--run_dir=run", "--output=notes", "--overwrite"], "output = 'notes': holds files that do not belong to an"),
    (["--run_dir=run", "--output=notes/energy.csv"], "output = 'notes/energy.csv': is a file; must be a new"),
    (["--run_dir=run", "--output=notes/energy.csv/new"], "output = 'notes/energy.csv/new': "),
    (["--run_dir=" + "x" * 300, "--output=new"], "run_dir = 'xxx"),
    (["--run_dir=run", "--output=" + "x" * 300], "output = 'xxx"),
    (["--run_dir=broken", "--output=new"], "run_dir = 'broken': its ansatz.weights.h5 cannot be read ("),
]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A folder with a run, a broken one, and notes."""
    folder = tmp_path_factory.mktemp("workplace")
    shutil.copytree(make_run(folder / "run", n_layers=1), folder / "broken")
    (folder / "broken/ansatz.weights.h5").write_bytes(b"no HDF5")
    (folder / "notes").mkdir()
    (folder / "notes/energy.csv").write_text("precious")
    return folder


@pytest.mark.parametrize(("arguments", "line"), BAD_COMMAND_LINES, ids=lambda value: str(value)[:50])
def test_bad_command_lines(arguments, line, workplace, monkeypatch, capsys):
    monkeypatch.chdir(workplace)
    before = sorted(workplace.rglob("*"))
    assert export_command.main(["export/saved_model.py", *arguments]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith(f"error: {line}") and printed.err.count("\n") == 1
    assert printed.out == "" and sorted(workplace.rglob("*")) == before
    assert Path("notes/energy.csv").read_text() == "precious"


def test_wrong_numbers_end_with_status_3(tmp_path, monkeypatch, capsys):
    from tf_nqs.saved_model import export as saved_model

    def fail(*_, **__):
        raise saved_model.ExportError("psi of psi: off by 1.0e+00")

    monkeypatch.setattr(saved_model, "export", fail)
    run_dir = make_run(tmp_path / "run")
    assert export_command.main(["x", f"--run_dir={run_dir}", f"--output={tmp_path / 'new'}"]) == 3
    assert capsys.readouterr().err == "error: nothing was exported: psi of psi: off by 1.0e+00\n"


def test_a_run_that_cannot_be_exported_is_refused_in_one_line(tmp_path, monkeypatch, capsys):
    from tf_nqs.saved_model import export as saved_model

    def refuse(*_, **__):
        raise ValueError("laplacian = 'forward': this ansatz\nhas none")

    monkeypatch.setattr(saved_model, "export", refuse)
    monkeypatch.chdir(tmp_path)
    make_run(tmp_path / "run")
    assert export_command.main(["x", "--run_dir=run", "--output=new"]) == 2
    line = "error: run_dir = 'run': cannot be exported (laplacian = 'forward': this ansatz has none)\n"
    assert capsys.readouterr().err == line


def test_help_does_not_wait_for_tensorflow(tmp_path):
    program = (
        "import sys; from tf_nqs.commands import export; assert export.main(['x', '--help']) == 0; "
        "sys.exit(any(name.partition('.')[0] in ('tensorflow', 'keras') for name in sys.modules))"
    )
    done = run_python("-c", program, cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, "")
    for flag in ("--run_dir", "--output", "--[no]overwrite", "--help"):
        assert flag in done.stdout


def test_the_script_answers_bad_input_with_one_line(tmp_path):
    done = run_python(ROOT / "export/saved_model.py", "--run_dir=run", cwd=tmp_path)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr == "error: output: must be given; a new or an empty folder\n"


@pytest.fixture(scope="module")
def client():
    """The client as a module, in this process."""
    specification = importlib.util.spec_from_file_location("export_client", ROOT / "export/client.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


NO_EXPORT = "must be the folder of an export"
NO_FILE = "must be a file in a folder that exists"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([], "the following arguments are required: --model"),
        (["--n_walkers=0"], "argument --n_walkers: '0': must be an integer from 1 to 2147483647"),
        (["--n_walkers=x"], "argument --n_walkers: 'x': must be an integer from 1 to 2147483647"),
        (["--n_steps=-1"], "argument --n_steps: '-1': must be an integer from 0 to 2147483647"),
        (["--seed=99999999999"], "argument --seed: '99999999999': must be an integer from -2147483648 to 2147483647"),
        (["--model=missing"], f"model = 'missing': holds no saved_model.pb; {NO_EXPORT}"),
        (["--model=" + "x" * 300], f"model = '{'x' * 300}': holds no saved_model.pb; {NO_EXPORT}"),
        (["--model=other"], f"model = 'other': has no signature local_energy, log_psi, sample; {NO_EXPORT}"),
        (["--model=damaged"], rf"model = 'damaged/10': cannot be read \(.*\); {NO_EXPORT}"),
        (["--model=other", "--output=no/x.npz"], rf"output = 'no/x.npz': cannot be written \(.*\); {NO_FILE}"),
        (["--model=other", "--output=other"], f"output = 'other': is a folder; {NO_FILE}"),
    ],
    ids=lambda value: str(value)[:50],
)
def test_the_client_answers_bad_input_with_one_line(client, arguments, line, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    tf.saved_model.save(tf.Module(), "other")
    for version, content in (("9", Path("other/saved_model.pb").read_bytes()), ("10", b"no model")):
        Path("damaged", version).mkdir(parents=True)  # the newest is not the last in the alphabet
        Path("damaged", version, "saved_model.pb").write_bytes(content)
    capsys.readouterr()
    if arguments and not arguments[0].startswith("--model"):
        arguments = ["--model=other", *arguments]
    try:
        status = client.main(arguments)
    except SystemExit as end:
        status = end.code
    printed = capsys.readouterr()
    assert (status, printed.out) == (2, "")
    assert re.fullmatch(f"error: {line}\n", printed.err)


@pytest.mark.parametrize(
    ("name", "error", "line"),
    [
        ("sample", tf.errors.ResourceExhaustedError(None, None, "OOM"), "n_walkers = 1000: needs more memory than"),
        ("savez", OSError(errno.ENOSPC, "No space left on device"), "output = 'x.npz': cannot be written (No space"),
    ],
)
def test_the_client_says_in_one_line_what_went_out(client, name, error, line, tmp_path, monkeypatch, capsys):
    def fail(*_, **__):
        raise error

    monkeypatch.chdir(tmp_path)
    tf.saved_model.save(tf.Module(), "model")
    capsys.readouterr()
    keys = ("local_energy/total", "local_energy/kinetic", "tapes/laplacian")
    monkeypatch.setattr(client, "NEEDED", set())
    monkeypatch.setattr(client, "member", lambda *_: {})
    monkeypatch.setattr(client, "sample", lambda *_: None)
    monkeypatch.setattr(
        client, "evaluate", lambda *_: dict.fromkeys(keys, np.ones(3)) | {"tapes/gradient": np.ones((3, 1))}
    )
    monkeypatch.setattr(np if name == "savez" else client, name, fail)
    assert client.main(["--model=model", "--output=x.npz"]) == 2
    printed = capsys.readouterr().err
    assert printed.startswith(f"error: {line}") and printed.count("\n") == 1


@pytest.mark.parametrize(
    ("value", "error", "texts"),
    [
        (10.891471, 0.00137, ("10.8915", "0.0014")),
        (2.4256187, 0.0000213, ("2.425619", "0.000021")),
        (1306.9, 72.4, ("1307", "72")),
        (2.0, 0.0, ("2.000000", "0.000000")),
        (float("nan"), float("nan"), ("nan", "nan")),
    ],
)
def test_the_client_shows_two_digits_of_an_error(client, value, error, texts):
    assert client.rounded(value, error) == texts


def test_the_client_says_no_more_than_one_line(tmp_path):
    done = run_python("-I", ROOT / "export/client.py", "--model=missing", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == "error: model = 'missing': holds no saved_model.pb; must be the folder of an export\n"
