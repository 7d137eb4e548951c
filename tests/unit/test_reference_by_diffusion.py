"""The setting `reference`: when a run computes an exact energy, and what becomes of a diffusion that fails."""

from __future__ import annotations

import types

import numpy as np
import pytest

import tf_nqs
from tf_nqs.config import SettingsError, settings_from
from tf_nqs.config.chain import chain_from
from tf_nqs.diffusion import DiffusionEnergy
from tf_nqs.exact import Reference
from tf_nqs.experiment import diffusion, diffusion_guide
from tf_nqs.experiment.opening import reference_line
from tf_nqs.experiment.preflight import check_chain, check_run
from tf_nqs.runtime.exit_status import WorkFailedError
from tf_nqs.storage.run_folder import RunFolder

NONE = Reference(None, "none", None)
FOUND = Reference(2.5, "diffusion", 0.01)


def settings_with(reference):
    return settings_from(None, {"n_particles": 2, "reference": reference})


@pytest.mark.parametrize(
    ("stop_reason", "outcome", "expected", "message"),
    [
        ("iterations", FOUND, FOUND, ""),
        ("iterations", FOUND._replace(uncertainty=float("inf")), NONE, ""),
        ("failed", AssertionError("not to be called"), NONE, ""),
        ("interrupted", AssertionError("not to be called"), NONE, ""),
        ("iterations", WorkFailedError("no walker is left"), NONE, "no reference by diffusion: no walker is left"),
        ("iterations", KeyboardInterrupt(), NONE, "python -m tf_nqs.diffuse continues it"),
    ],
)
def test_a_diffusion_that_fails_leaves_the_run_without_a_reference(
    stop_reason, outcome, expected, message, tmp_path, monkeypatch, messages
):
    def diffuse(folder, system, ansatz, settings, measured):
        assert measured == {"energy": 2.6, "energy_error": None}  # nan is unknown
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    monkeypatch.setattr(diffusion, "diffuse", diffuse)
    vmc = types.SimpleNamespace(stop_reason=stop_reason, system=None, ansatz=None)
    measurement = types.SimpleNamespace(energy=2.6, energy_error=float("nan"))
    found = diffusion.reference_by_diffusion(vmc, settings_with("diffusion"), RunFolder(tmp_path), measurement)
    assert found == expected
    assert not message or messages[-1].endswith(message)


@pytest.mark.parametrize(
    ("reference", "line"),
    [
        ("none", "no reference, as reference = none"),
        ("diffusion", "the reference energy is computed by diffusion after the training"),
        ("exact", "no exact reference for this system"),
        ("auto", "no exact reference for this system; python -m tf_nqs.diffuse computes one for a finished run"),
    ],
)
def test_why_there_is_no_reference_yet(reference, line):
    assert reference_line(NONE, settings_with(reference)) == line


def test_a_training_without_a_trap_cannot_end_with_a_diffusion():
    bound = {"n_particles": 2, "interaction_strength": -9.0, "trap": "none", "reference": "diffusion"}
    line = r"^reference = diffusion contradicts trap = none: must be auto, exact or none$"
    with pytest.raises(SettingsError, match=line):
        check_run(settings_from(None, bound), resume=False)


def test_no_stage_of_a_chain_without_a_trap_can_either(tmp_path):
    config = tmp_path / "chain.toml"
    config.write_text(
        'n_particles = 2\ninteraction_strength = -9.0\nreference = "diffusion"\n[[stage]]\n[[stage]]\ntrap = "none"\n'
    )
    with pytest.raises(SettingsError, match=r"^stage 2: reference = diffusion contradicts trap = none: must be"):
        check_chain(chain_from(config, {}, str(tmp_path / "new")))


def test_a_system_without_a_run_has_one_too(monkeypatch):
    """With the guide that fits: that of an ansatz without other nodes, else free fermions."""
    guides = []

    def energy(guide, positions, **options):
        guides.append((positions.dtype.name, options["target_error"]))
        return DiffusionEnergy(2.5, 0.01, [])

    monkeypatch.setattr(diffusion_guide, "diffusion_energy", energy)
    system = tf_nqs.TrappedFermions(2, 0.0)
    for ansatz in (tf_nqs.JastrowAnsatz(2, n_features=4), tf_nqs.FermionAnsatz(2, n_features=4), None):
        found = diffusion_guide.diffused_reference(system, ansatz, 0.02, walkers=np.eye(2), jit_compile=False)
        assert found == FOUND
    assert guides == [("float32", 0.02), ("float64", 0.02), ("float64", 0.02)]
