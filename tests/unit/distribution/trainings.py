"""Trainings by name, alone or under a strategy: for processes of their own, as TensorFlow's devices are set once.

python trainings.py FILE N_REPLICAS NAME ... writes what they have come to, without a strategy (`NAME/alone/...`) and on
logical CPUs (`NAME/spread/...`), into FILE. With TF_CONFIG it is one of several processes, the first of which trains
alone too.
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

from tf_nqs.runtime.startup import import_tensorflow

import_tensorflow(optimise_graphs=False)  # which takes longer than these few iterations gain

import keras  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

import tf_nqs  # noqa: E402
from tf_nqs.callbacks import RunCheckpoint  # noqa: E402
from tf_nqs.execution import linear_solve  # noqa: E402
from tf_nqs.execution.products import products_of_rows  # noqa: E402
from tf_nqs.execution.workers import Workers  # noqa: E402
from tf_nqs.sampling import ReusePolicy  # noqa: E402
from tf_nqs.storage.checkpoints import newest_checkpoint  # noqa: E402
from tf_nqs.training import ConditionPolicy, make_optimizer, pretrain  # noqa: E402
from tf_nqs.types import SignedLog  # noqa: E402

ITERATIONS = 4


class Pair(keras.Model):
    """Two fermions: (x_1 - x_2) exp of a few numbers, which is traced in no time."""

    def __init__(self):
        super().__init__(dtype="float64")
        self.kernel = self.add_weight(shape=(2, 3), name="kernel")
        self.factors = self.add_weight(shape=(3,), initializer="ones", name="factors")
        self.built = True

    def call(self, positions):
        difference = positions[:, 0] - positions[:, 1]
        radius = tf.reduce_sum(positions**2, axis=1)
        hidden = tf.tanh(tf.stack([difference**2, radius], axis=1) @ tf.convert_to_tensor(self.kernel))
        exponent = tf.linalg.matvec(hidden, tf.convert_to_tensor(self.factors)) - 0.5 * radius
        return SignedLog(tf.sign(difference), tf.math.log(tf.abs(difference)) + 0.3 * exponent)


NEEDS_LAYERS = {"pretrained", "released"}


def trainer(words, scope):
    """Returns a compiled trainer: words of a name say what differs from Adam on 32 walkers of two fermions."""
    keras.utils.set_random_seed(3)
    with scope:
        more, n_walkers = {}, 1024 if "many" in words else 32
        system = tf_nqs.TrappedFermions(2, 5.0, 0.02 if "short" in words else 0.5)
        layered = NEEDS_LAYERS & set(words)
        ansatz = tf_nqs.FermionAnsatz(2, 4, n_layers=1, dtype="float64") if layered else Pair()
        if "family" in words:
            system = tf_nqs.FermionFamily([2, 3] if "numbers" in words else [2], (-5.0, 5.0))
            ansatz = tf_nqs.FermionAnsatz(
                system.conditions.n_particles[-1], 4, n_layers=1, dtype="float64", conditions=system.conditions
            )
            more["conditions"] = ConditionPolicy(n_conditions=4)
        if "pretrained" in words:
            pretrain(ansatz, 5, n_walkers)
        if "released" in words:
            ansatz.equivariant_layers[0].trainable = False
        if "reuse" in words:
            more["reuse"] = ReusePolicy("guarded")
        kind = tf_nqs.sampling.MetropolisAdjustedLangevin if "mala" in words else tf_nqs.MetropolisHastings
        sampler = kind(n_walkers, n_steps=3, n_burn_in=6, global_moves="local" not in words)
        vmc = tf_nqs.VariationalMonteCarlo(ansatz, system, sampler, iterations_per_call=2, **more)
        name = next(one for one in ("minsr", "spring", "adam") if one in (*words, "adam"))
        decay = 0.9 if "average" in words else 0.0
        vmc.compile(**make_optimizer(name, 0.01, average_decay=decay), jit_compile="xla" in words)
        if "gentle" in words:
            vmc.step_factor.assign(0.5)
        if "lost" in words:
            vmc.needs_burn_in = False
            vmc.positions.assign(tf.tensor_scatter_nd_update(vmc.positions, [[5]], [[1e6, 0.0]]))
    return vmc


class Energies(keras.callbacks.Callback):
    """Keeps the energies, and the accepted shares, of all iterations."""

    def __init__(self):
        super().__init__()
        self.rows = []

    def on_epoch_end(self, epoch, logs=None):
        rows = self.model.recent_iterations()
        self.rows += list(zip(rows["energy"], rows["acceptance"], rows["n_restarted"], strict=True))


class StopOnSecondProcess(keras.callbacks.Callback):
    """Ends training after some iterations, as a clock or a signal of one process does."""

    def __init__(self, iterations):
        super().__init__()
        self.iterations = iterations

    def on_epoch_end(self, epoch, logs=None):
        if '"index": 1' in os.environ["TF_CONFIG"] and self.model.iteration.numpy() == self.iterations:
            self.model.stop("time_limit")


class Drift(keras.callbacks.Callback):
    """Gives the second process other last digits of its weights during each call, as an unlike machine has them."""

    def on_epoch_begin(self, epoch, logs=None):
        if '"index": 1' in os.environ["TF_CONFIG"]:
            for weight in self.model.ansatz.trainable_variables:
                weight.assign(weight + 1e-13)


class Release(keras.callbacks.Callback):
    """Releases the layer that was frozen, after the first call."""

    def on_epoch_end(self, epoch, logs=None):
        if epoch == 0:
            self.model.ansatz.equivariant_layers[0].trainable = True
            self.model.follow_trainable()


def trained(words, scope, iterations=ITERATIONS, callbacks=(), done=0):
    """Returns what a training has come to, as arrays."""
    vmc, energies = trainer(words, scope), Energies()
    if "stopped" in words:
        iterations, callbacks = iterations + 2, [StopOnSecondProcess(iterations), *callbacks]
    if "released" in words:
        callbacks = [Release()]
    if "drifting" in words:
        callbacks = [Drift(), *callbacks]
    vmc.fit(iterations, [energies, *callbacks], done)
    found = {"energies": np.array(energies.rows), "positions": vmc.positions.numpy(), "reason": vmc.stop_reason}
    found["weights"] = np.concatenate([np.ravel(one) for one in vmc.ansatz.get_weights()])
    if "measured" in words:
        found["measured"] = np.array(vmc.evaluate_energy(target_error=0.5, max_seconds=60.0)[:2])
    return found


def resumed(words, strategy, folder):
    """Returns what a training has come to that goes on on one device, and then under the strategy again.

    The first process alone trains on one device, the others wait for it, and read the checkpoint that it has written.
    """
    found, workers = [], Workers(strategy)
    for number, scope in enumerate((strategy.scope(), contextlib.nullcontext(), strategy.scope())):
        workers.wait()
        if number == 1 and not workers.is_chief:
            continue
        checkpoint, end = newest_checkpoint(folder) if number else None, 2 * number + 2
        callback = RunCheckpoint(folder, end, resumed=checkpoint)
        own = words if number != 1 else [word for word in words if word != "stopped"]
        found.append(trained(own, scope, end, [callback], done=2 * number))
    return found[-1] | {"energies": np.concatenate([one["energies"] for one in found])}


def refusals(strategy):
    """Returns what is refused under a strategy, as lines."""
    lines = []
    outside = keras.optimizers.SGD(0.1)
    with strategy.scope():
        parts = tf_nqs.FermionAnsatz(2, 4), tf_nqs.TrappedFermions(2)
        vmc = tf_nqs.VariationalMonteCarlo(*parts, tf_nqs.MetropolisHastings(10))
        for refused in (
            lambda: tf_nqs.VariationalMonteCarlo(*parts, tf_nqs.MetropolisHastings(11)),
            lambda: vmc.compile(keras.optimizers.Adam(0.1, clipnorm=1.0)),
            lambda: vmc.compile(outside),
        ):
            try:
                refused()
                lines.append("nothing")
            except ValueError as error:
                lines.append(str(error))
    return lines


def products(strategy):
    """Returns the products of the rows of matrices, and of the columns of one: part of them, and the whole."""
    random, found = np.random.default_rng(1), {}
    small, large = random.normal(size=(7, 10)), random.normal(size=(601, 3))  # the rows of which are sent, not summed
    with strategy.scope():
        call = tf.function(products_of_rows, autograph=False)
        for name, matrix, of_columns in (("small", small, False), ("columns", small, True), ("large", large, False)):
            rows = matrix.T if of_columns else matrix
            found[name] = np.stack([np.tril(call(tf.constant(matrix), of_columns)), np.tril(rows @ rows.T)])
    return found


def solutions(strategy):
    """Returns the solution of linear equations by blocks, the exact one, and that of an indefinite matrix."""
    random, linear_solve.FEWEST_ROWS = np.random.default_rng(2), 2
    rows = random.normal(size=(13, 20))
    matrix, right_side = rows @ rows.T, random.normal(size=13)
    with strategy.scope():
        solve = tf.function(linear_solve.solve_positive_definite, autograph=False)
        found = solve(tf.constant(np.tril(matrix)), tf.constant(right_side))
        none = solve(tf.constant(matrix - 30 * np.eye(13)), tf.constant(right_side))
    return {"found": found, "exact": np.linalg.solve(matrix, right_side), "indefinite": none}


def opened_strategy(n_replicas):
    """Returns the strategy of several processes where TF_CONFIG is set, else one of logical CPUs.

    There is one in a process: TensorFlow gives the sums of a second one the keys that those of the first one have.
    """
    if "TF_CONFIG" in os.environ:
        options = tf.distribute.experimental.CommunicationOptions(timeout_seconds=600)
        return tf.distribute.MultiWorkerMirroredStrategy(communication_options=options)
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * n_replicas)
    return tf.distribute.MirroredStrategy([f"CPU:{number}" for number in range(n_replicas)])


def results(names, strategy, folder):
    """Yields what trainings have come to: name of the training, whether it was spread, and the arrays.

    Args:
        names: of the trainings.
        strategy: that they are spread by.
        folder: for checkpoints; all processes see it.
    """
    for name in names:
        words = name.split()
        if name == "refusals":
            yield name, "spread", {"lines": refusals(strategy)}
            continue
        if name == "products":
            yield name, "spread", products(strategy)
            continue
        if name == "solutions":
            yield name, "spread", solutions(strategy)
            continue
        if name == "workers":
            workers = Workers(strategy)
            yield name, "spread", {"numbers": workers._gathered(workers.number + 0.5)}
            continue
        if '"index": 1' not in os.environ.get("TF_CONFIG", ""):  # first, as nobody must end while others still train
            kept = [word for word in words if word not in ("stopped", "drifting")]
            yield name, "alone", trained(kept, contextlib.nullcontext(), 6 if "resumed" in words else ITERATIONS)
        if "resumed" in words:
            yield name, "spread", resumed(words, strategy, folder / name)
        else:
            yield name, "spread", trained(words, strategy.scope())


if __name__ == "__main__":
    file, number, *given = sys.argv[1:]
    found = results(given, opened_strategy(int(number)), Path(file).parent)
    np.savez(file, **{f"{name}/{how}/{key}": one for name, how, arrays in found for key, one in arrays.items()})
