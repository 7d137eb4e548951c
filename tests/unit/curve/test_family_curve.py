"""What `python -m tf_nqs.curve` says about members of a family that have no exact energy."""

from __future__ import annotations

import types

import pytest

from tf_nqs.commands import family_curve_run
from tf_nqs.commands.curve_flags import FamilyCurveRequest
from tf_nqs.config import settings_from, to_toml
from tf_nqs.storage.run_folder import RunFolder


@pytest.mark.parametrize(
    ("trap", "reference", "is_advised"),
    [
        ("harmonic", "auto", True),
        ("harmonic", "exact", False),
        ("harmonic", "diffusion", False),
        ("none", "auto", False),
    ],
)
def test_a_diffusion_is_advised_where_it_is_possible(trap, reference, is_advised, tmp_path, monkeypatch):
    settings = settings_from(None, {"n_particles": 2, "interaction_strength": [-9.0, -5.0], "trap": trap})
    (tmp_path / "config.toml").write_text(to_toml(settings.filled()), encoding="utf-8")
    run, said = types.SimpleNamespace(settings=settings), []
    monkeypatch.setattr(family_curve_run, "read_run", lambda folder: run)
    monkeypatch.setattr(family_curve_run, "digest_of_weights", lambda run: "")
    monkeypatch.setattr(family_curve_run, "MemberTrainers", lambda *arguments: None)
    monkeypatch.setattr(family_curve_run, "wave_functions_of_members", lambda run: None)
    monkeypatch.setattr(family_curve_run, "make_and_say", lambda *arguments: said.append(arguments[-1]))
    request = FamilyCurveRequest(RunFolder(tmp_path), ((2, -6.0, 0.5),), {}, reference, None)
    family_curve_run.curve_of_family(request)
    assert said == ["--reference=diffusion can compute it" if is_advised else ""]
