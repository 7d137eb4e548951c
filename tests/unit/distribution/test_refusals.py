"""What a run on several devices refuses before TensorFlow is loaded: one line, status 2, nothing written."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

import tf_nqs
from tf_nqs.commands import train as cli
from tf_nqs.config import SettingsError, settings_from
from tf_nqs.config.distribution import check_divisible
from tf_nqs.config.search import search_from
from tf_nqs.experiment.preflight import check_spread, shared_text
from tf_nqs.runtime import startup

SHARED = ["--n_particles=2", "--strategy=multi_worker", "--run_dir=runs/shared"]
ONE = {"cluster": {"worker": ["localhost:1"]}, "task": {"type": "worker", "index": 0}}


@pytest.fixture
def refused(monkeypatch, tmp_path, capsys):
    """Function that runs `train.py` in an empty folder, and returns its line after checking that nothing happened."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TF_CONFIG", raising=False)
    monkeypatch.setattr(startup, "call_with_tensorflow", lambda *_, **__: pytest.fail("TensorFlow was loaded"))

    def line(*arguments):
        assert cli.main(["train.py", *arguments]) == 2
        printed = capsys.readouterr()
        assert printed.out == "" and printed.err.count("\n") == 1 and not list(tmp_path.iterdir())
        return printed.err.removeprefix("error: ").rstrip()

    return line


def test_a_strategy_without_cluster(refused):
    assert refused(*SHARED).startswith("strategy = multi_worker: there is no cluster; must be given by TF_CONFIG")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("cluster:", "TF_CONFIG = 'cluster:': is not JSON"),
        (json.dumps(ONE | {"task": {"type": "worker", "index": 1}}), "TF_CONFIG: this process is worker 1, which is"),
        (json.dumps(ONE | {"cluster": {"worker": []}}), "TF_CONFIG: has no list of workers; must be"),
    ],
)
def test_a_cluster_that_cannot_be(refused, monkeypatch, text, line):
    monkeypatch.setenv("TF_CONFIG", text)
    assert refused(*SHARED).startswith(line)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (SHARED[:-1], "run_dir: must be given; with strategy = multi_worker a folder that all workers see"),
        (
            ["--n_particles=2", "--n_devices=2"],
            "n_devices = 2 contradicts strategy = none: must be left out, or strategy",
        ),
        (
            ["--n_particles=2", "--strategy=mirrored", "--worker_timeout=9"],
            "worker_timeout = 9.0 contradicts strategy = mirrored: must be left out, or strategy be multi_worker",
        ),
        ([*SHARED, "--profile"], "profile = true contradicts strategy = multi_worker: must be false, or strategy be"),
        ([*SHARED, "--reference=diffusion"], "reference = diffusion contradicts strategy = multi_worker: must be"),
        (
            ["--n_particles=2", "--strategy=mirrored", "--profile", "--run_dir=x"],
            "profile = true contradicts strategy = mirrored: must be false, or strategy be none",
        ),
        (
            ["--config=chain_thesis_frozen", "--n_devices=2", "--run_dir=x"],
            "stage 1: n_devices = 2 contradicts strategy = none: must be left out, or strategy be mirrored",
        ),
        (
            ["--config=chain_thesis_frozen", "--strategy=multi_worker", "--run_dir=x"],
            "stage 1: strategy = multi_worker: cannot be used in a chain, whose stages are processes of their own",
        ),
    ],
)
def test_what_several_workers_cannot_do(refused, monkeypatch, arguments, line):
    monkeypatch.setenv("TF_CONFIG", json.dumps(ONE))
    assert refused(*arguments).startswith(line)


@pytest.mark.parametrize(
    ("arguments", "number", "hint"),
    [
        (["--n_particles=2", "--strategy=mirrored", "--n_devices=3", "--run_dir=x"], 3, "999 or 1002"),
        (SHARED, 3, "999 or 1002"),
        (["--config=CHAIN"], 3, "999 or 1002"),
    ],
)
def test_walkers_that_are_not_divisible(refused, monkeypatch, tmp_path_factory, arguments, number, hint):
    three = {"worker": [f"localhost:{port}" for port in (1, 2, 3)]}
    monkeypatch.setenv("TF_CONFIG", json.dumps(ONE | {"cluster": three}))
    chain = tmp_path_factory.mktemp("chain") / "chain.toml"
    chain.write_text('n_particles = 2\nstrategy = "mirrored"\nn_devices = 3\n' + 2 * "[[stage]]\niterations = 5\n")
    arguments = [one.replace("CHAIN", str(chain)) for one in arguments]
    line = refused(*arguments, "--n_walkers=1000").removeprefix("stage 1: ")
    assert line == f"n_walkers = 1000: must be a multiple of {number}, the number of replicas, such as {hint}"


def test_a_port_in_use(refused, monkeypatch):
    with socket.socket() as other:
        other.bind(("", 0))
        other.listen()
        port = other.getsockname()[1]
        monkeypatch.setenv("TF_CONFIG", json.dumps(ONE | {"cluster": {"worker": [f"localhost:{port}"]}}))
        assert refused(*SHARED) == f"TF_CONFIG: port {port} of worker 0 is in use; must be a free one"


def test_a_folder_that_was_claimed_is_taken_back(monkeypatch, tmp_path, capsys):
    """Where only TensorFlow knows what is wrong: how many devices there are."""
    monkeypatch.chdir(tmp_path)

    def run_in(target, folder, settings, **options):
        assert Path(folder.path).is_dir()
        check_spread(settings, 7)

    monkeypatch.setattr(startup, "call_with_tensorflow", run_in)
    assert cli.main(["train.py", "--n_particles=2", "--strategy=mirrored", "--n_walkers=100", "--run_dir=new/run"]) == 2
    assert capsys.readouterr().err == (
        "error: n_walkers = 100: must be a multiple of 7, the number of replicas, such as 98 or 105\n"
    )
    assert not list(tmp_path.iterdir())


def test_a_call_of_the_library_is_refused_too():
    with pytest.raises(SettingsError, match="run_dir: must be given; with strategy = multi_worker"):
        tf_nqs.run(settings_from(None, {"n_particles": 2, "strategy": "multi_worker"}))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"strategy": "multi_worker"}, "strategy = multi_worker: cannot be used in a search, whose trials are process"),
        ({"space": {"strategy": {"choices": ["none", "mirrored"]}}}, "strategy: cannot be searched, the settings in"),
    ],
)
def test_what_a_search_cannot_do(given, message, tmp_path):
    space = given.pop("space", {"n_layers": {"choices": [1, 2]}})
    lines = ["n_particles = 2", *(f"{name} = {json.dumps(value)}" for name, value in given.items()), "[search.space]"]
    for name, value in space.items():
        lines.append(f"{name} = {{choices = {json.dumps(value['choices'])}}}")
    config = tmp_path / "search.toml"
    config.write_text("\n".join(lines))
    with pytest.raises(SettingsError) as error:
        search_from(config)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    ("number", "n_replicas", "hint"), [(1000, 3, "999 or 1002"), (2, 4, "4"), (1024, 4, None), (5, 1, None)]
)
def test_equal_parts(number, n_replicas, hint):
    if hint is None:
        check_divisible("n_walkers", number, n_replicas)
        return
    with pytest.raises(SettingsError) as error:
        check_divisible("n_walkers", number, n_replicas)
    message = f"n_walkers = {number}: must be a multiple of {n_replicas}, the number of replicas, such as {hint}"
    assert str(error.value) == message


def test_walkers_of_a_family_are_those_of_all_conditions():
    family = settings_from("family", {"n_conditions": 6, "walkers_per_condition": 8})
    check_spread(family, 4)
    with pytest.raises(SettingsError, match=r"n_conditions \* walkers_per_condition = 48: must be a multiple of 5"):
        check_spread(family, 5)
    with pytest.raises(SettingsError, match=r"n_walkers = 48: must be a multiple of 5"):
        check_spread(settings_from(None, {"n_particles": 2, "n_walkers": 48}), 5)


def test_what_workers_must_share():
    """All settings but quiet; every one of them may decide how often the workers talk to each other."""
    settings = settings_from(None, {"n_particles": 2})

    def text(**changed):
        return shared_text(settings_from(None, {"n_particles": 2, **changed}), False)

    assert text() == text(quiet=True) == shared_text(settings, False)
    for changed in ({"seed": 1}, {"iterations": 7}, {"jit_compile": False}, {"run_dir": "x"}, {"worker_timeout": 1.0}):
        assert text(**changed) != text()
    assert shared_text(settings, True) != text()
