"""What the commands say of themselves: short and complete help, the list of commands, right names for symbols."""

from __future__ import annotations

import importlib
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tf_nqs import __main__ as listing
from tf_nqs import curve, diffuse, evaluate, observe, reproduce, tune
from tf_nqs.commands import export as export_command
from tf_nqs.commands import train as cli
from tf_nqs.config.errors import OTHER_NAMES
from tf_nqs.config.settings import FIELDS

REPOSITORY = Path(__file__).resolve().parents[2]
SCRIPTS = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]

MAINS = {
    "train": cli.main,
    "evaluate": evaluate.main,
    "observe": observe.main,
    "curve": curve.main,
    "diffuse": diffuse.main,
    "export": export_command.main,
    "tune": tune.main,
    "reproduce": reproduce.main,
}


def flags_of(text):
    return {line.split()[0].removeprefix("--").removeprefix("[no]") for line in text.splitlines() if "  --" in line}


def test_the_short_help_has_the_settings_that_people_touch(capsys):
    texts = []
    for argument in ("-h", "--help", "--help=all"):
        assert cli.main(["train.py", argument]) == 0
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1]
    short, complete = flags_of(texts[0]), flags_of(texts[2])
    assert short & FIELDS.keys() == set(cli.MAIN_SETTINGS) and len(cli.MAIN_SETTINGS) == 23
    assert complete >= FIELDS.keys()
    assert texts[0].rstrip().endswith(f"--help=all lists all {len(FIELDS)} settings, and what signals do.")
    assert "SIGHUP" in texts[2] and "SIGHUP" not in texts[0]


@pytest.mark.parametrize("name", MAINS)
@pytest.mark.parametrize("argument", ["-h", "--help", "--help=all"])
def test_every_command_explains_itself(name, argument, capsys):
    assert MAINS[name](["", argument]) == 0
    printed = capsys.readouterr()
    assert "usage: " in printed.out and printed.err == ""


def test_another_value_of_help_is_refused(capsys):
    assert cli.main(["train.py", "--help=everything"]) == 2
    assert capsys.readouterr().err == "error: help = 'everything': must be all, or given without a value\n"


@pytest.mark.parametrize(
    ("flag", "name"),
    [
        ("--A=4", "n_particles"),
        ("--V0=10", "interaction_strength"),
        ("--V_0=10", "interaction_strength"),
        ("--sigma0=0.5", "interaction_range"),
        ("--sigma_0=0.5", "interaction_range"),
        ("--N_w=64", "n_walkers"),
        ("--H=64", "n_features"),
        ("--L=2", "n_layers"),
        ("--D=2", "n_determinants"),
        ("--lr=1e-3", "learning_rate"),
        ("--epochs=10", "iterations"),
        ("--n-particles=4", "n_particles"),
    ],
)
def test_a_symbol_is_answered_by_the_right_name(flag, name, capsys):
    assert cli.main(["train.py", flag]) == 2
    line = capsys.readouterr().err
    assert line == f"error: {flag.partition('=')[0]}: no such flag; did you mean --{name}?\n"


def test_other_names_stand_for_settings():
    assert set(OTHER_NAMES.values()) <= FIELDS.keys()


def test_the_package_lists_its_commands():
    command = [sys.executable, "-m", "tf_nqs"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True, timeout=60)
    assert all(f"  {name} " in done.stdout for name in SCRIPTS)
    assert [command.name for command in listing.COMMANDS] == [*SCRIPTS]


def test_the_list_of_commands_trains_nothing(capsys):
    assert listing.main(["tf_nqs", "--n_particles=2"]) == 2
    line = "error: '--n_particles=2': unexpected argument; python -m tf_nqs lists the commands\n"
    assert capsys.readouterr().err == line


@pytest.mark.parametrize("target", SCRIPTS.values())
def test_console_scripts_can_be_called(target):
    module, _, function = target.partition(":")
    assert callable(getattr(importlib.import_module(module), function))
