"""Your own network: orbitals from attention between the particles, instead of the package's layers.

A wave function is any Keras model, positions -> (sign, ln|Psi|), that is antisymmetric: exchanging two particles must
keep ln|Psi| and flip the sign, or the trainer refuses it. Here attention treats all particles alike and the determinant
flips the sign. The package's determinant compiles under XLA; `tf.linalg.slogdet` does not.

    python examples/own_network.py
"""

import keras
import tensorflow as tf

import tf_nqs
from tf_nqs.analysis import format_with_error

A, STRENGTH, RANGE = 2, 10.0, 0.5


class AttentionFermions(keras.Model):
    """Psi = det_ij(M_ij(x) exp(-x_i^2/2)), with orbitals M that see all particles."""

    def __init__(self, n_particles, n_features=16, **kwargs):
        super().__init__(**kwargs)
        self.n_particles = n_particles
        self.embedding = keras.layers.Dense(n_features, activation="tanh")
        self.attention = keras.layers.MultiHeadAttention(num_heads=2, key_dim=8)
        self.mixing = keras.layers.Dense(n_features, activation="tanh")
        self.orbitals = keras.layers.Dense(n_particles)
        self.determinant = tf_nqs.layers.SlaterDeterminant()

    def call(self, positions):
        """Returns sign and ln|Psi|, shape (n_walkers,) each, of positions (n_walkers, n_particles)."""
        features = self.embedding(positions[:, :, None])
        features = features + self.attention(features, features)
        features = features + self.mixing(features)
        matrices = self.orbitals(features)[:, None]  # one determinant: (n_walkers, 1, n_particles, n_particles)
        log_envelope = -0.5 * positions[:, None, :, None] ** 2 * tf.ones_like(matrices)
        return self.determinant(matrices, log_envelope)


def main(**options):
    """Trains and returns the measured energy, and the model; options are arguments of `compile`."""
    keras.utils.set_random_seed(1)
    system = tf_nqs.TrappedFermions(A, STRENGTH, RANGE)
    ansatz = AttentionFermions(A)
    vmc = tf_nqs.VariationalMonteCarlo(ansatz, system, tf_nqs.MetropolisHastings(n_walkers=128, n_steps=5))
    vmc.compile(**tf_nqs.training.make_optimizer("spring"), **options)
    vmc.fit(iterations=120)
    return vmc.evaluate_energy(target_error=2e-3, max_seconds=20, relations=False), ansatz


if __name__ == "__main__":
    measured, _ = main()
    exact = tf_nqs.reference_energy(A, STRENGTH, RANGE).energy
    print(f"energy {format_with_error(measured.energy, measured.energy_error)}, exact {exact:.6f}")
