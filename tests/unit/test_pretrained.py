"""The network that the package ships: what is in its folder, what it gives, and runs that start from it.

Its quality is measured by `benchmarks.model_card`; nothing here depends on it but for a loose bound.
"""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

import tf_nqs
from benchmarks import model_card
from benchmarks.family import Deviation
from benchmarks.references import Row
from tf_nqs.config import SettingsError, load_toml, settings_from, to_toml
from tf_nqs.config.resume import comparable
from tf_nqs.experiment import transfer
from tf_nqs.experiment.preflight import open_run, source_of, with_units_of_source
from tf_nqs.named_ansatze import ANSATZE
from tf_nqs.storage.pretrained import CARD_FILE, finished_source, pretrained_folder, transfer_folder
from tf_nqs.storage.run_folder import RunFolder


@pytest.fixture(scope="module")
def family():
    return tf_nqs.pretrained()


def start(**settings):
    wanted = {"n_particles": 3, "interaction_strength": 1.0, "ansatz": "jastrow", "transfer_from": "pretrained"}
    return settings_from(None, wanted | settings)


def test_the_family_is_that_of_its_preset(family):
    preset = load_toml("pretrained")
    assert family.settings.family.varied() == preset.family.varied()
    assert family.settings.ansatz.ansatz == preset.ansatz.ansatz and family.settings.ansatz.ansatz in ANSATZE  # no code
    assert family.settings.run.run_dir is None and family.folder == pretrained_folder()
    assert (pretrained_folder() / CARD_FILE).read_text(encoding="utf-8").startswith("# Model card")


def mean_energy(system, ansatz, n_steps=150):
    """The energy of 512 walkers, and its standard error."""
    sampler = tf_nqs.MetropolisHastings(n_walkers=512, proposal_width=0.5)
    walkers = sampler.initial_state(system.n_particles, tf.constant([1, 2]))
    positions = tf.function(
        lambda: sampler.sample(ansatz.log_abs_psi, walkers, n_steps)[0].positions, autograph=False
    )()
    energy = system.local_energy(positions, ansatz.forward_laplacian(positions)[1]).total.numpy()
    return np.mean(energy), np.std(energy) / np.sqrt(len(energy))


def test_a_member_is_antisymmetric_and_near_the_exact_energy(family):
    """The chains are short; what is left of their start is well below the bound of a few percent."""
    system, ansatz, _ = family.at(n_particles=3, interaction_strength=1.0, interaction_range=0.5)
    x = np.array([[-1.0, 0.3, 1.1], [0.2, 2.0, -0.7]], np.float32)
    (sign, log_abs_psi), (other, same) = ansatz(x), ansatz(x[:, [1, 0, 2]])
    np.testing.assert_array_equal(other, -sign.numpy())
    np.testing.assert_allclose(same, log_abs_psi, atol=1e-4)
    energy, error = mean_energy(system, ansatz)
    exact = tf_nqs.reference_energy(3, 1.0, 0.5).energy
    assert abs(energy - exact) < 0.05 * exact + 4 * error


def test_members_that_there_are_not_are_refused(family):
    with pytest.raises(SettingsError, match=r"^n_particles = 7: was not trained; must be one of 2, 3, 4, 5, 6, "):
        family.at(7, 1.0, 0.5)
    with pytest.raises(SettingsError, match=r"^interaction_range = 0.2: was not trained; must be from 0.25 to 1, "):
        family.at(2, 1.0, 0.2)


def test_a_run_takes_member_and_sizes_of_the_shipped_network(family):
    settings = start()
    folder, member = source_of(settings)
    assert folder.path == pretrained_folder() and member["interaction_range"] == 0.5
    shipped, own = (one.ansatz.resolved(one.system) for one in (family.settings, with_units_of_source(settings)))
    assert own == shipped
    assert with_units_of_source(start(n_features=5)).ansatz.n_features == 5
    ansatz = tf_nqs.experiment.build.build_ansatz(with_units_of_source(settings))
    report = transfer.transfer_from("pretrained", ansatz, member=member)
    assert (report.source, report.kind, report.drawn) == ("pretrained", "family", {})


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"n_particles": 7}, r"n_particles = 7: was not trained; must be one of 2, 3, 4, 5, 6$"),
        ({"trap": "quartic"}, r"is a family with trap = 'harmonic', the run has 'quartic'; must be the same$"),
        ({"interaction": "coth"}, r"is a family with interaction = 'gaussian', the run has 'coth'; must be the same$"),
        ({"ansatz": "slater"}, r"has ansatz = jastrow, the run ansatz = slater; must be the same$"),
    ],
)
def test_what_the_shipped_network_has_not_is_refused(settings, line, tmp_path):
    with pytest.raises(SettingsError, match=f"^transfer_from = 'pretrained': {line}"):
        open_run(start(run_dir=str(tmp_path / "new"), **settings), resume=False)
    assert not list(tmp_path.iterdir())


def test_a_folder_of_that_name_is_another(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pretrained").mkdir()
    assert finished_source("pretrained").path == pretrained_folder()
    assert transfer_folder("./pretrained").path.absolute() == tmp_path / "pretrained"
    settings = start(run_dir=str(tmp_path / "runs/new"))
    assert comparable(settings)["transfer_from"] == "pretrained"  # wherever it is resumed from


def test_a_run_is_shipped_with_its_card(tmp_path):
    source, target = tmp_path / "run", tmp_path / "shipped"
    source.mkdir()
    settings = settings_from("pretrained", {"run_dir": "runs/pretrained", "max_seconds": 60.0})
    (source / "config.toml").write_text(to_toml(settings.filled()), encoding="utf-8")
    (source / "ansatz.weights.h5").write_bytes(b"weights")
    (source / "result.json").write_text('{"seconds_training": 240.0}', encoding="utf-8")
    folder = RunFolder.finished(source)
    model_card.install(folder, target)
    assert sorted(path.name for path in target.iterdir()) == ["ansatz.weights.h5", "config.toml"]
    assert (target / "ansatz.weights.h5").read_bytes() == b"weights"
    shipped = load_toml(target / "config.toml")
    assert shipped == load_toml("pretrained").filled()
    row, found = (
        Row(2, -5.0, 0.5, 1.25, 1e-9, "relative_coordinate"),
        Deviation(2, -5.0, 0.5, 2e-3, 1e-4, 0, 1e-3, 1e-3, 1),
    )
    text = model_card.card(folder.settings, 9000, model_card.training_words(folder), [found], [row])
    assert "| 2 | -5 | 0.5 | 1.25200(10) | 1.250000 | +2.0e-03 | 1.0e-03 |" in text
    assert "4 minutes" in text and "2, 3, 4, 5, 6 fermions" in text and "V0 = -20 to 20" in text
    assert "A = 2: 0 of 1 within 0.001" in text and "9,000 parameters" in text
