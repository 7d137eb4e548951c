"""Ground-state energies in closed form, for any number of spinless fermions in the harmonic trap.

Omega = sqrt(1 + A kappa), kappa being all of the stiffness between two particles.

| interaction | v(r) | ground-state energy |
|---|---|---|
| none | 0 | A^2/2 |
| harmonic | kappa r^2/2 | 1/2 + Omega (A^2 - 1)/2 |
| coth | kappa r^2/2 - Omega c r coth(c r) | 1/2 + Omega (A - 1)/2 - c^2 A(A^2 - 1)/6 |
| calogero | l(l-1)/r^2 + kappa r^2/2 | 1/2 + Omega [(A - 1)/2 + l A(A - 1)/2] |

The wave functions are in `tf_nqs.physics.closed_form_states`.

Reference: Brosens, Devreese and Lemmens, cond-mat/9805379 (harmonic); del Campo, arXiv:2005.03904, and Beau and del
    Campo, arXiv:2107.02869 (coth); Calogero, J. Math. Phys. 12, 419 (1971), and Hallnas and Langmann, math-ph/0511040.
"""

from __future__ import annotations

from tf_nqs.named_systems import NamedSystem, has_closed_form


def closed_form_energy(system: NamedSystem) -> float | None:
    """Returns the exact ground-state energy in hbar omega, None where there is no closed form.

    Args:
        system: names and parameters.

    Example:
        >>> closed_form_energy(NamedSystem(8, "calogero", 1.8))
        54.4
    """
    if not has_closed_form(system):
        return None
    n_particles, omega = system.n_particles, system.internal_frequency
    if system.interaction == "coth":
        cube = n_particles * (n_particles**2 - 1)
        return 0.5 + 0.5 * omega * (n_particles - 1) - system.interaction_strength**2 * cube / 6.0
    exponent = system.interaction_strength if system.interaction == "calogero" else 1.0
    n_pairs = n_particles * (n_particles - 1) // 2
    return 0.5 + omega * (0.5 * (n_particles - 1) + exponent * n_pairs)
