"""A file of exact energies, as `curve --references` takes it."""

from __future__ import annotations

import pytest

from tf_nqs.commands.family_curve_run import read_references
from tf_nqs.config import SettingsError
from tf_nqs.exact import Reference

HEADER = "n_particles,interaction_strength,interaction_range,reference_energy,reference_uncertainty,kind\n"


@pytest.fixture
def file(tmp_path):
    return tmp_path / "references.csv"


def test_energies_are_read_by_their_systems(file):
    file.write_text(HEADER + "2,-1.0,0.5,1.5,1e-6,relative_coordinate\n3,1,,nan,nan,none\n4,1,,,,none\n")
    assert read_references(file) == {(2, -1.0, 0.5): Reference(1.5, "relative_coordinate", 1e-6)}


@pytest.mark.parametrize("uncertainty", ["nan", "inf", "-1e-6", "x", ""])
def test_an_energy_without_an_uncertainty_is_refused(uncertainty, file):
    """Before anything is measured: the file of a point could not hold it."""
    file.write_text(HEADER + f"2,-1.0,0.5,1.5,{uncertainty},relative_coordinate\n")
    with pytest.raises(SettingsError, match=r"^references = .*: cannot be read \(.*\)$"):
        read_references(file)
