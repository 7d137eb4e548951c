"""`python -m tf_nqs.observe` on several members of a family: their files, one picture, and what is compiled."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from tf_nqs import observe
from tf_nqs.callbacks import save_weights
from tf_nqs.commands import observe_members_run
from tf_nqs.commands.command import main
from tf_nqs.config import settings_from, to_toml
from tf_nqs.experiment.build import build_ansatz
from tf_nqs.observables import compiled_orbitals

FAMILY = {
    "ansatz": "jastrow",
    "n_particles": [2, 3],
    "interaction_strength": [-10.0, 10.0],
    "n_features": 4,
    "n_layers": 1,
    "n_pair_features": 4,
    "n_pair_layers": 1,
    "n_conditions": 4,
    "walkers_per_condition": 16,
    "n_steps": 4,
    "n_burn_in": 40,
    "jit_compile": False,
}


@pytest.fixture
def family(tmp_path):
    """A run folder as a run leaves it, but for the training."""
    folder, settings = tmp_path / "family", settings_from(None, FAMILY)
    keras.utils.set_random_seed(1)
    folder.mkdir()
    (folder / "config.toml").write_text(to_toml(settings.filled()), encoding="utf-8")
    save_weights(build_ansatz(settings), folder / "ansatz.weights.h5")
    return folder


def observed(family, *flags):
    short = ["--evaluation_max_seconds=1", "--reference_max_seconds=0"]
    return main(observe.COMMAND, ["", f"--run_dir={family}", *short, *flags])


@pytest.mark.slow
def test_members_are_measured_by_one_trainer_and_drawn_together(family, monkeypatch, capsys):
    trainers = []
    monkeypatch.setattr(
        observe_members_run, "compiled_orbitals", lambda vmc: trainers.append(vmc) or compiled_orbitals(vmc)
    )
    assert observed(family, "--n_particles=2,3", "--interaction_strength=-1,0,1") == 0
    assert [vmc.system.n_particles for vmc in trainers] == [2, 3]
    for vmc in trainers:
        assert vmc.phases.sample.experimental_get_tracing_count() == 1
        assert vmc.phases.local_energy.experimental_get_tracing_count() == 1
    printed = capsys.readouterr().out
    assert printed.count("samples; written: ") == 6 and "A = 3, V0 = -1" in printed and "Peak density" in printed
    assert (family / "observables_A2to3_V-1to1_s0.5.png").stat().st_size > 0
    for number in (2, 3):
        energies = []
        for strength in (-1, 0, 1):
            assert (family / f"observables_A{number}_V{strength}_s0.5" / "density.png").is_file()
            with np.load(family / f"observables_A{number}_V{strength}_s0.5.npz") as file:
                assert len(file["x"]) % 32 == 1
                np.testing.assert_allclose((file["x"][1] - file["x"][0]) * file["density"].sum(), number, rtol=1e-6)
                energies.append(float(file["interaction"]))
        assert energies[0] < energies[1] == 0 < energies[2]  # each is measured with its own strength


@pytest.mark.slow
def test_an_interruption_says_how_many_members_have_files(family, monkeypatch, capsys):
    measure, calls = observe_members_run.measure_and_write, []

    def interrupted(*arguments):
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return measure(*arguments)

    monkeypatch.setattr(observe_members_run, "measure_and_write", interrupted)
    assert observed(family, "--n_particles=2", "--interaction_strength=-1:1:3") == 130
    message = "interrupted; 1 of 3 members were measured and have files; there is no picture\n"
    assert capsys.readouterr().err == message
    assert (family / "observables_A2_V-1_s0.5.npz").is_file() and not list(family.glob("*.png"))
