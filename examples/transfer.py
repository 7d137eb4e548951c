"""Transfer: the trained weights of two particles start a training of three, at first with frozen equivariant layers.

python examples/transfer.py
"""

import keras

import tf_nqs


def trainer(ansatz, **options):
    """Returns a compiled trainer with few walkers."""
    system = tf_nqs.TrappedFermions(ansatz.n_particles, interaction_strength=5.0)
    vmc = tf_nqs.VariationalMonteCarlo(ansatz, system, tf_nqs.MetropolisHastings(n_walkers=256, n_steps=5))
    vmc.compile(**tf_nqs.training.make_optimizer("spring"), **options)
    return vmc


def main(**options):
    """Trains two particles, then three; options are arguments of `compile`.

    Returns the report of the transfer, the callback that releases the layers, and the trainer of three.
    """
    keras.utils.set_random_seed(1)
    two = tf_nqs.FermionAnsatz(2, n_features=16)
    trainer(two, **options).fit(iterations=50)

    three = tf_nqs.FermionAnsatz(3, n_features=16)
    report = tf_nqs.transfer_from(two, three, freeze_equivariant=True)
    vmc = trainer(three, **options)
    release = tf_nqs.callbacks.ReleaseLayers(three.equivariant_layers, at_iteration=40)
    vmc.fit(iterations=60, callbacks=[release])
    return report, release, vmc


if __name__ == "__main__":
    report, release, vmc = main()
    print("\n".join(report.lines()))
    print(f"frozen layers released after iteration {release.switched_at}")
    print(f"energy of the last iterations {vmc.recent_iterations()['energy'].mean():.3f}")
