"""What users read is words, not identifiers of files and code."""

from __future__ import annotations

import pytest

from tf_nqs.analysis.report import result_table
from tf_nqs.analysis.words import REFERENCE_WORDS, STOP_WORDS
from tf_nqs.commands.figures_request import request_of
from tf_nqs.commands.flags import Given
from tf_nqs.config import settings_from
from tf_nqs.config.errors import SettingsError, shown_setting
from tf_nqs.exact import Reference
from tf_nqs.experiment.opening import reference_line


@pytest.mark.parametrize(
    ("reference", "line"),
    [
        (Reference(8.0, "free_fermions", 0.0), "reference energy 8.000000 (free fermions, exact)"),
        (Reference(2.425619, "relative_coordinate", 1e-10), "reference energy 2.425619 (relative coordinate, exact)"),
        (
            Reference(10.891422, "diagonalisation", 1.7e-5),
            "reference energy 10.891422(17) (diagonalisation, upper bound)",
        ),
        (Reference(54.4, "closed_form", 0.0), "reference energy 54.400000 (closed form, exact)"),
        (Reference(None, "none", None), "no exact reference for this system"),
    ],
)
def test_a_reference_is_told_in_words(reference, line):
    assert reference_line(reference) == line


def test_more_particles_than_a_reference_can_have_are_named():
    none, many = Reference(None, "none", None), {"n_particles": 8, "interaction_strength": 5.0}
    hint = "; python -m tf_nqs.diffuse computes one for a finished run"
    line = f"no exact reference for n_particles = 8: up to 6 only{hint}"
    assert reference_line(none, settings_from(None, many)) == line
    other = settings_from(None, many | {"interaction": "soft_coulomb"})
    assert reference_line(none, other) == f"no exact reference for this system{hint}"
    unbound = settings_from(None, {"n_particles": 4, "interaction_strength": -5.0, "trap": "none"})
    assert reference_line(none, unbound) == "no exact reference for this system"  # where nobody computes one


def test_every_stop_reason_has_words():
    for reason, words in STOP_WORDS.items():
        table = result_table({"stop_reason": reason}, ascii_only=True, styled=False)
        assert words in table and (reason == words or reason not in table)
    assert all("_" not in words for words in (*STOP_WORDS.values(), *REFERENCE_WORDS.values()))


def test_a_setting_that_was_left_out_is_not_set():
    assert shown_setting(None) == "(not set)"
    assert shown_setting("None") == "'None'" and shown_setting(True) == "true"


@pytest.mark.parametrize(("name", "meant"), [("fig1", ""), ("fig14", ""), ("figg13", "; did you mean fig13?")])
def test_another_figure_is_not_what_was_meant(name, meant):
    with pytest.raises(SettingsError) as refusal:
        request_of(Given({}, {}, (name,)))
    assert "no such figure" in str(refusal.value)
    assert str(refusal.value).endswith(meant or "fig13")
