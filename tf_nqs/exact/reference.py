"""The reference energy of a system."""

from collections.abc import Callable
from typing import NamedTuple

from tf_nqs import defaults
from tf_nqs.exact.arguments import check_finite, check_n_particles, check_positive
from tf_nqs.exact.convergence import diagonalised_energy
from tf_nqs.exact.free_fermions import free_fermion_energy
from tf_nqs.exact.free_pair import bound_pair_energy
from tf_nqs.exact.relative_coordinate import two_particle_energy

LARGEST_DIAGONALISED = 6
# With a larger remainder the distance from the reference would be meaningless.
_LARGEST_UNCERTAINTY = 1e-2


class Reference(NamedTuple):
    """A ground-state energy for comparison.

    Attributes:
        energy: in hbar omega; an upper bound for the kind "diagonalisation". None if there is no
            reference.
        kind: "free_fermions", "relative_coordinate", "diagonalisation" or "none".
        uncertainty: in hbar omega; for the kind "diagonalisation" the maximum distance of the
            ground state below `energy`. None if there is no reference.
    """

    energy: float | None
    kind: str
    uncertainty: float | None


def reference_energy(
    n_particles: int,
    interaction_strength: float,
    interaction_range: float,
    *,
    max_seconds: float = defaults.REFERENCE_MAX_SECONDS,
    trap: bool = True,
    report: Callable[[str], None] | None = None,
) -> Reference:
    """Returns the best ground-state energy that this package can compute for the system.

    Args:
        n_particles: number of fermions A, an integer >= 1.
        interaction_strength: V0 in hbar omega a_ho.
        interaction_range: sigma0 in a_ho, > 0.
        max_seconds: maximum wall time of the diagonalisation, > 0.
        trap: whether the harmonic trap holds the particles. Without it, the reference is the energy of the internal
            motion, which is known for two bound particles.
        report: called every few seconds of a diagonalisation with a line of progress.

    Returns:
        Free fermions for V0 = 0 or A = 1, the relative coordinate for A = 2, a diagonalisation for
        A = 3 to 6; no reference for larger A, or if the uncertainty exceeds 0.01.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> reference = reference_energy(2, interaction_strength=10.0, interaction_range=0.5)
        >>> round(reference.energy, 6), reference.kind
        (2.425619, 'relative_coordinate')
    """
    n_particles = check_n_particles(n_particles)
    strength = check_finite("interaction_strength", interaction_strength)
    width = check_positive("interaction_range", interaction_range)
    check_positive("max_seconds", max_seconds)
    if not trap:
        pair = bound_pair_energy(strength, width) if n_particles == 2 else None
        return Reference(pair[0], "relative_coordinate", pair[1]) if pair else Reference(None, "none", None)
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
    return Reference(None, "none", None)
