"""Transfer between families: the members of the source stay what they are, whatever else the new family has."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_nqs.ansatz import FermionAnsatz, JastrowAnsatz
from tf_nqs.config import SettingsError, settings_from, to_toml
from tf_nqs.experiment.build import build_ansatz, read_run
from tf_nqs.experiment.preflight import open_run, with_units_of_source
from tf_nqs.experiment.transfer import TransferError, transfer_from
from tf_nqs.physics import FermionFamily
from tf_nqs.storage.run_folder import RunFolder

SIZES = {
    "slater": {"n_features": 3, "n_layers": 2, "n_determinants": 2},
    "jastrow": {"n_features": 3, "n_layers": 1, "n_pair_features": 3, "n_pair_layers": 1},
}
NARROW, WIDE = (-5.0, 5.0), (-40.0, 10.0)


def spread(ansatz, seed):
    """Changes all weights, so that the members differ."""
    for number, weight in enumerate(ansatz.weights):
        weight.assign_add(0.3 * tf.random.stateless_normal(weight.shape, (int(seed), number), dtype=weight.dtype))
    return ansatz


def family_of(kind, n_particles, *values, source=None):
    """A wave function with random weights; its features are scaled as those of `source`."""
    space = FermionFamily(n_particles, *values).conditions
    space = space.scaled_as(source.conditions) if source else space
    number, made = space.n_particles[-1], FermionAnsatz if kind == "slater" else JastrowAnsatz
    return spread(made(number, conditions=space, dtype="float64", **SIZES[kind]), seed=bool(source))


@pytest.mark.parametrize(
    ("before", "now"),
    [
        (([2, 3], NARROW), ([2, 3], WIDE)),
        (([2, 3], NARROW), ([2, 3, 4], WIDE)),
        (([2, 4], NARROW), ([2, 3], WIDE, (0.25, 1.0))),
        ((3, NARROW), ([3, 4], WIDE, (0.25, 1.0))),
        (([2, 3], NARROW, (0.4, 0.6)), ([2, 3], WIDE)),
    ],
    ids=["wider", "more particles", "fewer particles, a range", "several particles, a range", "without a range"],
)
@pytest.mark.parametrize("kind", SIZES)
def test_members_of_the_source_are_members_of_the_new_family(kind, before, now):
    source = family_of(kind, *before)
    ansatz = family_of(kind, *now, source=source)
    report = transfer_from(source, ansatz)
    assert report.kind == "family"
    assert sum(report.copied.values()) + sum(report.drawn.values()) == ansatz.count_params()
    shared = set(source.conditions.n_particles) & set(ansatz.conditions.n_particles)
    for n_particles in shared:
        x = np.random.default_rng(1).normal(size=(4, n_particles))
        for strength in (-4.0, 3.0):
            old, new = (one.member(n_particles, strength, 0.5)(x) for one in (source, ansatz))
            np.testing.assert_array_equal(old[0], new[0])
            np.testing.assert_allclose(old[1], new[1], rtol=1e-10, atol=1e-10)


def test_other_scales_are_other_functions():
    """What the scaling is for, and why weights are refused without it."""
    source, ansatz = family_of("jastrow", 2, NARROW), family_of("jastrow", 2, WIDE)
    with pytest.raises(TransferError, match=r"features scaled by interaction_strength = \[-5.0, 5.0\], the ansatz by"):
        transfer_from(source, ansatz)
    ansatz.set_weights(source.get_weights())
    x = np.array([[-0.5, 1.0]])
    assert abs(ansatz.member(2, 3.0, 0.5)(x)[1] - source.member(2, 3.0, 0.5)(x)[1]) > 1e-3


@pytest.mark.parametrize("kind", SIZES)
def test_several_numbers_of_particles_need_features(kind):
    source = family_of(kind, [2, 3], NARROW)
    with pytest.raises(TransferError, match="is a family of several n_particles, the ansatz has no features for them"):
        transfer_from(source, family_of(kind, 3, NARROW, source=source))


def test_another_unit_of_distances_is_refused():
    space = FermionFamily(2, NARROW).conditions
    one, other = (JastrowAnsatz(2, length=length, conditions=space, **SIZES["jastrow"]) for length in (1.0, 2.0))
    with pytest.raises(TransferError, match="has length = 1, the ansatz length = 2; must be equal"):
        transfer_from(one, other)


def run_folder(path, **settings):
    """What the run of a family leaves behind that a transfer needs."""
    settings = settings_from(None, {"ansatz": "jastrow", "dtype": "float64"} | SIZES["jastrow"] | settings).filled()
    path.mkdir()
    (path / "config.toml").write_text(to_toml(settings), encoding="utf-8")
    keras.utils.set_random_seed(3)
    spread(build_ansatz(settings), 4).save_weights(path / "ansatz.weights.h5")
    return RunFolder.finished(path)


def wider(source, **settings):
    wanted = {"n_particles": [2, 3], "interaction_strength": [*WIDE], "transfer_from": str(source)}
    return settings_from(None, {"ansatz": "jastrow", "dtype": "float64"} | SIZES["jastrow"] | wanted | settings)


def test_runs_keep_the_scales_of_the_first_family(tmp_path):
    """Over two transfers, and read back from their folders; a resumed run does not need its source."""
    first = run_folder(tmp_path / "first", n_particles=2, interaction_strength=[*NARROW], interaction_range=0.4)
    settings = with_units_of_source(wider(first, interaction_range=[0.3, 1.0]))
    assert (settings.family.strength_scale, settings.family.range_scale) == ("-5.0:5.0", None)
    assert settings.ansatz.pair_length == 0.8
    ansatz = build_ansatz(settings)
    transfer_from(str(first), ansatz)
    second = RunFolder(tmp_path / "second")
    second.path.mkdir()
    second.config.write_text(to_toml(settings.filled()), encoding="utf-8")
    ansatz.save_weights(second.weights)
    assert second.settings == settings.filled()
    third = with_units_of_source(wider(second, interaction_range=[0.2, 1.0]))
    assert (third.family.strength_scale, third.family.range_scale) == ("-5.0:5.0", "0.3:1.0")
    last, x = build_ansatz(third), np.array([[-0.5, 1.0]])
    transfer_from(str(second), last)
    expected = read_run(first).at(interaction_strength=4.0).ansatz(x)[1]
    np.testing.assert_allclose(last.member(2, 4.0, 0.4)(x)[1], expected, rtol=1e-10)
    alone = wider(tmp_path / "gone", pair_length=0.8)
    assert with_units_of_source(alone, resume=True) == alone


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"n_particles": 3}, r"is a family with n_particles = \[2, 3\], the run has \[3\]; must be several as well$"),
        ({"strength_scale": "-6:5"}, r"with strength_scale = '-5.0:5.0', the run has '-6.0:5.0'; must be the same, or"),
        ({"pair_length": 2.0}, r"is a family with pair_length = 1.0, the run has 2.0; must be the same, or left out$"),
    ],
)
def test_a_family_whose_members_would_change_is_refused(settings, line, tmp_path):
    source = run_folder(tmp_path / "family", n_particles=[2, 3], interaction_strength=[*NARROW])
    with pytest.raises(SettingsError, match=rf"^transfer_from = '.*family': .*{line}"):
        open_run(wider(source, run_dir=str(tmp_path / "new"), **settings), resume=False)
    assert not (tmp_path / "new").exists()
    open_run(wider(source, run_dir=str(tmp_path / "new"), strength_scale="-5:5"), resume=False)
