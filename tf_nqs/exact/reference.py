"""The reference energy of a system."""

from collections.abc import Callable
from typing import NamedTuple

from tf_nqs import defaults
from tf_nqs.exact.closed_forms import closed_form_energy
from tf_nqs.exact.convergence import diagonalised_energy
from tf_nqs.exact.free_fermions import free_fermion_energy
from tf_nqs.exact.free_pair import bound_pair_energy
from tf_nqs.exact.relative_coordinate import two_particle_energy
from tf_nqs.named_systems import NamedSystem, check_parameters, is_plain_gaussian, resolved_range, trap_name
from tf_nqs.whole_numbers import finite_number, whole_number

LARGEST_DIAGONALISED = 6
# With a larger remainder the distance from the reference would be meaningless.
_LARGEST_UNCERTAINTY = 1e-2


class Reference(NamedTuple):
    """A ground-state energy for comparison.

    Attributes:
        energy: in hbar omega; an upper bound for the kind "diagonalisation". None if there is no
            reference.
        kind: "free_fermions", "closed_form", "relative_coordinate", "diagonalisation", "diffusion" or "none".
        uncertainty: in hbar omega; for the kind "diagonalisation" the maximum distance of the
            ground state below `energy`, for "diffusion" the standard error. None if there is no reference.
    """

    energy: float | None
    kind: str
    uncertainty: float | None


NO_REFERENCE = Reference(None, "none", None)
"""There is none."""


def reference_energy(
    n_particles: int,
    interaction_strength: float = defaults.INTERACTION_STRENGTH,
    interaction_range: float | None = None,
    *,
    max_seconds: float = defaults.REFERENCE_MAX_SECONDS,
    trap: bool | str = defaults.TRAP,
    report: Callable[[str], None] | None = None,
    interaction: str = defaults.INTERACTION,
    pair_stiffness: float = defaults.PAIR_STIFFNESS,
    trap_quartic: float = defaults.TRAP_QUARTIC,
    trap_separation: float = defaults.TRAP_SEPARATION,
) -> Reference:
    """Returns the best ground-state energy that this package can compute for the system.

    Args:
        n_particles: number of fermions A, an integer >= 1.
        interaction_strength: V0 in hbar omega a_ho, or what the interaction has in its place.
        interaction_range: sigma0 in a_ho, > 0; None for 0.5.
        max_seconds: wall time allowed to the diagonalisation, > 0.
        trap: name of the trap; True for the harmonic one, False for none. Without it the energy is that of the
            internal motion, which is known for two particles that a Gaussian interaction binds.
        report: called every few seconds of a diagonalisation with a line that says how far it is.
        interaction: name of the interaction, see `tf_nqs.physics.interactions`.
        pair_stiffness: kappa in hbar omega / a_ho^2.
        trap_quartic: of the quartic trap; no system with it has a reference.
        trap_separation: of the double well; no system with it has a reference.

    Returns:
        Free fermions without interaction, the closed form of `tf_nqs.exact.closed_forms` for any A; for the Gaussian
        interaction in the harmonic trap the relative coordinate for A = 2 and a diagonalisation for A = 3 to 6; no
        reference beyond, for other systems, or where the cut leaves out more than 0.01.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> reference = reference_energy(2, interaction_strength=10.0, interaction_range=0.5)
        >>> round(reference.energy, 6), reference.kind
        (2.425619, 'relative_coordinate')
    """
    system = NamedSystem(
        whole_number("n_particles", n_particles, 1),
        interaction,
        finite_number("interaction_strength", interaction_strength),
        interaction_range,
        finite_number("pair_stiffness", pair_stiffness),
        trap_name(trap),
        trap_quartic,
        trap_separation,
    )
    finite_number("max_seconds", max_seconds, 0)
    if interaction_range is not None:
        finite_number("interaction_range", interaction_range, 0)
    check_parameters(system)
    if is_plain_gaussian(system):
        return _gaussian_reference(system, max_seconds, report)
    if system.trap == "harmonic" and system.is_free:
        return Reference(free_fermion_energy(system.n_particles), "free_fermions", 0.0)
    energy = closed_form_energy(system)
    return NO_REFERENCE if energy is None else Reference(energy, "closed_form", 0.0)


def _gaussian_reference(system: NamedSystem, max_seconds: float, report: Callable[[str], None] | None) -> Reference:
    """The reference of a system with a Gaussian interaction, in the harmonic trap or in none."""
    n_particles, strength = system.n_particles, system.interaction_strength
    width = resolved_range(system.interaction, system.interaction_range)
    assert width is not None  # it has a default
    if system.trap == "none":
        pair = bound_pair_energy(strength, width) if n_particles == 2 else None
        return Reference(pair[0], "relative_coordinate", pair[1]) if pair else NO_REFERENCE
    if strength == 0.0 or n_particles == 1:
        return Reference(free_fermion_energy(n_particles), "free_fermions", 0.0)
    if n_particles == 2:
        energy, uncertainty = two_particle_energy(strength, width)
        if uncertainty <= _LARGEST_UNCERTAINTY:
            return Reference(energy, "relative_coordinate", uncertainty)
    if n_particles <= LARGEST_DIAGONALISED:
        energy, uncertainty = diagonalised_energy(n_particles, strength, width, max_seconds=max_seconds, report=report)
        if uncertainty <= _LARGEST_UNCERTAINTY:
            return Reference(energy, "diagonalisation", uncertainty)
    return NO_REFERENCE
