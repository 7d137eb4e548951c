"""Settings of a family: ranges and lists in [system], its conditions, one member of it, and what is refused."""

from __future__ import annotations

import math
import tomllib

import pytest

from tf_nqs.commands import train as cli
from tf_nqs.config import Settings, SettingsError, settings_from, to_toml
from tf_nqs.config.chain import chain_from
from tf_nqs.config.family import SCALES, FamilySection
from tf_nqs.config.members import covered_values
from tf_nqs.config.resume import comparable, differences
from tf_nqs.config.search import search_from
from tf_nqs.experiment.contact_zones import check_contact_zones
from tf_nqs.experiment.memory import check_training, sizes_of

FAMILY = {"n_particles": [2, 3, 5], "interaction_strength": [-20.0, 20.0], "interaction_range": [0.25, 1.0]}


def family(**overrides: object) -> Settings:
    return settings_from(None, {"n_particles": 4, "interaction_strength": [-20.0, 20.0]} | overrides)


def refusal(*arguments: str) -> str:
    with pytest.raises(SettingsError) as caught:
        cli.parse(["train.py", *arguments])
    line = str(caught.value)
    assert line.isprintable() and line.strip()
    return line


# --- what is read, and written ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "given"),
    [
        (("--n_particles=4", "--interaction_strength=-20:20"), {"n_particles": 4, "interaction_strength": [-20, 20]}),
        (
            ("--n_particles=4", "--interaction_strength=-20,0,5"),
            {"n_particles": 4, "interaction_strength": [-20, 0, 5]},
        ),
        (("--n_particles=2,3", "--interaction_range=0.3:1"), {"n_particles": (2, 3), "interaction_range": (0.3, 1.0)}),
    ],
)
def test_flags_and_files_give_the_same_family(flags, given, tmp_path):
    settings = cli.parse(["train.py", *flags])
    assert settings.is_family and settings == settings_from(None, given)
    assert settings.family.varied() == {leaf: [*value] for leaf, value in given.items() if not isinstance(value, int)}
    flat = "\n".join(f"{leaf} = {[*value] if not isinstance(value, int) else value}" for leaf, value in given.items())
    (tmp_path / "flat.toml").write_text(flat, encoding="utf-8")
    assert settings_from(tmp_path / "flat.toml") == settings


def test_a_family_names_one_member_and_all_values():
    settings = settings_from(None, FAMILY)
    system, covered = settings.system, settings.family
    assert (system.n_particles, system.interaction_strength, system.interaction_range) == (5, 0.0, 0.5)
    assert (covered.n_particles, covered.interaction_strength, covered.interaction_range) == (
        (2, 3, 5),
        (-20.0, 20.0),
        (0.25, 1.0),
    )
    assert settings_from(
        None, {"n_particles": 4, "interaction_strength": [5.0, -1.0, 0.0]}
    ).family == covered.model_copy(
        update={"n_particles": (4,), "interaction_strength": (5.0, -1.0, 0.0), "interaction_range": (0.5,)}
    )
    assert family(interaction="coth", interaction_strength=[1.0, 2.0]).family.interaction_range == ()
    single = settings_from(None, {"n_particles": 4})
    assert not single.is_family and single.family.n_particles == ()


def test_the_title_names_all_values():
    assert settings_from(None, FAMILY).title() == "A = 2, 3, 5, V0 = -20 to 20, sigma0 = 0.25 to 1"
    assert family(interaction_strength=[5.0, -1.0, 0.5]).title() == "A = 4, V0 = 5, -1, 0.5, sigma0 = 0.5"
    assert family().system.title() == "A = 4, V0 = 0, sigma0 = 0.5"


def test_trained_ranges_are_longer_than_those_asked_for():
    covered = settings_from(None, FAMILY | {"margin": 0.1}).family
    low, high = covered.trained_range()  # two octaves, a tenth of them longer at each end
    assert math.isclose(low, 0.25 * 2**-0.2) and math.isclose(high, 2**0.2)
    assert family(interaction_range=[1.0, 0.5, 2.0]).family.trained_range() == (1.0, 0.5, 2.0)


@pytest.mark.parametrize("kind", ["slater", "jastrow"])
def test_the_config_of_a_family_loads_back(kind, tmp_path):
    settings = settings_from(None, FAMILY | {"ansatz": kind, "n_conditions": 8}).filled()
    text = to_toml(settings)
    table = tomllib.loads(text)
    assert {leaf: table["system"][leaf] for leaf in FAMILY} == FAMILY
    assert (
        set(table["family"]) == set(FamilySection.model_fields) - {*SCALES.values()}
        and "n_walkers" not in table["sampling"]
    )
    (tmp_path / "config.toml").write_text(text, encoding="utf-8")
    again = settings_from(tmp_path / "config.toml")
    assert again == settings and to_toml(again) == text
    assert differences(comparable(settings), again, ()) == []
    assert differences(comparable(settings), family(), ())[0].startswith("n_particles = [2, 3, 5], not 4")


def test_a_number_in_place_of_the_only_range_makes_a_single_run(tmp_path):
    (tmp_path / "config.toml").write_text(to_toml(family()), encoding="utf-8")
    config = f"--config={tmp_path / 'config.toml'}"
    assert cli.parse(["train.py", config, "--interaction_strength=7"]) == family(interaction_strength=7.0)
    assert cli.parse(["train.py", config, "--n_conditions=32"]).sampling.n_walkers == 32 * 32
    line = refusal(config, "--interaction_strength=7", "--n_conditions=32")
    assert line.startswith("n_conditions = 32 contradicts a single system: must be left out")


# --- what follows from it ---------------------------------------------------------------------------------------


def test_walkers_recipe_and_sizes_of_a_family():
    settings = family(n_conditions=8, walkers_per_condition=4, n_walkers=32, ansatz="jastrow")
    assert settings.sampling.n_walkers == 32
    assert settings.recipe() == (0.2, 300, 0.9, 3e-2, 3.0, 3e-5, 50)
    assert settings.filled().training.damping_min == 3e-5
    assert family(damping_min=1e-3, optimizer="sr").recipe().damping_min == 1e-3
    assert family(optimizer="adam").recipe().learning_rate == 1e-4
    wide = settings_from(None, FAMILY | {"ansatz": "jastrow"})
    assert wide.resolved()["pair_length"] == 1.0  # twice the geometric mean of the range
    assert sizes_of(wide).n_walkers == 3 * 512  # as many for each number of particles
    check_training(wide)


def test_a_member_is_a_single_run():
    settings = settings_from(None, FAMILY | {"ansatz": "jastrow", "iterations": 7})
    member = settings.member(n_particles=3, interaction_strength=7.3, interaction_range=0.3)
    system = {"n_particles": 3, "interaction_strength": 7.3, "interaction_range": 0.3}
    # The network keeps its unit of distances, though that of a run of its own would be 0.6.
    assert member == settings_from(None, system | {"ansatz": "jastrow", "iterations": 7, "pair_length": 1.0})
    assert family().member(interaction_strength=20).system.n_particles == 4
    assert family().member(interaction_strength=25.0, extrapolate=True).system.interaction_strength == 25.0
    assert family(interaction="coth", interaction_strength=[1.0, 2.0]).member(interaction_strength=1.5)
    single = settings_from(None, {"n_particles": 4})
    assert single.member(interaction_strength=0.0).system.named() == single.member().system.named()


@pytest.mark.parametrize(
    ("asked", "line"),
    [
        ({}, "interaction_strength: must be given; from -20 to 20"),
        ({"interaction_strength": 25}, "interaction_strength = 25.0: was not trained; must be from -20 to 20"),
        ({"interaction_strength": math.nan}, "interaction_strength = nan: must be a finite number"),
        (
            {"interaction_strength": 1.0, "n_particles": 3},
            "n_particles = 3: was not trained; must be 4, or be asked for with --extrapolate",
        ),
        (
            {"interaction_strength": 1.0, "interaction_range": 1.0},
            "interaction_range = 1.0: was not trained; must be 0.5, or be asked for with --extrapolate",
        ),
        (
            {"interaction_strength": 1e30, "extrapolate": True},
            "interaction_strength = 1e+30 contradicts dtype = float32",
        ),
    ],
)
def test_members_that_there_are_not(asked, line):
    with pytest.raises(SettingsError) as caught:
        family().member(**asked)
    assert str(caught.value).startswith(line)


def test_numbers_of_particles_that_were_not_trained():
    """slater has orbitals for as many particles as it was trained with, jastrow no weight that depends on them."""
    several = {"n_particles": [2, 4], "interaction_strength": [-3.0, 3.0]}
    asked = {"interaction_strength": 1.0, "extrapolate": True}
    for ansatz in ("jastrow", "slater"):
        found = settings_from(None, several | {"ansatz": ansatz}).member(n_particles=3, **asked)
        assert (found.system.n_particles, found.is_family) == (3, False)
    assert settings_from(None, several | {"ansatz": "jastrow"}).member(n_particles=7, **asked).system.n_particles == 7
    with pytest.raises(SettingsError, match=r"^n_particles = 7: was not trained; must be at most 4, the number of "):
        settings_from(None, several | {"ansatz": "slater"}).member(n_particles=7, **asked)


def test_covered_values():
    assert covered_values(family().system, family().family.varied()) == {
        "n_particles": (4,),
        "interaction_strength": (-20.0, 20.0),
        "interaction_range": (0.5,),
    }


# --- what is refused --------------------------------------------------------------------------------------------

A4, V = "--n_particles=4", "--interaction_strength=-20:20"
RANGE = "must be a finite number, or a range of two with the lower one first, or a list of at least three different"
SPELLED = "must be a finite number, or a range such as -20:20, or a list such as -20,0,5"


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        ((A4, "--interaction_strength=20:-20"), f"interaction_strength = [20, -20]: {RANGE}"),
        ((A4, "--interaction_strength=5:5"), f"interaction_strength = [5, 5]: {RANGE}"),
        ((A4, "--interaction_strength=1,2,1"), f"interaction_strength = [1, 2, 1]: {RANGE}"),
        ((A4, "--interaction_strength=nan:1"), f"interaction_strength = [nan, 1]: {RANGE}"),
        ((A4, "--interaction_strength=1,2"), f"interaction_strength = '1,2': {SPELLED}"),
        ((A4, "--interaction_strength=1:2:3"), f"interaction_strength = '1:2:3': {SPELLED}"),
        ((A4, "--interaction_strength=1:x"), f"interaction_strength = '1:x': {SPELLED}"),
        (("--n_particles=2,2",), "n_particles = [2, 2]: must be an integer from 1 to 64, or a list of at least two"),
        (("--n_particles=0,2",), "n_particles = [0, 2]: must be an integer from 1 to 64, or a list of at least two"),
        (("--n_particles=2:4",), "n_particles = '2:4': must be an integer from 1 to 64, or a list such as 2,3,4"),
        ((A4, "--interaction_range=0:1"), "interaction_range = [0, 1]: must be a finite number above 0, or a range"),
        ((A4, V, "--walkers_per_condition=1"), "walkers_per_condition = 1: must be an integer from 2 to"),
        ((A4, V, "--n_walkers=100"), "n_walkers = 100 contradicts n_conditions * walkers_per_condition = 512: must be"),
        (
            ("--n_particles=2,3", "--drift=0.2"),
            "drift = 0.2: has no meaning for a family without a range; must be left out, or interaction_strength or",
        ),
        (("--n_particles=2,3", "--interaction_strength=1,2,5", "--margin=0.1"), "margin = 0.1: has no meaning for a f"),
        (
            ("--n_particles=2,3", "--interaction=harmonic", "--interaction_strength=0.5", "--range_scale=0.3:1"),
            "range_scale = 0.3:1.0: has no meaning with interaction = harmonic, which has no range; must be left out",
        ),
        (
            (A4, V, "--n_conditions=100000", "--walkers_per_condition=100000"),
            "n_conditions * walkers_per_condition = 100000 * 100000: must be at most 1000000000",
        ),
        (
            (A4, V, "--resampling=thesis"),
            "resampling = thesis contradicts a family of systems: must be every_iteration",
        ),
        (("--n_particles=2,3", V, "--profile"), "profile = true contradicts several values of n_particles: must be"),
        ((A4, V, "--restore_best"), "restore_best = true contradicts a family of systems: must be false, as the mean"),
        ((A4, V, "--reference=diffusion"), "reference = diffusion contradicts a family of systems, which has no"),
        (
            (A4, V, "--ansatz=mine:Own"),
            "ansatz = 'mine:Own' contradicts a family of systems: must be slater or jastrow",
        ),
        ((A4, V, "--interaction=none"), "interaction_strength = -20.0 contradicts interaction = none, which has none"),
        (
            ("--n_particles=2,3", "--interaction=none"),
            "interaction = 'none' contradicts a family of systems: must be one",
        ),
        (("--n_particles=2,3", "--interaction=mine:v"), "interaction = 'mine:v' contradicts a family of systems: must"),
        ((A4, V, "--interaction=harmonic"), "interaction_strength = -20 contradicts trap = harmonic: must be above"),
        ((A4, V, "--notrap"), "trap = none contradicts interaction_strength = 20.0: without a trap it must be below 0"),
        (
            (A4, "--interaction=calogero", "--interaction_strength=1:2", "--ansatz=jastrow"),
            "interaction = 'calogero' contradicts a family of systems: must be one of gaussian, harmonic, coth, soft_",
        ),
        (
            (A4, "--interaction=harmonic", "--interaction_strength=1", "--interaction_range=0.3:1"),
            "interaction_range = 0.3 contradicts interaction = harmonic, which has none: must be left out",
        ),
        (
            (A4, "--interaction_strength=1,2,3,4", "--n_conditions=3"),
            "n_conditions = 3 contradicts the lists in [system]: must be at least 4",
        ),
    ],
)
def test_refused_families(flags, line):
    assert refusal(*flags).startswith(line)


def test_one_value_in_a_list_is_refused():
    for leaf, values in {"n_particles": [4], "interaction_strength": [5.0], "interaction_range": []}.items():
        with pytest.raises(SettingsError, match=rf"^{leaf} = \[.*\]: must be an? .*, or a "):
            family(**{leaf: values})


def test_a_stage_and_a_search_have_one_system(tmp_path):
    system = "n_particles = 4\ninteraction_strength = [-20.0, 20.0]\n"
    (tmp_path / "chain.toml").write_text(f"{system}[[stage]]\niterations = 5\n", encoding="utf-8")
    (tmp_path / "search.toml").write_text(
        f"{system}[search.space]\nn_layers = {{choices = [1, 2]}}\n", encoding="utf-8"
    )
    (tmp_path / "space.toml").write_text(
        "n_particles = 4\n[search.space]\nn_conditions = {choices = [1, 2]}\n", encoding="utf-8"
    )
    for read, line in (
        (
            lambda: chain_from(tmp_path / "chain.toml", {}, "-"),
            "stage 1: interaction_strength = [-20.0, 20.0]: must be ",
        ),
        (
            lambda: search_from(tmp_path / "search.toml"),
            "interaction_strength = [-20.0, 20.0]: must be one number in a ",
        ),
        (lambda: search_from(tmp_path / "space.toml"), "n_conditions: cannot be searched"),
    ):
        with pytest.raises(SettingsError) as caught:
            read()
        assert str(caught.value).startswith(line)


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        ({"interaction_range": 0.5}, None),
        (
            {"n_particles": [1, 2, 4], "interaction_range": 0.08},
            r"^interaction_range = 0.08: must be above 0.083\d for",
        ),
        (
            {"interaction_range": [0.042, 1.0]},
            r"^interaction_range = \[0.042, 1.0\]: training reaches down to 0.0358, which must be above 0.040\d for",
        ),
        ({"interaction": "coth", "interaction_strength": [1.0, 2.0]}, None),
    ],
)
def test_interactions_too_narrow_for_a_family(overrides, line):
    settings = family(**overrides)
    if line is None:
        check_contact_zones(settings)
        return
    with pytest.raises(SettingsError, match=line):
        check_contact_zones(settings)
    narrow = {"n_particles": 4, "interaction_strength": 1.0, "interaction_range": 0.042}
    check_contact_zones(settings.member(**narrow, extrapolate=True))  # a single system has near pairs of its own
