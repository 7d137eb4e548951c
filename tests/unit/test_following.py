"""The config of a run as the start of one with another wave function: what was a default there follows the choice."""

from __future__ import annotations

import pytest

from tf_nqs.config import SettingsError, settings_from, to_toml
from tf_nqs.config.chain import chain_from
from tf_nqs.storage.pretrained import pretrained_folder


def config_of_run(tmp_path, **leaves):
    """What a run writes: sizes and recipe are filled in."""
    path = tmp_path / "config.toml"
    path.write_text(to_toml(settings_from(None, {"n_particles": 4} | leaves).filled()), encoding="utf-8")
    return path


@pytest.mark.parametrize(("before", "after"), [("slater", "jastrow"), ("jastrow", "slater")])
def test_another_wave_function_has_its_own_defaults(tmp_path, before, after):
    path = config_of_run(tmp_path, ansatz=before, seed=7)
    wanted = settings_from(None, {"n_particles": 4, "ansatz": after, "seed": 7})
    assert settings_from(path, {"ansatz": after}).filled() == wanted.filled()


def test_what_was_chosen_stays_and_what_only_the_other_has_goes(tmp_path):
    path = config_of_run(tmp_path, n_features=24, n_determinants=3, momentum=0.5, learning_rate=0.2)
    found = settings_from(path, {"ansatz": "jastrow"})
    assert (found.ansatz.n_features, found.ansatz.n_determinants) == (24, None)
    assert (found.training.momentum, found.training.learning_rate) == (0.5, 0.2)


def test_what_the_command_line_gives_is_kept_or_refused(tmp_path):
    path = config_of_run(tmp_path)
    assert settings_from(path, {"ansatz": "jastrow", "n_features": 64}).ansatz.n_features == 64
    with pytest.raises(SettingsError, match=r"n_determinants = 1: has no meaning for ansatz = jastrow"):
        settings_from(path, {"ansatz": "jastrow", "n_determinants": 1})


@pytest.mark.parametrize("overrides", [{}, {"ansatz": "jastrow"}, {"optimizer": "minsr"}])
def test_a_file_that_contradicts_itself_is_refused_as_before(tmp_path, overrides):
    path = tmp_path / "own.toml"
    path.write_text('n_particles = 4\nansatz = "jastrow"\nn_determinants = 2\n', encoding="utf-8")
    with pytest.raises(SettingsError, match="n_determinants = 2: has no meaning"):
        settings_from(path, overrides)


@pytest.mark.parametrize(
    ("overrides", "length"),
    [
        ({"interaction_range": 0.3}, 0.6),
        ({"interaction": "coth", "interaction_strength": 0.3}, 1.0),
        ({"n_features": 8}, 1.0),
        ({"interaction_range": 0.3, "pair_length": 1.0}, 1.0),
    ],
)
def test_the_length_of_the_pair_network_follows_the_interaction(tmp_path, overrides, length):
    path = config_of_run(tmp_path, ansatz="jastrow", interaction_strength=10.0)
    assert settings_from(path, overrides).resolved()["pair_length"] == length


def test_a_length_of_its_own_stays(tmp_path):
    path = config_of_run(tmp_path, ansatz="jastrow", pair_length=0.7)
    assert settings_from(path, {"interaction_range": 0.3}).ansatz.pair_length == 0.7


def test_a_wave_function_of_ones_own_gets_no_defaults_of_another(tmp_path):
    found = settings_from(config_of_run(tmp_path, n_layers=3), {"ansatz": "mine:Own"}).ansatz
    assert (found.n_features, found.n_layers, found.n_determinants) == (None, 3, None)


FAMILY = {"interaction_strength": [-20.0, 20.0], "interaction_range": [0.25, 1.0]}
STRENGTHS = {"interaction_strength": [-20.0, 20.0], "interaction_range": 0.4}
MEMBER = {"interaction_strength": 7.3, "interaction_range": 0.4}


@pytest.mark.parametrize("ansatz", ["slater", "jastrow"])
@pytest.mark.parametrize(("before", "after"), [(FAMILY, MEMBER), (STRENGTHS, MEMBER), (MEMBER, STRENGTHS)])
def test_a_single_system_and_a_family_have_their_own_defaults(tmp_path, ansatz, before, after):
    path = config_of_run(tmp_path, ansatz=ansatz, seed=7, **before)
    wanted = settings_from(None, {"n_particles": 4, "ansatz": ansatz, "seed": 7} | after)
    found = settings_from(path, after)
    assert found.filled() == wanted.filled()
    assert found.recipe() == wanted.recipe()


def test_what_a_family_chose_stays_in_a_single_run(tmp_path):
    path = config_of_run(tmp_path, ansatz="jastrow", damping_min=1e-4, clip_doubling_iterations=70, **FAMILY)
    found = settings_from(path, MEMBER).training
    assert (found.damping_min, found.clip_doubling_iterations) == (1e-4, 70)


def test_a_family_with_fewer_members_keeps_its_recipe(tmp_path):
    path = config_of_run(tmp_path, n_features=24, **FAMILY)
    found = settings_from(path, {"interaction_strength": 5.0}).filled()
    assert (found.ansatz.n_features, found.training.damping_min) == (24, 3e-5)


def test_the_network_of_the_package_as_the_start_of_determinants():
    config = pretrained_folder() / "config.toml"
    found = settings_from(config, {"ansatz": "slater"})
    assert found.is_family and found.ansatz.n_pair_features is None
    assert (found.ansatz.n_features, found.ansatz.pair_length) == (24, None)  # its own choice


def test_stages_of_a_chain_follow_too(tmp_path):
    path = tmp_path / "chain.toml"
    path.write_text("n_determinants = 2\n[[stage]]\nn_particles = 2\n[[stage]]\nn_particles = 4\n", encoding="utf-8")
    chain = chain_from(path, {"ansatz": "jastrow"}, "runs/chain")
    assert [stage.ansatz.n_determinants for stage in chain.stages] == [None, None]


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("ansatz = 3", "ansatz"),
        ("optimizer = [1]", "optimizer"),
        ('optimizer = "sgd"', "optimizer"),
        ("interaction = { a = 1 }", "interaction"),
        ('interaction_range = "wide"', "interaction_range"),
        ("interaction_range = [1.0]", "interaction_range"),
        ("interaction_range = true", "interaction_range"),
    ],
)
def test_a_bad_value_of_the_file_is_refused_by_its_own_name(tmp_path, line, name):
    """Not by an error while defaults are sought; where the command line replaces the bad value, there is none."""
    path = tmp_path / "bad.toml"
    path.write_text(f"n_particles = 4\n{line}\n", encoding="utf-8")
    others = {"ansatz": "jastrow", "interaction_strength": 5.0}
    if name == "ansatz":
        assert settings_from(path, others).ansatz.ansatz == "jastrow"
    else:
        with pytest.raises(SettingsError, match=f"^{name}"):
            settings_from(path, others)
