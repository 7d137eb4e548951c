"""The parts that a trainer is made of, checked before anything is compiled."""

from __future__ import annotations

import keras

from tf_nqs import defaults
from tf_nqs.ansatz.check import prepare_ansatz
from tf_nqs.ansatz.protocol import HasNumberOfParticles
from tf_nqs.execution.replicas import n_replicas
from tf_nqs.physics.contact import check_contact
from tf_nqs.physics.family import FermionFamily
from tf_nqs.physics.hamiltonian import TrappedFermions
from tf_nqs.physics.potentials import check_potentials
from tf_nqs.sampling import SamplerProtocol, check_sampler


def check_parts(
    ansatz: keras.Model, system: TrappedFermions, sampler: SamplerProtocol | None, family: FermionFamily | None = None
) -> None:
    """Checks that the parts of a trainer keep their contracts, and builds an ansatz that is not built yet.

    Args:
        ansatz: Keras model, positions (n_walkers, n_particles) -> SignedLog.
        system: the Hamiltonian.
        sampler: how |Psi|^2 is sampled; None for the default.
        family: to which the system belongs; None for one system.

    Raises:
        ValueError: a part does not keep its contract, ansatz and system have different numbers of particles, or the
            walkers cannot be spread over the replicas of the strategy in scope.
        TypeError: the sampler is no sampler.
    """
    check_sampler(sampler)
    n_walkers, replicas = defaults.N_WALKERS if sampler is None else sampler.n_walkers, n_replicas()
    if n_walkers % replicas:
        raise ValueError(f"n_walkers = {n_walkers}: must be a multiple of the strategy's {replicas} replicas")
    conditions = getattr(ansatz, "conditions", None)
    systems = None if conditions is None else conditions.with_own_scales()
    if systems != (None if family is None else family.conditions):
        raise ValueError(
            "conditions of the ansatz: must be those of the family"
            if family
            else "conditions of the ansatz: need a FermionFamily as system, this is one system"
        )
    prepare_ansatz(ansatz, system.n_particles)
    check_potentials(system.trap, system.pair_potential, system.n_particles, [ansatz.compute_dtype])
    check_contact(ansatz, system)
    is_for_one = family is None and isinstance(ansatz, HasNumberOfParticles)
    if is_for_one and ansatz.n_particles != system.n_particles:
        raise ValueError(f"n_particles = {ansatz.n_particles} of the ansatz: the system has {system.n_particles}")
