"""What a run says of its own energy, on the terminal and in result.json."""

from __future__ import annotations

import json

import pytest

from tests.integration.test_train import UNPRETRAINED, arguments, read
from tf_nqs.commands import train as cli


def test_unmixed_chains_give_no_error_and_say_so(tmp_path, capsys):
    """Single steps, no burn-in, no jumps, no time: R-hat stays far above 1.05."""
    unmixed = {"n_steps": 1, "n_burn_in": 0, "global_moves": "false", "evaluation_max_seconds": 0.1}
    more = {"n_particles": 3, "reference_max_seconds": 0, "iterations": 50, "optimizer": "adam", **UNPRETRAINED}
    assert cli.main(arguments(tmp_path / "run", **unmixed, **more)) == 0
    result, _ = read(tmp_path / "run")
    assert result["r_hat"] > 1.05 and result["energy"] is not None
    assert result["energy_error"] is None and result["effective_samples"] is None
    assert (result["in_equilibrium"], result["converged"]) == (False, False)
    assert "have not mixed" in " ".join(result["not_converged_because"])
    said = capsys.readouterr().out
    assert "Verdict" in said and "± unknown" in said
    assert "to improve it: measure longer, with more steps between samples" in said and "--n_steps=2" in said
    assert f"results are in {tmp_path / 'run'}; next:" in said


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {"n_particles": 4, "interaction_strength": 1e4, "interaction_range": 1.0, "reference_max_seconds": 5},
        {"n_particles": 16, "interaction_strength": 0.0, "iterations": 40},
    ],
)
def test_what_is_too_hard_for_the_settings_has_not_converged(settings, tmp_path, capsys):
    command = ["train.py", *(f"--{name}={value}" for name, value in settings.items()), "--evaluation_max_seconds=20"]
    assert cli.main([*command, f"--run_dir={tmp_path / 'run'}"]) in (0, 3)
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["converged"] is False and result["not_converged_because"]
    assert "not converged" in capsys.readouterr().out


@pytest.mark.slow
def test_the_quickstart_has_converged(tmp_path, capsys):
    assert cli.main(["train.py", "--config=quickstart", f"--run_dir={tmp_path / 'run'}"]) == 0
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert (result["converged"], result["not_converged_because"], result["in_equilibrium"]) == (True, [], True)
    assert "to improve it" not in capsys.readouterr().out
