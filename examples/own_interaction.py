"""Your own interaction: springs between all particles, whose exact energy is known.

For v(r) = k r^2/2 the centre of mass keeps the frequency of the trap, and all other modes have sqrt(1 + A k), so that
E = 1/2 + sqrt(1 + A k) (A^2 - 1)/2.

    python examples/own_interaction.py
"""

import math

import keras

import tf_nqs
from tf_nqs.analysis import format_with_error

A, SPRING_CONSTANT = 2, 1.5
EXACT = 0.5 + math.sqrt(1 + A * SPRING_CONSTANT) * (A**2 - 1) / 2


def spring(distances):
    """Returns the energies of pairs, in hbar*omega: any function of x_i - x_j, in a_ho, of TensorFlow operations."""
    return 0.5 * SPRING_CONSTANT * distances**2


def main(**options):
    """Trains and returns the measured energy; options are arguments of `compile`."""
    keras.utils.set_random_seed(1)
    system = tf_nqs.TrappedFermions(A, pair_potential=spring)
    ansatz = tf_nqs.FermionAnsatz(A, n_features=16)
    vmc = tf_nqs.VariationalMonteCarlo(ansatz, system, tf_nqs.MetropolisHastings(n_walkers=256, n_steps=5))
    vmc.compile(**tf_nqs.training.make_optimizer("spring"), **options)
    vmc.fit(iterations=150)
    return vmc.evaluate_energy(target_error=2e-3, max_seconds=20, relations=False)


if __name__ == "__main__":
    measured = main()
    print(f"energy {format_with_error(measured.energy, measured.energy_error)}, exact {EXACT:.6f}")
