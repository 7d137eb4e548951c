"""A family in small, by the command line: its run folder, its resume, a member of it; and its exported model."""

from __future__ import annotations

import csv
import json
import signal

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_nqs
from tf_nqs import evaluate
from tf_nqs.analysis import read_metrics
from tf_nqs.callbacks import IterationCallback
from tf_nqs.commands import train as cli
from tf_nqs.commands.command import main
from tf_nqs.config import load_toml
from tf_nqs.exact import two_particle_energy
from tf_nqs.experiment.run import run
from tf_nqs.storage.checkpoints import newest_checkpoint

SIZES = {"n_features": 4, "n_layers": 1, "n_pair_features": 4, "n_pair_layers": 1}
FLAGS = (
    *("train.py", "--n_particles=2", "--interaction_strength=-3:5", "--n_conditions=3", "--walkers_per_condition=8"),
    *("--ansatz=jastrow", *(f"--{name}={size}" for name, size in SIZES.items()), "--n_steps=2", "--n_burn_in=10"),
    *("--iterations=3", "--iterations_per_call=1", "--nojit_compile", "--quiet"),
)


@pytest.fixture(scope="module")
def family(tmp_path_factory):
    """Folder of a run of three iterations."""
    folder = tmp_path_factory.mktemp("family") / "run"
    assert cli.main([*FLAGS, f"--run_dir={folder}"]) == 0
    return folder


def test_the_run_folder(family):
    settings = load_toml(family / "config.toml")
    assert settings.is_family and settings.sampling.n_walkers == 24
    assert np.isfinite(read_metrics(family / "metrics.csv")["energy"]).tolist() == [True] * 3
    result = json.loads((family / "result.json").read_text(encoding="utf-8"))
    assert (result["energy"], result["reference_energy"], result["stop_reason"]) == (None, None, "iterations")
    strengths = np.array([member["interaction_strength"] for member in result["members"]])
    # A third of the range, which is longer by a twentieth at each end, for each.
    assert np.all(np.floor((strengths + 3.4) / 8.8 * 3) == [0, 1, 2])
    header = next(csv.reader((family / "conditions.csv").read_text(encoding="utf-8").splitlines()))
    assert set(header) >= {"iteration", "interaction_strength", "energy", "energy_error", "variance"}


class Terminate(IterationCallback):
    """Sends SIGTERM to this process after the second iteration."""

    def on_iterations(self, rows):
        if rows["iteration"][-1] == 2:
            signal.raise_signal(signal.SIGTERM)


def test_terminated_and_resumed_it_ends_the_same_bit_by_bit(family, tmp_path):
    """SIGTERM leaves a checkpoint; there is no other before the end."""
    folder = tmp_path / "run"
    config = tmp_path / "config.toml"
    config.write_text((family / "config.toml").read_text(encoding="utf-8").replace(str(family), str(folder)))
    with pytest.raises(SystemExit) as ended:
        run(load_toml(config), [Terminate()])
    assert ended.value.code == 128 + signal.SIGTERM and not (folder / "result.json").exists()
    assert newest_checkpoint(folder / "checkpoints").facts["iteration"] == 2
    assert cli.main([*FLAGS, f"--run_dir={folder}", "--resume"]) == 0
    before, after = (read_metrics(one / "metrics.csv") for one in (family, folder))
    for name in before.keys() - {"seconds"}:
        np.testing.assert_array_equal(before[name], after[name])
    for old, new in zip(*(tf_nqs.load(one).ansatz.get_weights() for one in (family, folder)), strict=True):
        np.testing.assert_array_equal(old, new)
    members = (json.loads((one / "result.json").read_text(encoding="utf-8"))["members"] for one in (family, folder))
    assert next(members) == next(members)


def test_a_member_is_measured_in_a_file_of_its_own(family):
    before = (family / "result.json").read_bytes()
    flags = ["--interaction_strength=1.5", "--evaluation_max_seconds=0.3", "--quiet"]
    assert main(evaluate.COMMAND, ["", f"--run_dir={family}", *flags]) == 0
    found = json.loads((family / "evaluation_A2_V1.5_s0.5.json").read_text(encoding="utf-8"))
    assert found["reference_kind"] == "relative_coordinate"
    assert found["reference_energy"] == pytest.approx(two_particle_energy(1.5, 0.5)[0], abs=1e-9)
    assert abs(found["energy"] - found["reference_energy"]) < 0.5  # after three iterations
    assert not (family / "evaluation.json").exists() and (family / "result.json").read_bytes() == before


@pytest.mark.slow
def test_the_exported_model_is_called_with_positions_and_strength(tmp_path):
    family = tf_nqs.FermionFamily(2, (-3.0, 5.0))
    keras.utils.set_random_seed(1)
    ansatz = tf_nqs.JastrowAnsatz(2, **SIZES, conditions=family.conditions, dtype="float64")
    for weight in ansatz.trainable_variables:  # the heads start at zero
        weight.assign_add(0.2 * tf.random.normal(weight.shape, dtype=weight.dtype))
    tf_nqs.export(ansatz, family, tmp_path / "family")
    log_psi = tf.saved_model.load(str(tmp_path / "family" / "1")).signatures["log_psi"]
    x, found = tf.constant([[-0.8, 0.9], [1.3, 0.4]], tf.float64), {}
    for strength in (-2.0, 4.0):
        given = {"interaction_strength": tf.constant(strength, x.dtype), "interaction_range": tf.constant(0.5, x.dtype)}
        found[strength] = log_psi(positions=x, **given)
        sign, log_abs = ansatz.member(2, strength, 0.5)(x)
        np.testing.assert_array_equal(found[strength]["sign"], sign)
        np.testing.assert_allclose(found[strength]["log_abs_psi"], log_abs, rtol=1e-11, atol=1e-12)
    assert np.max(np.abs(found[-2.0]["log_abs_psi"] - found[4.0]["log_abs_psi"])) > 1e-3
