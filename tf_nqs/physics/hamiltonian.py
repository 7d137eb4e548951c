"""The Hamiltonian of trapped fermions, and the local energy of a wave function under it."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tf_nqs import defaults
from tf_nqs.physics.laplacian import nested_tapes
from tf_nqs.physics.potentials import check_potentials
from tf_nqs.types import LocalEnergy, LogAbsPsi, LogDerivatives, PositionsToEnergy, Tensor
from tf_nqs.whole_numbers import whole_number


def harmonic_trap(positions: Tensor) -> Tensor:
    """Returns sum_i x_i^2/2, shape (n_walkers,), in hbar*omega, of positions (n_walkers, n_particles) in a_ho."""
    return 0.5 * tf.reduce_sum(positions**2, axis=1)


def gaussian_interaction(interaction_strength: float, interaction_range: float) -> Callable[[Tensor], Tensor]:
    """Returns the pair potential V_0/(sqrt(2 pi) sigma_0) exp(-r^2/(2 sigma_0^2)) as a function of the distance r.

    Args:
        interaction_strength: V_0 in hbar*omega*a_ho, negative if attractive.
        interaction_range: sigma_0 in a_ho.

    Returns:
        Callable from distances in a_ho to energies in hbar*omega, of the same shape.

    Reference: thesis, Eq. 2.
    """
    height = interaction_strength / (math.sqrt(2 * math.pi) * interaction_range)
    return lambda distances: height * tf.exp(-0.5 * (distances / interaction_range) ** 2)


class TrappedFermions:
    """The Hamiltonian H = sum_i [-1/2 d_i^2 + trap(x_i)] + sum_{i<j} v(x_i - x_j) of spinless fermions on a line.

    Args:
        n_particles: number of fermions A.
        interaction_strength: V_0 of the Gaussian interaction, in hbar*omega*a_ho.
        interaction_range: sigma_0 of the Gaussian interaction, in a_ho.
        trap: True for the harmonic trap, False for none, or any callable, positions (n_walkers, n_particles) ->
            energy of each walker, summed over its particles (n_walkers,).
        pair_potential: None for the Gaussian interaction, or any callable, distances x_i - x_j in a_ho, of either
            sign, (n_walkers, n_pairs) -> energies of the same shape. Callables are made of TensorFlow operations,
            keep the dtype, and are tried on two walkers at once.

    Raises:
        TypeError: trap or pair_potential is no such callable.
        ValueError: n_particles is not an integer of at least 1, interaction_range is not positive, or a callable
            returns another shape.

    Example:
        >>> gaussian = TrappedFermions(n_particles=4, interaction_strength=10.0, interaction_range=0.5)
        >>> cosine = TrappedFermions(n_particles=4, pair_potential=lambda r: 1.0 + tf.cos(r))

    Reference: thesis, Eq. 2.
    """

    def __init__(
        self,
        n_particles: int,
        interaction_strength: float = defaults.INTERACTION_STRENGTH,
        interaction_range: float = defaults.INTERACTION_RANGE,
        trap: bool | PositionsToEnergy = True,
        pair_potential: Callable[[Tensor], Tensor] | None = None,
    ):
        n_particles = whole_number("n_particles", n_particles, 1)
        if not math.isfinite(interaction_strength):
            raise ValueError(f"interaction_strength = {interaction_strength}: must be finite")
        if not 0 < interaction_range < math.inf:
            raise ValueError(f"interaction_range = {interaction_range}: must be positive and finite")
        check_potentials(trap, pair_potential, n_particles)
        self.n_particles = n_particles
        self.interaction_strength = float(interaction_strength)
        self.interaction_range = float(interaction_range)
        self.trap = trap
        self.pair_potential = pair_potential
        self._pair_energy = pair_potential or gaussian_interaction(self.interaction_strength, self.interaction_range)

    def trap_energy(self, positions: Tensor) -> Tensor:
        """Returns the trap's energy of each walker, shape (n_walkers,), in hbar*omega."""
        if self.trap is False:
            return tf.zeros_like(positions[:, 0])
        return harmonic_trap(positions) if self.trap is True else self.trap(positions)

    def interaction_energy(self, positions: Tensor) -> Tensor:
        """Returns sum_{i<j} v(x_i - x_j), shape (n_walkers,), in hbar*omega."""
        first, second = np.triu_indices(self.n_particles, k=1)
        distances = tf.gather(positions, first, axis=1) - tf.gather(positions, second, axis=1)
        return tf.reduce_sum(self._pair_energy(distances), axis=1)

    def pair_energy(self, distances: Tensor) -> Tensor:
        """Returns v of distances in a_ho, of the same shape, in hbar*omega."""
        return self._pair_energy(distances)

    def local_energy(self, positions: Tensor, derivatives: LogDerivatives) -> LocalEnergy:
        """Returns e_L = (H Psi)/Psi = -1/2 (lap Psi)/Psi + trap + interaction, in its parts.

        Args:
            positions: x in a_ho, shape (n_walkers, n_particles).
            derivatives: the wave function's derivatives at the positions.

        Returns:
            LocalEnergy, each part of shape (n_walkers,), in hbar*omega.

        Reference: thesis, Eq. 14.
        """
        kinetic = -0.5 * derivatives.laplacian
        return LocalEnergy(kinetic, self.trap_energy(positions), self.interaction_energy(positions))

    def local_energy_of(self, log_abs_psi: LogAbsPsi, positions: Tensor) -> LocalEnergy:
        """Returns the local energy of any wave function, by nested GradientTapes.

        Args:
            log_abs_psi: callable, (n_walkers, n_particles) -> (n_walkers,).
            positions: x in a_ho, shape (n_walkers, n_particles).

        Returns:
            LocalEnergy, each part of shape (n_walkers,), in hbar*omega.
        """
        return self.local_energy(positions, nested_tapes(log_abs_psi, positions))
