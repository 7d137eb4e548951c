"""Hamiltonian, Laplacian, determinant and energy estimates: pure functions of positions and wave functions."""

from tf_nqs.physics.determinant import signed_log_sum_of_determinants
from tf_nqs.physics.energy import clip_local_energy, estimate_energy, weighted_mean
from tf_nqs.physics.family import FermionFamily
from tf_nqs.physics.hamiltonian import TrappedFermions, gaussian_interaction, harmonic_trap
from tf_nqs.physics.laplacian import nested_tapes
from tf_nqs.physics.oscillator import free_fermions, oscillator_orbitals

__all__ = [
    "FermionFamily",
    "TrappedFermions",
    "clip_local_energy",
    "estimate_energy",
    "free_fermions",
    "gaussian_interaction",
    "harmonic_trap",
    "nested_tapes",
    "oscillator_orbitals",
    "signed_log_sum_of_determinants",
    "weighted_mean",
]
