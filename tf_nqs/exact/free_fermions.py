"""Free fermions in the trap: oscillator orbitals, energy and density in closed form."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tf_nqs.whole_numbers import whole_number


def oscillator_orbitals(n_orbitals: int, x: ArrayLike) -> NDArray[np.float64]:
    """Returns the orthonormal eigenfunctions of the trap, lowest first.

    phi_n(x) = H_n(x) exp(-x^2 / 2) / sqrt(2^n n! sqrt(pi)), by the recursion
    phi_n = sqrt(2 / n) x phi_(n-1) - sqrt((n-1) / n) phi_(n-2), which avoids H_n and n!.

    Args:
        n_orbitals: number of orbitals, an integer >= 1.
        x: places in units of a_ho, any shape.

    Returns:
        Array of shape (n_orbitals,) + x.shape, in units of a_ho^(-1/2).

    Raises:
        ValueError: if `n_orbitals` is below 1.
    """
    n_orbitals = whole_number("n_orbitals", n_orbitals, 1)
    x = np.asarray(x, dtype=np.float64)
    orbitals = np.empty((n_orbitals, *x.shape))
    orbitals[0] = np.pi**-0.25 * np.exp(-0.5 * x * x)
    if n_orbitals > 1:
        orbitals[1] = np.sqrt(2.0) * x * orbitals[0]
    for n in range(2, n_orbitals):
        orbitals[n] = np.sqrt(2.0 / n) * x * orbitals[n - 1] - np.sqrt((n - 1) / n) * orbitals[n - 2]
    return orbitals


def free_fermion_energy(n_particles: int) -> float:
    """Returns the ground-state energy A^2 / 2 of free fermions, in hbar omega.

    Args:
        n_particles: number of fermions A, an integer >= 1.

    Returns:
        The sum of the A lowest orbital energies n + 1/2.

    Raises:
        ValueError: if `n_particles` is not an integer >= 1.
    """
    return 0.5 * whole_number("n_particles", n_particles, 1) ** 2


def free_fermion_density(n_particles: int, x: ArrayLike) -> NDArray[np.float64]:
    """Returns the one-body density sum_(n < A) phi_n(x)^2, which integrates to A.

    Args:
        n_particles: number of fermions A, an integer >= 1.
        x: places in units of a_ho, any shape.

    Returns:
        Array of the shape of `x`, in units of 1 / a_ho.

    Raises:
        ValueError: if `n_particles` is not an integer >= 1.
    """
    return np.sum(oscillator_orbitals(whole_number("n_particles", n_particles, 1), x) ** 2, axis=0)
