"""Diffusion Monte Carlo: exact ground-state energies from a guide that vanishes only where particles meet."""

from tf_nqs.diffusion.best_guide import UntrainedGuide, best_guide
from tf_nqs.diffusion.energy import DiffusionEnergy, Progress, TooShortError, diffusion_energy
from tf_nqs.diffusion.extrapolation import TimeStepEnergy
from tf_nqs.diffusion.guides import (
    Stiffness,
    ansatz_guide,
    best_stiffness,
    check_nodes,
    free_fermion_guide,
    free_fermion_positions,
)
from tf_nqs.diffusion.observables import Look, Observed, look_at, observed_by
from tf_nqs.diffusion.pair_factor import PairFactor, pair_factor
from tf_nqs.diffusion.walk import Guide, GuideValues

__all__ = [
    "DiffusionEnergy",
    "Guide",
    "GuideValues",
    "Look",
    "Observed",
    "PairFactor",
    "Progress",
    "Stiffness",
    "TimeStepEnergy",
    "TooShortError",
    "UntrainedGuide",
    "ansatz_guide",
    "best_guide",
    "best_stiffness",
    "check_nodes",
    "diffusion_energy",
    "free_fermion_guide",
    "free_fermion_positions",
    "look_at",
    "observed_by",
    "pair_factor",
]
