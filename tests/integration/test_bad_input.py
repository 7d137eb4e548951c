"""`train.py` from the outside: exit statuses, one line for bad input, nothing written, no TensorFlow before the run."""

from __future__ import annotations

import os
import subprocess
import sys
import types
from pathlib import Path

import pytest

import tf_nqs
from tf_nqs.commands import train as cli
from tf_nqs.runtime import startup

REPOSITORY = Path(__file__).resolve().parents[2]


def run_train(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs `python train.py` in `folder`."""
    command = [sys.executable, str(REPOSITORY / "train.py"), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def stub_experiment(monkeypatch, tmp_path):
    """Replaces the experiment by a recorder: `calls` holds the settings it got, `stop_reason` is what it answers."""
    monkeypatch.chdir(tmp_path)
    stub = types.ModuleType("tf_nqs.experiment.run")
    stub.calls, stub.stop_reason = [], "iterations"

    def run(folder, settings, resume=False):
        stub.calls.append(settings)
        if isinstance(stub.stop_reason, BaseException):
            raise stub.stop_reason
        return types.SimpleNamespace(stop_reason=stub.stop_reason)

    stub.run_in = run
    monkeypatch.setitem(sys.modules, "tf_nqs.experiment.run", stub)
    monkeypatch.setattr(tf_nqs, "experiment", stub, raising=False)
    monkeypatch.setattr(startup, "import_tensorflow", lambda *_: None)
    return stub


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--n_particles=2.5"], "error: n_particles = 2.5: must be an integer from 1 to 64\n"),
        ([], "error: n_particles: must be given; an integer from 1 to 64\n"),
        (["--n-particles=4"], "error: --n-particles: no such flag; did you mean --n_particles?\n"),
        (["--config=missing.toml"], "error: config = 'missing.toml': no such file; must be a TOML file or a preset ("),
    ],
)
def test_bad_input_in_a_process(arguments, line, tmp_path):
    finished = run_train(*arguments, folder=tmp_path)
    assert finished.returncode == 2
    assert finished.stderr.startswith(line) and finished.stderr.count("\n") == 1
    assert finished.stdout == ""
    assert not list(tmp_path.iterdir())


BAD_COMMAND_LINES = [
    (["--n_particles=nan"], "n_particles = nan: must be an integer from 1 to 64"),
    (["--n_particles="], "n_particles = '': must be an integer from 1 to 64"),
    (["--n_particles=four"], "n_particles = 'four': must be an integer from 1 to 64"),
    (["--n_particles=4\n5"], r"n_particles = '4\n5': must be an integer from 1 to 64"),
    (["--n_particles=1" + "0" * 5000], "n_particles = inf: must be an integer from 1 to 64"),
    (["--n_particles"], "Missing value for flag --n_particles; must be an integer from 1 to 64"),
    (["--config"], "Missing value for flag --config; must be a TOML file or a preset"),
    (["--n_particles=4", "--learning_rate=1e999"], "learning_rate = inf: must be a finite number above 0"),
    (["--n_particles=4", "--dtype=float16"], "dtype = 'float16': must be one of float32, float64"),
    (["--n_particles=4", "--quiet=maybe"], "quiet = 'maybe': must be true or false"),
    (["--n_particles=4", "--noquiet=1"], "--noquiet=1 does not take an argument; must be true or false"),
    (["--n_particles=4", "extra"], "'extra': unexpected argument; must be given as --setting=value"),
    (["extra", "--n_particles=4"], "'extra': unexpected argument; must be given as --setting=value"),
    (["--n_particles=4", "--", "extra"], "'extra': unexpected argument; must be given as --setting=value"),
    (["--n_particles=4", "--iteration=5"], "--iteration: no such flag; did you mean --iterations?"),
    (["--n_particles=4", "--xyzzy"], "--xyzzy: no such flag; --help=all lists all"),
    (["--n_particles=4", "--flagfile=x"], "--flagfile: no such flag"),
    (["--n_particles=4", "--undefok=xyzzy", "--xyzzy=1"], "--undefok: no such flag"),
    (["--config=quickstar"], "did you mean quickstart?"),
    (["--resume"], "run_dir: must be given with --resume; the folder of a run"),
    (["--config=quickstart", "--resume"], "run_dir: must be given with --resume; the folder of a run"),
    (["--run_dir=nowhere", "--resume"], "run_dir = 'nowhere': holds no checkpoint; must be the folder of a run"),
    (["--config=quickstart", "--run_dir=nowhere", "--resume"], "run_dir = 'nowhere': holds no checkpoint"),
    (["--run_dir=" + "x" * 300, "--resume"], "holds no checkpoint"),
    (["--run_dir=", "--resume"], "run_dir = '': must be non-empty text"),
    (["--resume=yes", "--run_dir=nowhere"], "resume = 'yes': must be true or false"),
    (["--config=."], "config = '.': not a file; must be a TOML file or a preset ("),
    (["--config="], "config = '': not a file; must be a TOML file or a preset ("),
    (["--config=quickstart", "--notrap"], "trap = none contradicts interaction_strength = 10.0"),
]


@pytest.mark.parametrize(("arguments", "line"), BAD_COMMAND_LINES, ids=lambda value: str(value)[:40])
def test_bad_command_lines(arguments, line, stub_experiment, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["train.py", *arguments]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("error: ") and line in printed.err
    assert printed.err.count("\n") == 1 and printed.out == ""
    assert not stub_experiment.calls and not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["n_particles = 2.5", "n_particles = [", "[systm]\nn_particles = 4", "\0"])
def test_bad_files(text, stub_experiment, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("bad.toml").write_text(text)
    assert cli.main(["train.py", "--config=bad.toml"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    assert "n_particles" in error or "bad.toml" in error
    assert not stub_experiment.calls and [path.name for path in tmp_path.iterdir()] == ["bad.toml"]


def test_a_refused_run_folder_is_bad_input(stub_experiment, tmp_path, capsys):
    (tmp_path / "energy.csv").write_text("precious")
    assert cli.main(["train.py", "--n_particles=2", f"--run_dir={tmp_path}"]) == 2
    assert capsys.readouterr().err.startswith(f"error: run_dir = '{tmp_path}': not empty")
    assert (tmp_path / "energy.csv").read_text() == "precious"


@pytest.mark.parametrize(
    ("stop_reason", "status"),
    [("iterations", 0), ("max_seconds", 0), ("failed", 3), ("interrupted", 130), (KeyboardInterrupt(), 130)],
)
def test_exit_status(stop_reason, status, stub_experiment):
    stub_experiment.stop_reason = stop_reason
    assert cli.main(["train.py", "--n_particles=2"]) == status
    assert len(stub_experiment.calls) == 1


def test_a_run_that_ends_before_its_training_leaves_no_folder(stub_experiment, tmp_path):
    stub_experiment.stop_reason = KeyboardInterrupt()
    assert cli.main(["train.py", "--n_particles=2", "--run_dir=new/run"]) == 130
    assert not list(tmp_path.iterdir())


def test_other_errors_are_not_swallowed(stub_experiment):
    stub_experiment.stop_reason = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        cli.main(["train.py", "--n_particles=2"])


@pytest.mark.parametrize(
    ("arguments", "run_dir"),
    [
        (["--config=thesis"], "runs/thesis-"),
        (["--n_particles=2"], "runs/run-"),
        (["--n_particles=2", "--run_dir=here"], "here"),
    ],
)
def test_the_experiment_gets_a_run_folder(arguments, run_dir, stub_experiment):
    assert cli.main(["train.py", *arguments]) == 0
    (settings,) = stub_experiment.calls
    assert settings.run.run_dir.startswith(run_dir)
    assert settings.system == cli.parse(["train.py", *arguments]).system


@pytest.mark.parametrize(("flag", "text"), [("--help", "--n_particles"), ("--version", "tf-nqs ")])
def test_help_and_version(flag, text, stub_experiment, capsys):
    assert cli.main(["train.py", flag]) == 0
    printed = capsys.readouterr()
    assert text in printed.out and printed.err == ""
    assert not stub_experiment.calls


def test_help_in_a_process(tmp_path):
    finished = run_train("--help", folder=tmp_path)
    assert (finished.returncode, finished.stderr) == (0, "")
    assert "--n_particles" in finished.stdout


def test_the_command_line_does_not_import_tensorflow():
    program = (
        "import sys; from tf_nqs.commands import train; "
        "train.main(['train.py', '--help=all']); train.parse(['train.py', '--config=thesis']); "
        "sys.exit(any(name.partition('.')[0] in ('tensorflow', 'keras', 'scipy') for name in sys.modules))"
    )
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    assert subprocess.run([sys.executable, "-c", program], env=environment, timeout=60, check=False).returncode == 0


def test_a_console_script_reads_the_arguments_of_its_process(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["tf-nqs-train", "--n_particles=0"])
    assert cli.main() == 2
    assert capsys.readouterr().err == "error: n_particles = 0: must be an integer from 1 to 64\n"


def test_stderr_is_silenced_and_restored(capfd):
    os.write(2, b"before ")
    with pytest.raises(ImportError, match="broken"), startup.silenced_stderr():
        os.write(2, b"chatter ")
        raise ImportError("broken")
    os.write(2, b"after")
    assert capfd.readouterr().err == "before after"
