"""Keras' optimisers: each option gives the update that Keras gives on the same gradient, or is refused."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_nqs.ansatz import FermionAnsatz
from tf_nqs.physics.hamiltonian import TrappedFermions
from tf_nqs.sampling.metropolis import MetropolisHastings
from tf_nqs.trainer import Batch
from tf_nqs.training import kept_phases
from tf_nqs.training.freezing import rebuilt_optimizer
from tf_nqs.training.natural_gradient import NaturalGradient
from tf_nqs.training.updates import apply_shortened, build_optimizer
from tf_nqs.training.vmc import VariationalMonteCarlo

optimizers = keras.optimizers


def decaying():
    return optimizers.schedules.ExponentialDecay(0.05, 2, 0.5)


OPTIMIZERS = {
    "loss_scale_factor": lambda: optimizers.SGD(0.05, loss_scale_factor=1024.0),
    "Adam": lambda: optimizers.Adam(0.05),
    "amsgrad": lambda: optimizers.Adam(0.05, amsgrad=True),
    "SGD by name": lambda: "sgd",
    "momentum": lambda: optimizers.SGD(0.05, momentum=0.9, nesterov=True),
    "averages": lambda: optimizers.Adam(0.05, use_ema=True, ema_momentum=0.7),
    "averages of SGD": lambda: optimizers.SGD(0.05, use_ema=True),
    "averages overwrite": lambda: optimizers.SGD(0.05, use_ema=True, ema_momentum=0.7, ema_overwrite_frequency=2),
    "accumulated": lambda: optimizers.Adam(0.05, gradient_accumulation_steps=2),
    "accumulated averages": lambda: optimizers.Adam(
        0.05, gradient_accumulation_steps=2, use_ema=True, ema_momentum=0.7, ema_overwrite_frequency=2
    ),
    "weight decay": lambda: optimizers.Adam(0.05, weight_decay=0.3),
    "clipnorm": lambda: optimizers.SGD(0.05, clipnorm=0.1),
    "clipvalue": lambda: optimizers.SGD(0.05, clipvalue=0.1),
    "global_clipnorm": lambda: optimizers.SGD(0.05, global_clipnorm=0.1),
    "schedule": lambda: optimizers.SGD(decaying()),
    "callable rate": lambda: optimizers.SGD(lambda: 0.05),
    "Adadelta": lambda: optimizers.Adadelta(0.05),
    "Adafactor": lambda: optimizers.Adafactor(0.05),
    "Adagrad": lambda: optimizers.Adagrad(0.05),
    "Adamax": lambda: optimizers.Adamax(0.05),
    "AdamW": lambda: optimizers.AdamW(0.05),
    "Ftrl": lambda: optimizers.Ftrl(0.05),
    "Lamb": lambda: optimizers.Lamb(0.05),
    "Lion": lambda: optimizers.Lion(0.05),
    "Muon": lambda: optimizers.Muon(0.05),
    "Nadam": lambda: optimizers.Nadam(0.05),
    "RMSprop": lambda: optimizers.RMSprop(0.05, centered=True, momentum=0.5),
}


@pytest.fixture(scope="module")
def trainer():
    sampler = MetropolisHastings(n_walkers=4, n_steps=1, n_burn_in=0)
    keras.utils.set_random_seed(0)
    return VariationalMonteCarlo(FermionAnsatz(1, 2, 1), TrappedFermions(1), sampler, iterations_per_call=2)


def fixed_gradient(variables):
    random = np.random.default_rng(1)
    return [tf.constant(random.normal(size=variable.shape), variable.dtype) for variable in variables]


def compile_with_fixed_gradient(vmc, optimizer):
    """Compiles the trainer with iterations that are nothing but an update: the phases would take long to trace."""
    vmc.compile(optimizer, jit_compile=False)
    gradient, ones = fixed_gradient(vmc.ansatz.trainable_variables), tf.ones(4)

    def train_step(n_iterations):
        def iterate(index):
            vmc.phases.update([Batch(gradient, ones, ones)])
            return [index + 1]

        tf.while_loop(lambda index: index < n_iterations, iterate, [0])
        return {"energy": ones[0]}

    vmc.train_step = train_step


def plain_keras(weights, names, make_optimizer, n_updates):
    """The weights after Keras' own training: so many updates, then what its `fit` does at the end."""
    variables = [keras.Variable(weight, name=name) for weight, name in zip(weights, names, strict=True)]
    optimizer = optimizers.get(make_optimizer())
    optimizer.build(variables)
    for _ in range(n_updates):
        optimizer.apply([optimizer.scale_loss(one) for one in fixed_gradient(variables)], variables)
    optimizer.finalize_variable_values(variables)
    return [variable.numpy() for variable in variables]


RARE = ("amsgrad", "SGD by name", "averages of SGD", "Adadelta", "Adagrad", "Adamax", "Lamb")


@pytest.mark.parametrize(
    "make_optimizer",
    [pytest.param(one, id=name, marks=[pytest.mark.slow] * (name in RARE)) for name, one in OPTIMIZERS.items()],
)
def test_updates_are_those_of_keras(trainer, monkeypatch, make_optimizer):
    """And the warm-up changes no weight."""
    compile_with_fixed_gradient(trainer, make_optimizer())
    variables = trainer.ansatz.trainable_variables
    start, names = [variable.numpy() for variable in variables], [variable.name for variable in variables]
    monkeypatch.setattr(kept_phases, "calls_of_phases", lambda _: [])
    trainer.warm_up()
    for old, variable in zip(start, variables, strict=True):
        np.testing.assert_array_equal(variable, old)
    trainer.fit(5)
    for old, found, expected in zip(start, variables, plain_keras(start, names, make_optimizer, 5), strict=True):
        # The same operations, in a graph and outside of one.
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
        assert np.any(np.abs(expected - old) > 1e-4)


@pytest.mark.parametrize("frequency", [None, 2])
def test_averages_follow_shortened_steps(frequency):
    """After a repair: SGD's step by half, and averages of the weights that come of it."""
    variable, momentum = keras.Variable([1.0, 2.0], dtype="float64"), 0.8
    optimizer = optimizers.SGD(0.25, use_ema=True, ema_momentum=momentum, ema_overwrite_frequency=frequency)
    optimizer.build([variable])
    gradient = tf.constant([1.0, -2.0], tf.float64)
    weight, average = variable.numpy(), None
    for update in range(1, 6):
        apply_shortened(optimizer, [gradient], [variable], tf.constant(0.5))
        weight = weight - 0.5 * 0.25 * gradient.numpy()
        average = weight if average is None else momentum * average + (1 - momentum) * weight
        if frequency and update % frequency == 0:
            weight = average
        np.testing.assert_allclose(variable, weight, rtol=1e-14)
    optimizer.finalize_variable_values([variable])
    np.testing.assert_allclose(variable, average, rtol=1e-14)


@pytest.mark.parametrize(
    ("optimizer", "message"),
    [
        (lambda: optimizers.LossScaleOptimizer(optimizers.SGD(0.1)), "LossScaleOptimizer: is not supported: .*float16"),
        (lambda: optimizers.ScheduleFreeAdamW(0.1), "ScheduleFreeAdamW: is not supported: .*use AdamW"),
        (
            lambda: optimizers.MultiOptimizer(optimizers.OptimizerMap(optimizers.SGD(0.1))),
            "MultiOptimizer: is not supported: use one optimizer",
        ),
        (lambda: "sdg", "optimizer = 'sdg': must be an optimizer of Keras"),
        (lambda: 0.1, "optimizer = 0.1: must be an optimizer of Keras"),
    ],
)
def test_what_is_not_supported_is_refused(trainer, optimizer, message):
    with pytest.raises(ValueError, match=message):
        trainer.compile(optimizer())


@pytest.mark.parametrize(
    ("optimizer", "message"),
    [
        (lambda: optimizers.Adam(0.1), "optimizer = Adam: beside natural_gradient it must be plain"),
        (lambda: optimizers.SGD(0.1, momentum=0.9), "optimizer = SGD with momentum: beside natural_gradient"),
        (lambda: optimizers.SGD(0.1, clipnorm=1.0), "optimizer = SGD with clipnorm: beside natural_gradient"),
    ],
)
def test_only_plain_sgd_beside_a_natural_gradient(trainer, optimizer, message):
    with pytest.raises(ValueError, match=message):
        trainer.compile(optimizer(), NaturalGradient())


REBUILT = ("averages", "accumulated averages", "schedule", "callable rate", "Muon", "Nadam", "clipnorm")


@pytest.mark.parametrize("make_optimizer", [OPTIMIZERS[name] for name in REBUILT], ids=REBUILT)
def test_freezing_keeps_options_and_slots(make_optimizer):
    """Of two weights one is frozen: the other one goes on as Keras would have let it go on alone."""
    variables = [keras.Variable(start, name=name) for start, name in (([[1.0, 2.0]], "one"), ([[3.0]], "two"))]
    alone = keras.Variable([[1.0, 2.0]], name="one")
    optimizer, reference = make_optimizer(), make_optimizer()
    build_optimizer(reference, [alone])
    build_optimizer(optimizer, variables)
    for _ in range(3):
        optimizer.apply(fixed_gradient(variables), variables)
        reference.apply(fixed_gradient([alone]), [alone])
    rebuilt = rebuilt_optimizer(optimizer, variables[:1], restart=False)
    for _ in range(3):
        rebuilt.apply(fixed_gradient([alone]), variables[:1])
        reference.apply(fixed_gradient([alone]), [alone])
    np.testing.assert_allclose(variables[0], alone, rtol=1e-6)
    for one, other in zip(rebuilt.variables, reference.variables, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, err_msg=one.name)


def test_released_weights_are_not_averaged_with_zeros():
    """Training may end before their first update, and then Keras writes the averages over the weights."""
    variables = [keras.Variable([1.0, 2.0], name="one"), keras.Variable([3.0], name="two")]
    optimizer = optimizers.SGD(0.1, use_ema=True, gradient_accumulation_steps=2)
    optimizer.build(variables[:1])
    for _ in range(3):
        optimizer.apply([tf.ones(2)], variables[:1])
    weights = [variable.numpy() for variable in variables]
    rebuilt = rebuilt_optimizer(optimizer, variables, restart=True)
    accumulated = [one for one in rebuilt.variables if one.name.endswith("gradient_accumulator")]
    assert len(accumulated) == 2 and not np.any(np.concatenate(accumulated))
    rebuilt.finalize_variable_values(variables)
    np.testing.assert_array_equal(variables[1], weights[1])


def test_all_state_is_saved_and_rolled_back():
    """Keras forgets to list one variable of Nadam, so that no checkpoint would have it."""
    variable, optimizer = keras.Variable([1.0]), optimizers.Nadam(0.1)
    build_optimizer(optimizer, [variable])
    before = [one.numpy() for one in (variable, *optimizer.variables)]
    ends = []
    for _ in range(2):
        for one, value in zip((variable, *optimizer.variables), before, strict=True):
            one.assign(value)
        optimizer.apply([tf.ones(1)], [variable])
        ends.append(variable.numpy())
    np.testing.assert_array_equal(*ends)


def test_exclusions_from_weight_decay_survive_freezing():
    variable = keras.Variable([1.0], name="bias")
    optimizer = optimizers.SGD(0.1, weight_decay=0.5)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    optimizer.build([variable])
    rebuilt_optimizer(optimizer, [variable], restart=False).apply([tf.zeros(1)], [variable])
    assert variable.numpy() == 1.0
