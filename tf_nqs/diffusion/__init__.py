"""Diffusion Monte Carlo: exact ground-state energies from a guide that vanishes only where particles meet."""

from tf_nqs.diffusion.energy import DiffusionEnergy, TimeStepEnergy, diffusion_energy
from tf_nqs.diffusion.guides import ansatz_guide, check_nodes, free_fermion_guide
from tf_nqs.diffusion.walk import Guide, GuideValues

__all__ = [
    "DiffusionEnergy",
    "Guide",
    "GuideValues",
    "TimeStepEnergy",
    "ansatz_guide",
    "check_nodes",
    "diffusion_energy",
    "free_fermion_guide",
]
