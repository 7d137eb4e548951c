"""tf_nqs itself, through its compiled trainer."""

from __future__ import annotations

import numpy as np

from benchmarks.problem import Problem, Weights, draw_walkers, draw_weights
from benchmarks.protocol import serve
from tf_nqs.runtime.startup import import_tensorflow

import_tensorflow()

import keras  # noqa: E402
import tensorflow as tf  # noqa: E402

import tf_nqs  # noqa: E402
from tf_nqs.config import Settings, settings_from  # noqa: E402
from tf_nqs.experiment.build import build_ansatz, build_system  # noqa: E402
from tf_nqs.named_systems import WITH_RANGE  # noqa: E402


def set_weights(ansatz: tf_nqs.FermionAnsatz, weights: Weights) -> None:
    """Sets the weights of the ansatz."""
    for layer, (own, shared, bias) in zip(ansatz.equivariant_layers, weights.equivariant, strict=True):
        layer.kernel.assign(np.concatenate([own, shared]))
        layer.bias.assign(bias)
    for variable, value in zip((ansatz.orbital_layer.kernel, ansatz.orbital_layer.bias), weights.orbitals, strict=True):
        variable.assign(value)
    ansatz.envelope.inverse_width.assign(weights.inverse_width[None])


def settings_of(problem: Problem, dtype: str) -> Settings:
    """Returns the settings of a problem's system and wave function; those but the determinant have their own sizes."""
    names = ["n_particles", "interaction", "interaction_strength", "ansatz", "seed"]
    names += ["interaction_range"] if problem.interaction in WITH_RANGE else []
    names += ["n_features", "n_layers"] if problem.ansatz == "slater" else []
    return settings_from(None, {name: getattr(problem, name) for name in names} | {"dtype": dtype})


class TfNqsEngine:
    """The phases of `VariationalMonteCarlo`, warmed up; "iterations" is its `fit`.

    Args:
        problem: the problem.
        dtype: dtype of all tensors.
        n_iterations: iterations of one `fit`.
    """

    def __init__(self, problem: Problem, dtype: str, n_iterations: int):
        self.versions = {"tf_nqs": tf_nqs.__version__, "tensorflow": tf.__version__, "keras": keras.__version__}
        self.n_iterations = n_iterations
        settings = settings_of(problem, dtype)
        keras.utils.set_random_seed(problem.seed)
        ansatz, system = build_ansatz(settings), build_system(settings)
        if problem.ansatz == "slater":
            set_weights(ansatz, draw_weights(problem, envelope_spread=0.1))
        sampler = tf_nqs.MetropolisHastings(
            problem.n_walkers,
            problem.n_steps,
            n_burn_in=0,
            proposal_width=problem.proposal_width,
            global_moves=False,
        )
        self.vmc = tf_nqs.VariationalMonteCarlo(ansatz, system, sampler, iterations_per_call=n_iterations)
        self.vmc.compile(keras.optimizers.Adam(problem.learning_rate))
        self.vmc.warm_up()
        self.vmc.positions.assign(draw_walkers(problem))
        energies = self.vmc.phases.local_energy(self.vmc.walkers.positions).total
        update = self._compiled_update(self.vmc.walkers.positions, energies)
        self.phases = {
            "sampling": lambda: self.vmc.phases.sample(self.vmc.walkers)[1].numpy(),
            "local_energy": lambda: self.vmc.phases.local_energy(self.vmc.walkers.positions).total.numpy(),
            "update": lambda: update().numpy(),
            "iterations": lambda: self.vmc.fit(n_iterations),
        }

    def _compiled_update(self, positions, energies):
        weights, variables = tf.ones_like(energies), self.vmc.ansatz.trainable_variables

        @tf.function
        def update():
            self.vmc.optimizer.apply(self.vmc.phases.derivatives(positions, energies, weights), variables)
            return self.vmc.optimizer.iterations

        return update

    def evaluate(self):
        """Returns ln|Psi| and the local energies, both (n_walkers,)."""
        positions = self.vmc.walkers.positions
        return self.vmc.ansatz.log_abs_psi(positions).numpy(), self.vmc.phases.local_energy(positions).total.numpy()

    def multiply(self, pairs):
        """Returns a callable that forms the products."""
        tensors = {id(array): tf.constant(array) for pair in pairs for array in pair}
        factors = [(tensors[id(a)], tensors[id(b)]) for a, b in pairs]
        return lambda: [tf.matmul(a, b) for a, b in factors]


if __name__ == "__main__":
    serve(TfNqsEngine)
