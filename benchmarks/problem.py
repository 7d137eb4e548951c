"""The common problem of all frameworks: system, network, initial weights and walkers, from NumPy alone.

Lengths are in a_ho, energies in hbar*omega.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np


@dataclass(frozen=True)
class Problem:
    """A system, a network with one determinant, and the work of an iteration; the defaults are the thesis'.

    Attributes:
        n_particles: number of fermions A.
        interaction_strength: V_0.
        interaction_range: sigma_0.
        n_features: number of features H of each equivariant layer.
        n_layers: number of equivariant layers L.
        n_walkers: number of walkers.
        n_steps: Metropolis steps per iteration.
        proposal_width: standard deviation of the proposed moves.
        learning_rate: learning rate of Adam.
        seed: seed of weights and walkers.
        ansatz: wave function; those but slater in tf_nqs alone, with its own sizes and start.
        interaction: its name; those but gaussian in tf_nqs alone.
    """

    n_particles: int = 4
    interaction_strength: float = 10.0
    interaction_range: float = 0.5
    n_features: int = 64
    n_layers: int = 2
    n_walkers: int = 4096
    n_steps: int = 10
    proposal_width: float = 0.5
    learning_rate: float = 1e-4
    seed: int = 0
    ansatz: str = "slater"
    interaction: str = "gaussian"

    @property
    def is_common(self) -> bool:
        """Whether all frameworks have it: the determinant with the Gaussian interaction."""
        return (self.ansatz, self.interaction) == ("slater", "gaussian")

    @property
    def interaction_height(self) -> float:
        """V_0 / (sqrt(2 pi) sigma_0), the pair potential at distance 0."""
        return self.interaction_strength / (math.sqrt(2 * math.pi) * self.interaction_range)

    @property
    def log_norm(self) -> float:
        """ln (A!)^(-1/2)."""
        return -0.5 * math.lgamma(self.n_particles + 1)


class Weights(NamedTuple):
    """The parameters of the network; a product [h, mean(h)] W is stored as h `own` + mean(h) `shared`.

    Attributes:
        equivariant: (own, shared, bias) of each layer, shapes (n_inputs, H), (n_inputs, H), (H,).
        orbitals: (kernel, bias), shapes (H, A), (A,).
        inverse_width: inverse widths of the envelopes, shape (A,).
    """

    equivariant: list[tuple[np.ndarray, np.ndarray, np.ndarray]]
    orbitals: tuple[np.ndarray, np.ndarray]
    inverse_width: np.ndarray


def draw_weights(problem: Problem, envelope_spread: float = 0.0) -> Weights:
    """Returns initial weights as `tf_nqs` draws them, U(-1, 1)/sqrt(fan_in), biases included.

    Args:
        problem: sizes and seed.
        envelope_spread: relative spread of the inverse widths about 1/sqrt(2); a spread above 0 reveals a
            framework that permutes them.
    """
    generator = np.random.default_rng([problem.seed, 0])
    n_features, n_particles = problem.n_features, problem.n_particles

    def uniform(fan_in, *shape):
        return generator.uniform(-1, 1, shape) * fan_in**-0.5

    equivariant = []
    for n_inputs in [1] + [n_features] * (problem.n_layers - 1):
        fan_in = 2 * n_inputs
        kernels = [uniform(fan_in, n_inputs, n_features) for _ in ("own", "shared")]
        equivariant.append((*kernels, uniform(fan_in, n_features)))
    orbitals = uniform(n_features, n_features, n_particles), uniform(n_features, n_particles)
    spread = 1 + envelope_spread * generator.uniform(-1, 1, n_particles)
    return Weights(equivariant, orbitals, 0.5**0.5 * spread)


def draw_walkers(problem: Problem) -> np.ndarray:
    """Returns positions from N(0, 1), float64, shape (n_walkers, n_particles)."""
    generator = np.random.default_rng([problem.seed, 1])
    return generator.normal(size=(problem.n_walkers, problem.n_particles))
