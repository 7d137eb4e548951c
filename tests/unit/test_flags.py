"""One parser for the flags of all commands: what a flag without a value means, lists, errors of one form."""

from __future__ import annotations

from typing import Annotated, Literal

import pytest
from pydantic import Field

from tf_nqs.commands.command import Command, help_text, read
from tf_nqs.commands.flags import Flag, choice_flag, setting_flag, switch_flag
from tf_nqs.config import SettingsError
from tf_nqs.config.fields import Forms
from tf_nqs.config.section import Section
from tf_nqs.config.settings import checked


class Places(Section):
    """A section with a flag that has names, and meanings without one."""

    trap: Annotated[bool | Literal["harmonic", "none", "box"], Forms("harmonic", "none")] = Field(
        "harmonic", description="Shape of the trap."
    )


def counts(text):
    return tuple(int(part) for part in text.split(","))


FLAGS = [
    setting_flag("trap", Places.model_fields["trap"]),
    setting_flag("n_walkers"),
    Flag("particles", "Numbers of particles.", "integers with commas between them", read=counts),
    choice_flag("format", "Format.", ("png", "pdf", "svg")),
    switch_flag("overwrite", "Replace.", label="--[no]overwrite"),
    Flag("output", "Where to write.", "a file name", is_required=True),
]
COMMAND = Command("name", "program", "summary", "usage", lambda: FLAGS, lambda given: None)


def given(*arguments):
    return read(COMMAND, ["program", "--output=x", *arguments])


def refusal(*arguments):
    with pytest.raises(SettingsError) as caught:
        given(*arguments)
    return str(caught.value)


@pytest.mark.parametrize(
    ("argument", "value"),
    [("--trap", "harmonic"), ("--notrap", "none"), ("--trap=true", "harmonic"), ("--trap=box", "box")],
)
def test_a_flag_without_a_value_means_what_its_field_says(argument, value):
    assert given(argument).settings == {"trap": value}


def test_a_flag_with_names_takes_its_value_in_one_argument():
    assert refusal("--trap=cone") == "trap = 'cone': must be true or false, or one of harmonic, none, box"
    assert refusal("--trap", "box") == "'box': unexpected argument; must be given as --setting=value"
    assert refusal("--notrap=box").startswith("--notrap=box does not take an argument; must be true or false, or one")


def test_help_shows_both_forms():
    text = " ".join(help_text(COMMAND).split())
    assert "--[no]trap Shape of the trap. (true or false, or one of harmonic, none, box; " in text
    assert "--trap alone is harmonic, --notrap is none; default: harmonic)" in text
    assert "--format Format. (png, pdf or svg; default: png)" in text


def test_a_flag_may_have_a_reader_of_its_own():
    assert given("--particles=2,3,4").own["particles"] == (2, 3, 4)
    assert refusal("--particles=2,x") == "particles = '2,x': must be integers with commas between them"


def test_settings_and_own_flags_are_told_apart():
    found = given("--n_walkers=4", "--nooverwrite", "--format=pdf")
    assert found.settings == {"n_walkers": 4}
    assert found.own == {"output": "x", "overwrite": False, "format": "pdf"}


def test_what_is_missing_is_named_unless_help_is_asked_for():
    with pytest.raises(SettingsError, match=r"^output: must be given; a file name$"):
        read(COMMAND, ["program"])
    assert read(COMMAND, ["program", "-h", "--format=jpg"]).own == {"help": "short"}
    assert read(COMMAND, ["program", "--version"]).own == {"version": True}
    assert given("--help=false").own["help"] == ""


def test_a_setting_is_checked_by_itself():
    assert checked("interaction_strength", 5) == 5.0
    for name, value, line in (
        ("trap", "cone", "trap = 'cone': must be one of harmonic, none, double_well, quartic, or true or false"),
        ("release_at", -1, "release_at = -1: must be an integer from 0 to 1000000000"),
        ("run_dir", None, "run_dir = None: must be non-empty text without control characters"),
    ):
        with pytest.raises(SettingsError) as caught:
            checked(name, value)
        assert str(caught.value) == line
    assert checked("release_at", 5) == 5  # though it contradicts freeze_equivariant
