"""Re-weighting: several iterations share samples; new ones are drawn before the weights become uneven.

python examples/reweighting.py
"""

import keras

import tf_nqs
from tf_nqs.analysis import format_with_error

ITERATIONS = 150


def main(**options):
    """Trains and returns the measured energy and the number of samplings; options are arguments of `compile`."""
    keras.utils.set_random_seed(1)
    system = tf_nqs.TrappedFermions(2, interaction_strength=10.0)
    ansatz = tf_nqs.FermionAnsatz(2, n_features=16)
    vmc = tf_nqs.VariationalMonteCarlo(
        ansatz,
        system,
        tf_nqs.MetropolisHastings(n_walkers=512, n_steps=5),
        reuse=tf_nqs.sampling.ReusePolicy("guarded", least_effective_fraction=0.9),
    )
    vmc.compile(**tf_nqs.training.make_optimizer("spring"), **options)
    vmc.fit(iterations=ITERATIONS)
    return vmc.evaluate_energy(target_error=2e-3, max_seconds=20, relations=False), int(vmc.reuse.n_samplings)


if __name__ == "__main__":
    measured, n_samplings = main()
    exact = tf_nqs.reference_energy(2, 10.0, 0.5).energy
    print(f"{n_samplings} samplings for {ITERATIONS} iterations")
    print(f"energy {format_with_error(measured.energy, measured.energy_error)}, exact {exact:.6f}")
