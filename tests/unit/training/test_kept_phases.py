"""Traced functions in a file: a trainer that reads them does what one that traces does, to the last bit."""

from __future__ import annotations

import itertools
from collections import Counter

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_nqs.ansatz import FermionAnsatz, JastrowAnsatz
from tf_nqs.config import settings_from
from tf_nqs.config.shape import traced_shape
from tf_nqs.execution import kept_graphs
from tf_nqs.experiment.build import build_ansatz, build_system, build_trainer
from tf_nqs.physics.hamiltonian import TrappedFermions
from tf_nqs.sampling.metropolis import MetropolisHastings
from tf_nqs.training import keras_model
from tf_nqs.training.vmc import VariationalMonteCarlo

SIZES = {"n_particles": 2, "n_features": 2, "n_layers": 1, "n_walkers": 8, "n_burn_in": 20, "seed": 3}
FAMILY = {"n_particles": [2, 3], "interaction_strength": [-5.0, 5.0], "n_conditions": 2, "walkers_per_condition": 4}


def made(**more):
    """Returns a trainer, of a small run without XLA."""
    leaves = {"iterations_per_call": 3, "jit_compile": False, "optimizer": "adam"} | SIZES | more
    if isinstance(leaves["n_particles"], list):
        del leaves["n_walkers"]
    settings = settings_from(None, leaves)
    return build_trainer(settings, build_system(settings), build_ansatz(settings))


def counted(counter, name, function):
    """Returns the function, which counts its calls."""

    def counting(*arguments):
        counter[name] += 1
        return function(*arguments)

    return counting


def trained(vmc, path):
    """Returns weights, walkers and energies after some iterations."""
    vmc.warm_up(graphs=path)
    energies = vmc.fit(4).history["energy"]
    measured = [] if vmc.family else [vmc.evaluate_energy(10.0, 60.0, relations=False).energy]
    variables = [*vmc.variables, *vmc.optimizer.variables]
    return [np.array(energies), *measured, *(one.numpy() for one in variables)]


@pytest.fixture
def traced(monkeypatch):
    """Counts what is traced of a trainer."""
    counter = Counter()
    for kind, name in itertools.product((FermionAnsatz, JastrowAnsatz), ("psi", "derivatives")):
        monkeypatch.setattr(kind, name, counted(counter, name, getattr(kind, name)))
    return counter


@pytest.mark.parametrize(
    "more",
    [
        pytest.param({"optimizer": "spring"}, marks=pytest.mark.slow),
        pytest.param({"ansatz": "jastrow", "optimizer": "spring"}, marks=pytest.mark.slow),
        pytest.param({"optimizer": "spring", "resampling": "guarded"}, marks=pytest.mark.slow),
        pytest.param({"interaction_range": 0.01, "interaction_strength": 3.0}, marks=pytest.mark.slow),
        pytest.param(FAMILY, marks=pytest.mark.slow),
        pytest.param(FAMILY | {"optimizer": "spring"}, marks=pytest.mark.slow),
        pytest.param({"optimizer": "spring", "jit_compile": True}, marks=pytest.mark.slow),
        pytest.param({"dtype": "float64", "sampling_dtype": "float32"}, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_what_is_read_trains_as_what_was_traced(more, tmp_path, traced):
    path, random = tmp_path / "graphs.npz", np.random.default_rng(2)
    first, second = made(**more), made(**more)
    weights = [one + 0.1 * random.standard_normal(one.shape) for one in first.ansatz.get_weights()]
    for vmc in (first, second):
        vmc.ansatz.set_weights(weights)
    expected = trained(first, path)
    assert [one.name for one in tmp_path.iterdir()] == [path.name]
    before = dict(traced)
    traced.clear()
    found = trained(second, path)
    assert traced["derivatives"] == 0 < before["derivatives"]
    assert traced["psi"] < before["psi"]  # what checks the wave function calls it
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_released_layers_are_traced(tmp_path):
    """They are not those that the functions in the file were traced for."""
    path, results = tmp_path / "graphs.npz", []
    for _ in range(2):
        vmc = made(resampling="guarded")
        vmc.ansatz.set_weights([np.full_like(one, 0.1 + 0.01 * k) for k, one in enumerate(vmc.ansatz.get_weights())])
        vmc.warm_up(graphs=path)
        vmc.fit(1)
        vmc.ansatz.equivariant_layers[0].trainable = False
        vmc.fit(2)
        results.append([one.numpy() for one in vmc.variables])
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_cannot_be_read_is_traced(tmp_path, monkeypatch):
    path = tmp_path / "graphs.npz"
    path.write_bytes(b"damaged")
    made().warm_up(graphs=path)
    before = path.read_bytes()
    vmc = made(n_features=3)
    vmc.warm_up(graphs=path)
    after = path.read_bytes()
    assert np.isfinite(vmc.fit(1).history["energy"]).all()
    assert len({b"damaged", before, after}) == 3

    def full(*arguments):
        raise OSError("No space left on device")

    monkeypatch.setattr(kept_graphs, "replace_file", full)
    (path.parent / "another").mkdir()
    vmc.warm_up(graphs=path.parent / "another" / path.name)
    assert not list((path.parent / "another").iterdir())


def test_a_number_of_this_process_is_not_kept(tmp_path):
    """As it may be another one in the next process."""
    path, number = tmp_path / "graphs.npz", tf.constant([2.0] * 1000)  # TensorFlow copies small ones into the graph
    graphs = kept_graphs.KeptGraphs(path, [])
    function = tf.function(lambda x: x * number, autograph=False)
    kept = graphs.function("scaled", lambda: function.get_concrete_function(tf.zeros(1000)))
    np.testing.assert_array_equal(kept(tf.ones(1000)), 2.0)
    graphs.write()
    assert not path.exists()


@pytest.mark.slow
def test_a_trainer_with_such_a_number_trains(tmp_path):
    path, factor = tmp_path / "graphs.npz", tf.constant([2.0] * 1000)
    system = TrappedFermions(2, pair_potential=lambda r: tf.reduce_mean(factor) * tf.exp(-(r**2)))
    results = []
    for graphs in (None, path):
        vmc = VariationalMonteCarlo(FermionAnsatz(2, 2, 1), system, MetropolisHastings(n_walkers=8, n_steps=2))
        vmc.ansatz.set_weights([np.full_like(one, 0.1 + 0.01 * k) for k, one in enumerate(vmc.ansatz.get_weights())])
        vmc.compile(keras.optimizers.Adam(0.01), jit_compile=False)
        vmc.warm_up(graphs=graphs)
        vmc.warm_up()
        vmc.fit(2)
        results.append([one.numpy() for one in vmc.variables])
    assert not path.exists()
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)


# --- what runs with the same functions have in common -----------------------------------------------------------


def operations(path):
    """Returns how often each operation is in the graphs in a file; constants of another value are other operations."""
    found = Counter()
    with np.load(path) as file:
        graphs = [tf.compat.v1.GraphDef.FromString(file[name].tobytes()) for name in set(file.files) - {"records"}]
    for graph in graphs:
        for nodes in (graph.node, *(function.node_def for function in graph.library.function)):
            found.update((node.op, node.attr["value"].tensor.SerializeToString(deterministic=True)) for node in nodes)
    return found


GAUSSIAN = (
    {"interaction_strength": 5.0, "iterations": 20},
    {
        "interaction_strength": -7.5,
        "interaction_range": 0.6,
        "seed": 4,
        "iterations": 50,
        "pretrain_iterations": 0,
        "max_seconds": 5.0,
        "target_error": 0.1,
        "quiet": True,
        "checkpoint_minutes": 1.0,
    },
)
DOUBLE_WELL = (
    {"trap": "double_well", "interaction": "harmonic", "pair_stiffness": 0.3},
    {"trap": "double_well", "interaction": "harmonic", "pair_stiffness": 0.7, "trap_separation": 2.5},
)


@pytest.mark.parametrize(
    "pair", [GAUSSIAN, pytest.param(DOUBLE_WELL, marks=pytest.mark.slow)], ids=("gaussian", "well")
)
def test_runs_of_one_shape_trace_the_same_operations(pair, tmp_path):
    """A number that got into a graph as a constant would be that of another run."""
    found = []
    for number, leaves in enumerate(pair):
        path, vmc = tmp_path / f"{number}.npz", made(optimizer="spring", **leaves)
        vmc.warm_up(graphs=path)
        found.append((traced_shape(settings_from(None, SIZES | leaves)), str(vmc.zone), operations(path)))
    assert found[0] == found[1]


@pytest.mark.parametrize(
    "change",
    [
        {"learning_rate": 0.3},
        {"clip_deviations": 3.0},
        {"n_walkers": 16},
        {"iterations": 5},
        {"resampling": "thesis"},
        {"freeze_equivariant": True},
        {"damping": 0.1},
        {"dtype": "float64"},
        {"interaction": "coth", "interaction_strength": 1.0},
        {"ansatz": "jastrow"},
        {"interaction_strength": [-3.0, 3.0]},
    ],
    ids=str,
)
def test_other_settings_have_another_shape(change):
    settings = {"optimizer": "spring", "iterations_per_call": 10, "n_particles": 2}
    assert traced_shape(settings_from(None, settings | change)) != traced_shape(settings_from(None, settings))


def test_families_share_nothing_but_the_length_of_their_training():
    family = {"n_particles": [2, 3], "interaction_strength": [-3.0, 3.0]}
    shapes = [
        traced_shape(settings_from(None, family | more))
        for more in ({}, {"iterations": 3000}, {"seed": 2}, {"interaction_range": 0.6}, {"n_particles": [2, 4]})
    ]
    assert len(set(shapes)) == 4 and shapes[0] == shapes[1]


def test_code_of_the_users_own_is_traced():
    assert traced_shape(settings_from(None, {"n_particles": 2, "ansatz": "mine:Psi"})) is None


def test_a_step_is_made_once():
    vmc = made()
    vmc.make_train_function()
    step = vmc.train_function.step
    vmc.make_train_function()
    assert isinstance(vmc.train_function, keras_model._OfIterator) and vmc.train_function.step is step
