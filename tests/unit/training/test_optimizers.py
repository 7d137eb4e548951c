"""Optimisers by name: what they are made of, and how their learning rate falls."""

from __future__ import annotations

import inspect

import keras
import numpy as np
import pytest

from tf_nqs import defaults
from tf_nqs.training.natural_gradient import NaturalGradient
from tf_nqs.training.optimizers import make_optimizer

NAMES = ("adam", "sr", "minsr", "spring")


def learning_rates(optimizer, iterations):
    """The learning rate that the optimiser itself states at these iterations."""
    found = []
    for iteration in iterations:
        optimizer.iterations.assign(iteration)
        found.append(float(optimizer.learning_rate))
    return found


def test_every_name_with_a_default_learning_rate_is_one():
    assert set(defaults.OPTIMIZERS) == set(NAMES)
    assert defaults.OPTIMIZER in NAMES


@pytest.mark.parametrize(
    ("name", "form", "momentum"),
    [("sr", "auto", 0.0), ("minsr", "sample", 0.0), ("spring", "auto", defaults.MOMENTUM)],
)
def test_natural_gradients(name, form, momentum):
    made = make_optimizer(name)
    layer = made["natural_gradient"]
    assert isinstance(layer, NaturalGradient)
    assert (layer.form, layer.momentum) == (form, momentum)
    assert (layer.max_step_norm, layer.leverage_bound) == (defaults.MAX_STEP_NORM, defaults.LEVERAGE_BOUND)
    assert layer.dtype == defaults.DTYPE
    # Plain: the momentum is the layer's.
    assert type(made["optimizer"]) is keras.optimizers.SGD
    assert made["optimizer"].momentum == 0.0


def test_adam_has_none():
    made = make_optimizer("adam")
    assert set(made) == {"optimizer", "natural_gradient"}
    assert type(made["optimizer"]) is keras.optimizers.Adam
    assert made["natural_gradient"] is None


def test_signature_has_the_defaults():
    parameters = inspect.signature(make_optimizer).parameters
    expected = {
        "momentum": defaults.MOMENTUM,
        "damping_decay_iterations": defaults.DAMPING_DECAY_ITERATIONS,
    }
    assert {name: parameters[name].default for name in expected} == expected


@pytest.mark.parametrize(("ansatz", "damping"), [("slater", 0.03), ("jastrow", 0.01)])
def test_the_damping_is_that_of_the_wave_function(ansatz, damping):
    layer = make_optimizer("spring", ansatz=ansatz)["natural_gradient"]
    assert float(layer.damping(0)) == pytest.approx(damping)
    assert float(make_optimizer("spring", damping=0.5, ansatz=ansatz)["natural_gradient"].damping(0)) == 0.5


@pytest.mark.parametrize("name", ["sr", "minsr", "spring"])
def test_arguments_arrive(name):
    arguments = {"max_step_norm": 0.4, "leverage_bound": 7.0, "dtype": "float64"}
    layer = make_optimizer(name, damping=0.2, damping_decay_iterations=0, momentum=0.3, **arguments)["natural_gradient"]
    assert layer.damping == 0.2
    assert {key: getattr(layer, key) for key in arguments} == arguments
    assert layer.momentum == (0.3 if name == "spring" else 0.0)


@pytest.mark.parametrize("name", NAMES)
def test_constant_learning_rate(name):
    # The learning rate is kept in float32.
    found = learning_rates(make_optimizer(name, decay_iterations=0)["optimizer"], [0, 100])
    np.testing.assert_allclose(found, defaults.RECIPES["slater", name].learning_rate, rtol=1e-6)
    found = learning_rates(make_optimizer(name, 0.03, decay_iterations=0)["optimizer"], [0, 100])
    np.testing.assert_allclose(found, 0.03, rtol=1e-6)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("rate", [None, 0.03])
def test_learning_rate_falls(name, rate):
    """As 1/(1 + iteration/40): half of it after 40 iterations, without steps between."""
    iterations = np.array([0, 1, 20, 40, 120, 400])
    start = defaults.RECIPES["slater", name].learning_rate if rate is None else rate
    found = learning_rates(make_optimizer(name, rate, decay_iterations=40)["optimizer"], iterations)
    # The schedule runs in float32.
    np.testing.assert_allclose(found, start / (1 + iterations / 40), rtol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_default_decay(name):
    decay = defaults.RECIPES["slater", name].decay_iterations
    found = learning_rates(make_optimizer(name, 0.03)["optimizer"], [0, 300])
    np.testing.assert_allclose(found, [0.03, 0.03 / (1 + 300 / decay) if decay else 0.03], rtol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_each_wave_function_has_its_own_defaults(name):
    rate, decay = defaults.RECIPES["jastrow", name][:2]
    found = learning_rates(make_optimizer(name, ansatz="jastrow")["optimizer"], [0, 300])
    np.testing.assert_allclose(found, [rate, rate / (1 + 300 / decay) if decay else rate], rtol=1e-6)


@pytest.mark.parametrize("name", ["sr", "minsr", "spring"])
def test_damping_falls(name):
    """As 1/(1 + iteration/50) in the layer's own count of iterations."""
    layer = make_optimizer(name, damping=0.2, damping_decay_iterations=50)["natural_gradient"]
    np.testing.assert_allclose([layer.damping(t) for t in (0, 50, 450)], [0.2, 0.1, 0.02], rtol=1e-6)


def test_an_unknown_ansatz_is_refused():
    with pytest.raises(ValueError, match="ansatz = 'pair': must be one of slater, jastrow"):
        make_optimizer("spring", ansatz="pair")


@pytest.mark.parametrize("name", ["SPRING", "sgd", "", "kfac"])
def test_unknown_names_are_refused(name):
    with pytest.raises(ValueError, match=f"optimizer = '{name}': must be one of adam, minsr, sr, spring"):
        make_optimizer(name)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"damping": -1.0}, "damping"), ({"momentum": 1.5}, "momentum = 1.5"), ({"learning_rate": 0.0}, "learning_rate")],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        make_optimizer("spring", **arguments)
