"""What comes before the first iteration is done once, whoever asks for it."""

from __future__ import annotations

import functools
import math
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import keras
import pytest
import tensorflow as tf

from tf_nqs.ansatz import FermionAnsatz
from tf_nqs.execution import compilation
from tf_nqs.execution.compilation import warm_up
from tf_nqs.physics.hamiltonian import TrappedFermions
from tf_nqs.sampling.metropolis import MetropolisHastings
from tf_nqs.training import gradients
from tf_nqs.training.natural_gradient import NaturalGradient
from tf_nqs.training.vmc import VariationalMonteCarlo


def counted(counter, name, function):
    """Returns the function, which counts its calls: those of a phase are the times it was traced."""

    def counting(*arguments, **keywords):
        counter[name] += 1
        return function(*arguments, **keywords)

    return counting


@pytest.mark.parametrize(
    "natural", [True, pytest.param(False, marks=pytest.mark.slow)], ids=["natural gradient", "plain gradient"]
)
def test_every_phase_is_traced_once(monkeypatch, natural):
    """Neither burn-in nor training nor measurement trace, hence compile, again what the warm-up has traced."""
    traced = Counter()
    sampler, system = MetropolisHastings(n_walkers=8, n_steps=2, n_burn_in=4), TrappedFermions(2)
    sampler.walk = counted(traced, "sample", sampler.walk)
    system.local_energy = counted(traced, "local_energy", system.local_energy)
    monkeypatch.setattr(gradients, "scores", counted(traced, "scores", gradients.scores))
    vmc = VariationalMonteCarlo(FermionAnsatz(2, 2, 1), system, sampler, iterations_per_call=2)
    vmc.train_step = counted(traced, "train_step", vmc.train_step)
    vmc.compile(keras.optimizers.SGD(0.1), NaturalGradient() if natural else None, jit_compile=False)
    vmc.warm_up()
    assert int(vmc.iteration) == 0
    after_warm_up = dict(traced)
    assert after_warm_up == dict.fromkeys(["local_energy", "sample", "train_step"] + ["scores"] * natural, 1)
    vmc.fit(3)
    vmc.evaluate_energy(target_error=10.0)
    assert traced == after_warm_up


def test_warm_up_changes_no_state():
    vmc = VariationalMonteCarlo(FermionAnsatz(2, 2, 1), TrappedFermions(2), MetropolisHastings(n_walkers=8, n_steps=2))
    vmc.compile(keras.optimizers.Adam(0.1), jit_compile=False)
    before = [variable.numpy() for variable in vmc.variables + vmc.optimizer.variables]
    vmc.warm_up()
    for old, variable in zip(before, vmc.variables + vmc.optimizer.variables, strict=True):
        assert old.tobytes() == variable.numpy().tobytes()
    # Means over no iterations: a NaN here is what `tf.debugging.enable_check_numerics` would stop at.
    history = vmc.fit_calls([0], []).history
    assert history.keys() >= {"energy", "variance"}
    assert all(math.isfinite(value) for values in history.values() for value in values)


def test_a_function_that_fails_when_run_is_heard_of():
    """Compilation runs in other threads, whose errors would be lost if nobody asked for them."""
    broken = tf.function(lambda x: tf.debugging.check_numerics(x, "found by the check"))
    with pytest.raises(tf.errors.InvalidArgumentError, match="found by the check"):
        warm_up([(broken, (tf.constant(math.nan),))])


def running_number():
    name = tf.function(lambda: None, autograph=False).get_concrete_function().name
    return int(name.decode().rpartition("_")[2])


def numbers_while_tracing(monkeypatch, at_once):
    """Returns TensorFlow's running numbers, from the first on, while each of three functions is traced.

    Args:
        monkeypatch: of pytest.
        at_once: whether each function runs before the next is traced; if not, all run at the end.
    """
    may_run, numbers, variable = threading.Event(), [], tf.Variable(2.0)

    class Pool(ThreadPoolExecutor):
        def submit(self, function, *arguments):
            if not isinstance(function, tf.types.experimental.ConcreteFunction):
                return super().submit(function, *arguments)
            future = super().submit(lambda: may_run.wait() and function(*arguments))
            if at_once:
                may_run.set()
                future.result()
            return future

    def traced(x, factor):
        numbers.append(running_number())
        return factor * variable * x

    monkeypatch.setattr(compilation, "ThreadPoolExecutor", Pool)
    functions = [tf.function(functools.partial(traced, factor=factor), autograph=False) for factor in range(3)]
    compilation.warm_up([(function, (tf.ones(3),)) for function in functions], meanwhile=may_run.set)
    return [number % compilation._ROUND for number in numbers]


def test_names_do_not_depend_on_when_functions_are_compiled(monkeypatch):
    """TensorFlow's running number is part of the names, by which XLA finds what it has compiled."""
    numbers = numbers_while_tracing(monkeypatch, at_once=True)
    assert len(numbers) == 3
    for _ in range(10):
        running_number()  # whatever was traced before
    assert numbers_while_tracing(monkeypatch, at_once=False) == numbers
