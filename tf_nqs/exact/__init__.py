"""Reference ground states of trapped fermions; every run computes them, no table holds them."""

from __future__ import annotations

import importlib
from typing import Any

from tf_nqs.exact.closed_forms import closed_form_energy
from tf_nqs.exact.cluster import Cluster, best_cluster, gaussian_cluster, narrow_well
from tf_nqs.exact.convergence import best_frequency, diagonalised_energy
from tf_nqs.exact.density_matrix import density, one_body_density_matrix
from tf_nqs.exact.diagonalisation import GroundState, ground_state
from tf_nqs.exact.free_fermions import (
    free_fermion_density,
    free_fermion_energy,
    oscillator_orbitals,
)
from tf_nqs.exact.free_pair import bound_pair_energy, critical_strength
from tf_nqs.exact.observables import (
    ExactObservables,
    exact_observables,
    free_fermion_observables,
    state_observables,
    wave_function_bytes,
)
from tf_nqs.exact.reference import LARGEST_DIAGONALISED, NO_REFERENCE, Reference, reference_energy
from tf_nqs.exact.relative_coordinate import two_particle_energy

__all__ = [
    "LARGEST_DIAGONALISED",
    "NO_REFERENCE",
    "Cluster",
    "ExactObservables",
    "GroundState",
    "Reference",
    "best_cluster",
    "best_frequency",
    "bound_pair_energy",
    "closed_form_energy",
    "critical_strength",
    "density",
    "diagonalised_energy",
    "diffusion_energy",
    "exact_observables",
    "free_fermion_density",
    "free_fermion_energy",
    "free_fermion_observables",
    "gaussian_cluster",
    "ground_state",
    "narrow_well",
    "one_body_density_matrix",
    "oscillator_orbitals",
    "reference_energy",
    "state_observables",
    "two_particle_energy",
    "wave_function_bytes",
]


def __getattr__(name: str) -> Any:
    if name == "diffusion_energy":  # loads TensorFlow
        return importlib.import_module("tf_nqs.diffusion").diffusion_energy
    raise AttributeError(f"module 'tf_nqs.exact' has no attribute {name!r}")
