"""What the flags of a curve spell, and what they refuse."""

from __future__ import annotations

import json
import socket

import numpy as np
import pytest

from tf_nqs import curve
from tf_nqs.commands import command
from tf_nqs.commands.curve_flags import parameter_flags, read_numbers, read_range, request_of
from tf_nqs.commands.flags import parse, switch_flag
from tf_nqs.config import SettingsError, settings_from, to_toml
from tf_nqs.config.errors import shown
from tf_nqs.runtime import startup


def test_a_range_has_both_ends_and_even_steps():
    values = read_range("-20:20:41")
    assert values == tuple(range(-20, 21))
    assert read_range("0:1:11") == tuple(k / 10 for k in range(11))  # as they are written
    assert read_range("-0.1:0.3:3") == (-0.1, 0.1, 0.3)
    assert read_range("1:2:2") == (1.0, 2.0)
    np.testing.assert_allclose(read_range("0.25:1:8"), np.linspace(0.25, 1, 8), rtol=1e-12)
    np.testing.assert_allclose(read_range("1e-9:2e-9:5"), np.linspace(1e-9, 2e-9, 5), rtol=1e-9)


def test_a_number_is_a_range_of_one():
    assert read_range("7.3") == (7.3,)
    assert read_range("-1e1") == (-10.0,)


@pytest.mark.parametrize(
    "text",
    [
        *("1:1:5", "2:1:5", "1:2:1", "1:2:0", "1:2:-3", "1:2:2.5", "1:2", "1:2:3:4", "1:2:10001", "1:2:x", "1:b:3"),
        *(
            "",
            ":",
            "::",
            "a",
            "nan",
            "inf",
            "0:inf:3",
            "nan:1:3",
            "1,2",
            "1_0",
            "0:1_0:3",
            "10:10.000000000001:41",
            "\N{ARABIC-INDIC DIGIT THREE}",
        ),
    ],
)
def test_no_range(text):
    with pytest.raises(ValueError):
        read_range(text)


def test_a_list_of_numbers_of_particles():
    assert read_numbers("2,3,4") == (2, 3, 4)
    assert read_numbers("6") == (6,)


@pytest.mark.parametrize("text", ["", "2,2", "0", "2,-1", "2,,3", "2:4:3", "2.5", "a", ",", "1_0"])
def test_no_list(text):
    with pytest.raises(ValueError):
        read_numbers(text)


def test_flags_of_parameters_read_ranges_and_lists():
    flags = [*parameter_flags(), switch_flag("help", ""), switch_flag("version", "")]
    arguments = ["--n_particles=2,3", "--interaction_strength=-2:2:5", "--interaction_range=0.5"]
    given = parse(flags, ["", *arguments])
    assert given.own == {
        "n_particles": (2, 3),
        "interaction_strength": (-2.0, -1.0, 0.0, 1.0, 2.0),
        "interaction_range": (0.5,),
    }
    with pytest.raises(SettingsError) as refusal:
        parse(flags, ["", "--interaction_strength=1:1:5"])
    assert str(refusal.value) == (
        "interaction_strength = '1:1:5': must be a number, or low:high:number of points, as -20:20:41, "
        "with low < high, from 2 to 10000 points"
    )


@pytest.fixture
def family(tmp_path):
    """Folder of the run of a family, as far as the flags need it."""
    folder = tmp_path / "family"
    folder.mkdir()
    settings = settings_from(None, {"n_particles": 2, "interaction_strength": [-2.0, 2.0], "ansatz": "jastrow"})
    (folder / "config.toml").write_text(to_toml(settings.filled()), encoding="utf-8")
    (folder / "ansatz.weights.h5").touch()
    return folder


def refusal(folder, *flags):
    arguments = ["", f"--run_dir={folder}", "--interaction_strength=1", *flags]
    with pytest.raises(SettingsError) as refused:
        request_of(command.read(curve.COMMAND, arguments))
    return str(refused.value)


def test_flags_that_the_strategy_would_ignore(family):
    assert refusal(family, "--n_devices=4") == (
        "n_devices = 4 contradicts strategy = none: must be left out, or strategy be mirrored"
    )
    assert refusal(family, "--worker_timeout=5").startswith("worker_timeout = 5.0 contradicts strategy = none")


def test_what_a_curve_compiles_is_kept(family, monkeypatch):
    shapes = []
    monkeypatch.setattr(startup, "call_with_tensorflow", lambda *_, shape=None: shapes.append(shape))
    for more in ((), ("--strategy=mirrored",)):
        assert command.main(curve.COMMAND, ["", f"--run_dir={family}", "--interaction_strength=1", *more]) == 0
    assert shapes[0] is not None and shapes[1] is None  # the devices are a part of what is compiled for them


def test_a_file_of_references_that_would_be_ignored(family):
    file = family / "config.toml"
    assert refusal(family, f"--references={file}", "--reference=none") == (
        f"references = {shown(str(file))}: has no meaning with reference = none; must be left out, or reference be "
        "auto, exact or diffusion"
    )


def test_a_port_in_use_is_refused_before_tensorflow_is_loaded(family, monkeypatch):
    with socket.socket() as other:
        other.bind(("", 0))
        other.listen()
        worker = f"localhost:{other.getsockname()[1]}"
        cluster = {"cluster": {"worker": [worker]}, "task": {"type": "worker", "index": 0}}
        monkeypatch.setenv("TF_CONFIG", json.dumps(cluster))
        assert "is in use" in refusal(family, "--strategy=multi_worker")
