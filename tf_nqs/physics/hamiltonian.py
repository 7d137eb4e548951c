"""The Hamiltonian of trapped fermions, and the local energy of a wave function under it."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tf_nqs import defaults
from tf_nqs.named_systems import INTERACTIONS, TRAPS, NamedSystem, check_parameters, resolved_range, trap_name
from tf_nqs.physics.contact import contact_energy, nested_tapes_at_contact
from tf_nqs.physics.interactions import (
    PairPotential,
    gaussian_interaction,
    has_quadratic_part,
    imported_interaction,
    regular_interaction,
)
from tf_nqs.physics.laplacian import nested_tapes
from tf_nqs.physics.pairs import pair_differences
from tf_nqs.physics.parameters import SystemParameters, as_variables, assign, like, parameters_of
from tf_nqs.physics.potentials import check_potentials
from tf_nqs.physics.traps import harmonic_trap, parametric_trap
from tf_nqs.types import LocalEnergy, LogAbsPsi, LogDerivatives, PositionsToEnergy, Tensor
from tf_nqs.whole_numbers import whole_number

__all__ = ["TrappedFermions", "gaussian_interaction", "harmonic_trap"]

_MOST_SLICES = 28
"""Pairs that are added one after the other: those of eight particles."""


class TrappedFermions:
    """The Hamiltonian H = sum_i [-1/2 d_i^2 + trap(x_i)] + sum_{i<j} v(x_i - x_j) of spinless fermions on a line.

    Args:
        n_particles: number of fermions A.
        interaction_strength: of the interaction: V_0 of gaussian (in hbar*omega*a_ho), kappa of harmonic, c of coth, l
            of calogero, q of soft_coulomb; see `tf_nqs.physics.interactions`.
        interaction_range: of gaussian (sigma_0) and soft_coulomb, in a_ho; None for 0.5. The others have none.
        trap: harmonic, none, double_well or quartic, see `tf_nqs.physics.traps`; True for harmonic, False for none; or
            any callable, positions (n_walkers, n_particles) -> energy of each walker, summed over its particles
            (n_walkers,).
        pair_potential: None for the interaction, or any callable in its place, distances x_i - x_j in a_ho, of either
            sign, (n_walkers, n_pairs) -> energies of the same shape. Callables are made of TensorFlow operations,
            keep the dtype, and are tried on two walkers at once.
        interaction: gaussian, harmonic, coth, calogero, soft_coulomb or none; or `module:function`, a pair potential
            that is imported.
        pair_stiffness: kappa, adds kappa r^2/2 to any interaction, in hbar*omega/a_ho^2.
        trap_quartic: coefficient of x^4 in the quartic trap, in hbar*omega/a_ho^4.
        trap_separation: half the distance of the wells of the double well, in a_ho.

    Attributes:
        parameters: the numbers in it, as variables: data of compiled functions.
        contact_exponent: l of the ground state, which vanishes as |r|^l where two particles meet; 1 but for calogero,
            and for one particle.

    Raises:
        TypeError: trap or pair_potential is no such callable.
        ValueError: n_particles is not an integer of at least 1, a name is unknown, a parameter is one that the
            interaction or the trap does not have or allow, or a callable returns another shape.

    Example:
        >>> gaussian = TrappedFermions(n_particles=4, interaction_strength=10.0, interaction_range=0.5)
        >>> calogero = TrappedFermions(n_particles=8, interaction="calogero", interaction_strength=1.8)
        >>> cosine = TrappedFermions(n_particles=4, pair_potential=lambda r: 1.0 + tf.cos(r))

    Reference: thesis, Eq. 2.
    """

    def __init__(
        self,
        n_particles: int,
        interaction_strength: float = defaults.INTERACTION_STRENGTH,
        interaction_range: float | None = None,
        trap: bool | str | PositionsToEnergy = defaults.TRAP,
        pair_potential: PairPotential | None = None,
        interaction: str = defaults.INTERACTION,
        pair_stiffness: float = defaults.PAIR_STIFFNESS,
        trap_quartic: float = defaults.TRAP_QUARTIC,
        trap_separation: float = defaults.TRAP_SEPARATION,
    ):
        self.n_particles = whole_number("n_particles", n_particles, 1)
        self.trap = _checked_trap(trap)
        self.interaction = interaction
        self.pair_potential = _own_potential(interaction, pair_potential)
        system = NamedSystem(
            self.n_particles,
            interaction,
            interaction_strength,
            interaction_range,
            pair_stiffness,
            self.trap if isinstance(self.trap, str) else "a function",
            trap_quartic,
            trap_separation,
        )
        check_parameters(system)
        check_potentials(self.trap, self.pair_potential, self.n_particles)
        self.interaction_strength = float(interaction_strength)
        self.interaction_range = resolved_range(interaction, interaction_range)
        self.pair_stiffness = float(pair_stiffness)
        self.contact_exponent = system.contact_exponent
        self.is_free = self.pair_potential is None and system.is_free
        self.named = system
        self.parameters = as_variables(parameters_of(system))
        self._trap_energy = parametric_trap(self.trap)
        self._pair_energy = regular_interaction(system, self.pair_potential)
        self._has_quadratic_part = has_quadratic_part(system)

    def assign(
        self,
        interaction_strength: float | None = None,
        interaction_range: float | None = None,
        pair_stiffness: float | None = None,
        trap_quartic: float | None = None,
        trap_separation: float | None = None,
    ) -> None:
        """Gives the system other parameters; compiled functions follow, and compile nothing again.

        Args:
            interaction_strength: as in the constructor, as all of these; None leaves a parameter as it is.
            interaction_range: likewise.
            pair_stiffness: likewise.
            trap_quartic: likewise.
            trap_separation: likewise.

        Raises:
            ValueError: a value is one that the interaction or the trap does not have or allow; the strength of calogero
                changes, which is a part of the wave function; or a system without any r^2/2 would get one.
        """
        given = {
            "interaction_strength": interaction_strength,
            "interaction_range": interaction_range,
            "pair_stiffness": pair_stiffness,
            "trap_quartic": trap_quartic,
            "trap_separation": trap_separation,
        }
        changed: dict[str, Any] = {name: float(value) for name, value in given.items() if value is not None}
        system = self.named._replace(**changed)
        check_parameters(system)
        if has_quadratic_part(system) and not self._has_quadratic_part:
            raise ValueError(
                f"pair_stiffness = {system.pair_stiffness:g}: must stay 0, as the compiled functions of this system "
                "have no such term; make another TrappedFermions"
            )
        if system.contact_exponent != self.contact_exponent:
            raise ValueError(
                f"interaction_strength = {interaction_strength:g} of calogero: must stay {self.contact_exponent:g}, "
                "as the wave function depends on it"
            )
        self.named = system
        self.interaction_strength = float(system.interaction_strength)
        self.interaction_range = resolved_range(system.interaction, system.interaction_range)
        self.pair_stiffness = float(system.pair_stiffness)
        self.is_free = self.pair_potential is None and system.is_free
        assign(self.parameters, parameters_of(system))

    def trap_energy(self, positions: Tensor, parameters: SystemParameters | None = None) -> Tensor:
        """Returns the trap's energy of each walker, shape (n_walkers,), in hbar*omega.

        Args:
            positions: x in a_ho, shape (n_walkers, n_particles).
            parameters: numbers, or one row per walker; None for the system's own.
        """
        return self._trap_energy(positions, like(parameters or self.parameters, positions))

    def interaction_energy(self, positions: Tensor, parameters: SystemParameters | None = None) -> Tensor:
        """Returns the interaction's part of the local energy, sum_{i<j} v(x_i - x_j), shape (n_walkers,).

        Of calogero it is that of the rest beside l(l-1)/r^2, which the kinetic part of the local energy cancels, see
        `tf_nqs.physics.contact`; `contact_energy` has what is missing.

        Args:
            positions: x in a_ho, shape (n_walkers, n_particles).
            parameters: numbers, or one row per walker; None for the system's own.
        """
        return _sum_of_pairs(self.regular_pair_energy(pair_differences(positions), parameters))

    def contact_energy(self, positions: Tensor) -> Tensor:
        """Returns l(l-1) sum_{i<j} 1/(x_i - x_j)^2 of calogero, 0 for all others, shape (n_walkers,)."""
        if self.contact_exponent == 1.0:
            return tf.zeros_like(positions[:, 0])
        return contact_energy(positions, self.contact_exponent)

    def pair_energy(self, distances: Tensor) -> Tensor:
        """Returns v of distances in a_ho, of the same shape, in hbar*omega."""
        regular = self.regular_pair_energy(distances)
        factor = self.contact_exponent * (self.contact_exponent - 1.0)
        return regular + factor / distances**2 if factor else regular

    def regular_pair_energy(self, distances: Tensor, parameters: SystemParameters | None = None) -> Tensor:
        """Returns v without the l(l-1)/r^2 of calogero, of distances in a_ho, of the same shape, in hbar*omega."""
        distances = tf.convert_to_tensor(distances)
        return self._pair_energy(distances, like(parameters or self.parameters, distances))

    def local_energy(
        self, positions: Tensor, derivatives: LogDerivatives, parameters: SystemParameters | None = None
    ) -> LocalEnergy:
        """Returns e_L = (H Psi)/Psi = -1/2 (lap Psi)/Psi + trap + interaction, in its parts.

        Args:
            positions: x in a_ho, shape (n_walkers, n_particles).
            derivatives: the wave function's derivatives at the positions; of calogero without the
                2 l(l-1) sum 1/(x_i - x_j)^2 of the Laplacian, see `tf_nqs.physics.contact`.
            parameters: numbers, or one row per walker; None for the system's own.

        Returns:
            LocalEnergy, each part of shape (n_walkers,), in hbar*omega. Of calogero the kinetic energy is too large by
            `contact_energy`, the interaction too small by it, and their sum is right.

        Reference: thesis, Eq. 14.
        """
        kinetic = -0.5 * derivatives.laplacian
        trap, interaction = self.trap_energy(positions, parameters), self.interaction_energy(positions, parameters)
        return LocalEnergy(kinetic, trap, interaction)

    def local_energy_of(self, log_abs_psi: LogAbsPsi, positions: Tensor) -> LocalEnergy:
        """Returns the local energy of any wave function, by nested GradientTapes.

        Args:
            log_abs_psi: callable, (n_walkers, n_particles) -> (n_walkers,); of calogero it must vanish as |r|^l.
            positions: x in a_ho, shape (n_walkers, n_particles).

        Returns:
            LocalEnergy, each part of shape (n_walkers,), in hbar*omega; of calogero as `local_energy` says.
        """
        if self.contact_exponent == 1.0:
            return self.local_energy(positions, nested_tapes(log_abs_psi, positions))
        derivatives = nested_tapes_at_contact(log_abs_psi, positions, self.contact_exponent)
        return self.local_energy(positions, derivatives)


def _sum_of_pairs(energies: Tensor) -> Tensor:
    """The sum over pairs, shape (n_walkers,), of energies (n_walkers, n_pairs).

    Of few pairs it is a sum of slices. XLA rounds a reduction in another way when the height of the interaction, which
    it multiplies by, is no constant; sums of slices it rounds alike.
    """
    n_pairs = energies.shape[1]
    if n_pairs and n_pairs <= _MOST_SLICES:
        return tf.add_n(tf.unstack(energies, axis=1))
    return tf.reduce_sum(energies, axis=1)


def _checked_trap(trap: bool | str | PositionsToEnergy) -> str | PositionsToEnergy:
    """Returns the name of a trap that has one, else the callable; what is neither is refused later.

    Raises:
        ValueError: no trap has this name.
    """
    named: str | PositionsToEnergy = trap_name(trap)
    if isinstance(named, str) and named not in TRAPS:
        raise ValueError(f"trap = {trap!r}: must be one of {', '.join(TRAPS)}, True, False or a function")
    return named


def _own_potential(interaction: str, pair_potential: PairPotential | None) -> PairPotential | None:
    """Returns the pair potential that takes the place of a named interaction, None where there is none.

    Raises:
        ValueError: the interaction has an unknown name, cannot be imported, or both are given.
    """
    if pair_potential is not None and interaction != defaults.INTERACTION:
        raise ValueError(f"interaction = {interaction!r} contradicts pair_potential: one of them must be left out")
    if pair_potential is not None or interaction in INTERACTIONS:
        return pair_potential
    return imported_interaction(interaction)
