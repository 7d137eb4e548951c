"""Your own trap and sampler: a trap of twice the frequency, sampled by Hamiltonian Monte Carlo.

A trap is a function of positions (n_walkers, n_particles) that returns one energy per walker, made of TensorFlow
operations. A sampler needs only a kernel of TensorFlow Probability: `tf_nqs.sampling.Sampler` does the rest.

Free fermions of frequency w have the energy w A^2/2.

    python examples/own_sampler.py
"""

import keras
import tensorflow as tf
import tensorflow_probability as tfp

import tf_nqs
from tf_nqs.analysis import format_with_error

A, FREQUENCY = 2, 2.0
EXACT = FREQUENCY * A**2 / 2


def stiff_trap(positions):
    """Returns sum_i w^2 x_i^2/2, shape (n_walkers,), in hbar*omega."""
    return 0.5 * FREQUENCY**2 * tf.reduce_sum(positions**2, axis=1)


class HamiltonianMonteCarlo(tf_nqs.sampling.Sampler):
    """Proposals that follow the gradient of ln|Psi|^2 for three steps; the proposal width is the step size."""

    default_acceptance = 0.7

    def kernel(self, log_probability, proposal_width, noise):
        """Returns the kernel of one step; it draws its own random numbers, so noise is None."""
        return tfp.mcmc.HamiltonianMonteCarlo(log_probability, proposal_width, num_leapfrog_steps=3)


def main(**options):
    """Trains and returns the measured energy; options are arguments of `compile`."""
    keras.utils.set_random_seed(1)
    system = tf_nqs.TrappedFermions(A, interaction_strength=0.0, trap=stiff_trap)
    ansatz = tf_nqs.FermionAnsatz(A, n_features=16)
    vmc = tf_nqs.VariationalMonteCarlo(ansatz, system, HamiltonianMonteCarlo(n_walkers=128, n_steps=2))
    vmc.compile(**tf_nqs.training.make_optimizer("spring"), **options)
    vmc.fit(iterations=60)
    return vmc.evaluate_energy(target_error=2e-3, max_seconds=20, relations=False)


if __name__ == "__main__":
    measured = main()
    print(f"energy {format_with_error(measured.energy, measured.energy_error)}, exact {EXACT:.4f}")
