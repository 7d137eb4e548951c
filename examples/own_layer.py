"""Your own layer: a Jastrow factor in front of the determinants, with two trainable numbers.

A wave function is any Keras model that returns (sign, log_abs_psi). The factor does not depend on the order of
the particles, so the product stays antisymmetric. Without a `forward_laplacian` its derivatives come from nested tapes.

    python examples/own_layer.py
"""

import keras
import tensorflow as tf

import tf_nqs
from tf_nqs.analysis import format_with_error
from tf_nqs.types import SignedLog

A, STRENGTH, RANGE = 2, 10.0, 0.5


class Jastrow(keras.layers.Layer):
    """ln J = -height sum_{i<j} exp(-((x_i - x_j)/width)^2)."""

    def build(self, input_shape):
        """Creates the two weights; the initial width is the range of the interaction."""
        self.height = self.add_weight(shape=(), initializer="zeros", name="height")
        self.width = self.add_weight(shape=(), initializer=keras.initializers.Constant(RANGE), name="width")

    def call(self, positions):
        """Returns ln J, shape (n_walkers,), of positions (n_walkers, n_particles)."""
        distances = positions[:, :, None] - positions[:, None, :]
        humps = tf.exp(-((distances / self.width) ** 2))
        n_particles = positions.shape[1]
        return -0.5 * self.height * (tf.reduce_sum(humps, axis=(1, 2)) - n_particles)  # without i = j, pairs once


class JastrowSlater(keras.Model):
    """Psi = J(x) times the network's determinants."""

    def __init__(self, n_particles, **kwargs):
        super().__init__(**kwargs)
        self.n_particles = n_particles
        self.fermions = tf_nqs.FermionAnsatz(n_particles, n_features=16)
        self.jastrow = Jastrow()
        self(tf.zeros((1, n_particles)))  # creates the weights

    def call(self, positions):
        """Returns sign and ln|Psi|, shape (n_walkers,) each."""
        sign, log_abs_psi = self.fermions(positions)
        return SignedLog(sign, log_abs_psi + self.jastrow(positions))


def main(**options):
    """Trains and returns the measured energy, and the model; options are arguments of `compile`."""
    keras.utils.set_random_seed(1)
    system = tf_nqs.TrappedFermions(A, STRENGTH, RANGE)
    ansatz = JastrowSlater(A)
    vmc = tf_nqs.VariationalMonteCarlo(ansatz, system, tf_nqs.MetropolisHastings(n_walkers=256, n_steps=5))
    vmc.compile(**tf_nqs.training.make_optimizer("spring"), **options)
    vmc.fit(iterations=150)
    return vmc.evaluate_energy(target_error=2e-3, max_seconds=20, relations=False), ansatz


if __name__ == "__main__":
    measured, model = main()
    exact = tf_nqs.reference_energy(A, STRENGTH, RANGE).energy
    print(f"energy {format_with_error(measured.energy, measured.energy_error)}, exact {exact:.6f}")
    print(f"height {float(model.jastrow.height):.3f}, width {float(model.jastrow.width):.3f} a_ho")
