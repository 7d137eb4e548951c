"""Transfer: what is copied is copied bit by bit, what cannot be is refused in one line, and walkers go along."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import tf_nqs
from tf_nqs.ansatz import FermionAnsatz
from tf_nqs.config import settings_from, to_toml
from tf_nqs.experiment.transfer import TransferError, carry_walkers, save_walkers, transfer_from
from tf_nqs.physics.hamiltonian import TrappedFermions
from tf_nqs.sampling import MetropolisAdjustedLangevin, MetropolisHastings
from tf_nqs.storage.run_folder import RunFolder
from tf_nqs.training.vmc import VariationalMonteCarlo

EQUIVARIANT = ["equivariant_1/kernel", "equivariant_1/bias", "equivariant_2/kernel", "equivariant_2/bias"]
HEAD = ["orbitals/kernel", "orbitals/bias", "envelope/inverse_width"]


def ansatz_of(n_particles=4, n_features=4, n_layers=2, n_determinants=1, dtype="float32"):
    return FermionAnsatz(n_particles, n_features, n_layers, n_determinants, dtype=dtype)


def values(ansatz):
    return {weight.path.partition("/")[2]: weight.numpy() for weight in ansatz.weights}


def write_run(folder, ansatz):
    """What a run leaves behind that a transfer needs."""
    names = ("n_particles", "n_features", "n_layers", "n_determinants")
    leaves = {name: getattr(ansatz, name) for name in names} | {"dtype": ansatz.compute_dtype}
    folder.mkdir()
    (folder / "config.toml").write_text(to_toml(settings_from(None, leaves)))
    ansatz.save_weights(folder / "ansatz.weights.h5")
    return folder


@pytest.mark.parametrize("from_folder", [True, False], ids=["run folder", "model"])
@pytest.mark.parametrize(("before", "now"), [(2, 4), (4, 2), (4, 4)])
def test_what_is_copied(before, now, from_folder, tmp_path):
    source, ansatz = ansatz_of(before), ansatz_of(now)
    given, start = values(source), values(ansatz)
    place = write_run(tmp_path / "run", source) if from_folder else source
    report = tf_nqs.transfer_from(place, ansatz)
    copied = EQUIVARIANT + (HEAD if before == now else [])
    assert (list(report.copied), report.kind) == (copied, "interaction" if before == now else "particle")
    assert list(report.drawn) == [name for name in start if name not in copied]
    assert report.frozen == {} and report.source == (str(place) if from_folder else "FermionAnsatz")
    for name, value in values(ansatz).items():
        np.testing.assert_array_equal(value, given[name] if name in copied else start[name])
        assert {**report.copied, **report.drawn}[name] == value.size
    if before != now:  # the start weights are random: equality would show nothing otherwise
        assert all(np.any(given[name] != start[name]) for name in EQUIVARIANT)


def test_frozen_particle_transfer_leaves_264_of_8712():
    ansatz = ansatz_of(4, 64)
    report = transfer_from(ansatz_of(2, 64), ansatz, freeze_equivariant=True)
    assert report.frozen == report.copied and sum(report.frozen.values()) == 8448
    assert sum(report.drawn.values()) == 264
    assert sum(np.prod(weight.shape) for weight in ansatz.trainable_variables) == 264
    assert report.lines()[1:] == [
        f"  copied: 8448 parameters ({', '.join(EQUIVARIANT)})",
        f"  new: 264 parameters ({', '.join(HEAD)})",
        f"  frozen: 8448 parameters ({', '.join(EQUIVARIANT)})",
    ]


def test_a_higher_precision_loses_nothing():
    source, ansatz = ansatz_of(), ansatz_of(dtype="float64")
    transfer_from(source, ansatz)
    for name, value in values(ansatz).items():
        assert value.dtype == np.float64
        np.testing.assert_array_equal(value, values(source)[name])


class OtherAnsatz(FermionAnsatz):
    """The same weights, but perhaps another meaning."""


class NoLayers(keras.Model):
    """Has weights, but no layers that could be called equivariant, and no configuration."""

    def __init__(self, units):
        super().__init__()
        self.dense = keras.layers.Dense(units)
        self.dense.build((None, 4))
        self.built = True

    def get_config(self):
        raise NotImplementedError


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ({"n_features": 8}, "has n_features = 8, the ansatz n_features = 4; must be equal"),
        ({"n_layers": 3}, "has n_layers = 3, the ansatz n_layers = 2; must be equal"),
        # Two determinants of two orbitals have the shapes of one of four.
        (
            {"n_particles": 2, "n_determinants": 2},
            "has n_determinants = 2, the ansatz n_determinants = 1; must be equal",
        ),
        ({"dtype": "float64"}, "has weights in float64, the ansatz in float32, which would lose digits"),
    ],
)
def test_refused_models(source, line):
    ansatz = ansatz_of()
    start = values(ansatz)
    with pytest.raises(TransferError) as caught:
        transfer_from(ansatz_of(**source), ansatz)
    assert str(caught.value) == f"transfer_from = 'FermionAnsatz': {line}"
    assert all(np.array_equal(value, start[name]) for name, value in values(ansatz).items())


def test_refused_classes_shapes_and_values():
    with pytest.raises(TransferError, match="is a OtherAnsatz, the ansatz a FermionAnsatz; must be the same class"):
        transfer_from(OtherAnsatz(4, 4), ansatz_of())
    with pytest.raises(
        TransferError, match=r"has kernel of shape \(4, 3\), the ansatz \(4, 2\), for as many particles"
    ):
        transfer_from(NoLayers(3), NoLayers(2))
    with pytest.raises(TransferError, match="freeze_equivariant = true: NoLayers has no equivariant_layers"):
        transfer_from(NoLayers(2), NoLayers(2), freeze_equivariant=True)
    broken = ansatz_of()
    broken.orbital_layer.bias.assign(np.full(4, np.nan))
    with pytest.raises(TransferError, match="orbitals/bias is not finite everywhere; the training has failed"):
        transfer_from(broken, ansatz_of())


def test_refused_folders(tmp_path):
    with pytest.raises(TransferError, match=r"^transfer_from = '.*missing': no such folder; must be the fol"):
        transfer_from(tmp_path / "missing", ansatz_of())
    folder = write_run(tmp_path / "run", ansatz_of())
    weights = (folder / "ansatz.weights.h5").read_bytes()
    (folder / "ansatz.weights.h5").write_bytes(weights[: len(weights) // 2])
    with pytest.raises(TransferError, match=r"run': its ansatz.weights.h5 cannot be read \(") as caught:
        transfer_from(folder, ansatz_of())
    assert str(caught.value).isprintable()
    (folder / "config.toml").write_text("n_particles = 99")
    with pytest.raises(TransferError, match=r"run': its config.toml cannot be used \(n_particles = 99: must be "):
        transfer_from(folder, ansatz_of())


# Walkers


def trainer(n_walkers=12, n_particles=3, sampler=MetropolisHastings, **options):
    ansatz = FermionAnsatz(n_particles, 4, 1)
    return VariationalMonteCarlo(ansatz, TrappedFermions(n_particles), sampler(n_walkers, n_steps=1), **options)


@pytest.mark.parametrize("n_walkers", [12, 7, 30])
def test_walkers_are_carried_over(n_walkers, tmp_path):
    before, now = trainer(seed=1), trainer(n_walkers, seed=2)
    before.proposal_width.assign(0.37)
    save_walkers(before, RunFolder(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["walkers.npz"]
    key = np.array(now.seed)
    words = carry_walkers(tmp_path, now)
    positions = before.positions.numpy()
    np.testing.assert_array_equal(now.positions, np.concatenate([positions] * 3)[:n_walkers])
    np.testing.assert_array_equal(now.seed, key)  # the random numbers are those of the new seed
    assert float(now.proposal_width) == np.float32(0.37)
    assert now.needs_burn_in == (n_walkers == 30)
    assert words == ("carried over, repeated and burnt in" if n_walkers == 30 else "carried over")


def test_another_sampler_keeps_its_own_width(tmp_path):
    save_walkers(trainer(), RunFolder(tmp_path))
    now = trainer(sampler=MetropolisAdjustedLangevin)
    now.proposal_width.assign(0.9)
    assert carry_walkers(tmp_path, now) == "carried over"
    assert float(now.proposal_width) == np.float32(0.9)


def test_walkers_that_do_not_fit_are_new(tmp_path):
    now = trainer()
    start = now.positions.numpy()
    assert carry_walkers(tmp_path, now) == f"new, because {tmp_path} has no walkers.npz"
    save_walkers(trainer(n_particles=2), RunFolder(tmp_path))
    assert carry_walkers(tmp_path, now) == f"new, because those of {tmp_path} do not fit"
    np.testing.assert_array_equal(now.positions, start)
    assert now.needs_burn_in


@pytest.mark.parametrize("content", [b"", b"no archive", "pickled"])
def test_walkers_that_cannot_be_read(content, tmp_path):
    if content == "pickled":
        np.savez(tmp_path / "walkers.npz", positions=np.array([object()]), proposal_width=1.0, sampler="metropolis")
    else:
        (tmp_path / "walkers.npz").write_bytes(content)
    with pytest.raises(TransferError, match=r"walkers\.npz cannot be read"):
        carry_walkers(tmp_path, trainer())
