"""Two particles: the centre of mass separates, the relative motion is one odd wave function."""

import numpy as np
from numpy.polynomial import legendre
from scipy.linalg import eigh

from tf_nqs.whole_numbers import finite_number

_FIRST_N_FUNCTIONS = 64
_LAST_N_FUNCTIONS = 1024
_WANTED_CHANGE = 1e-10
# Here the oscillator tail exp(-r^2 / 2) is 1e-31.
_TAIL_LENGTH = 12.0


def two_particle_energy(interaction_strength: float, interaction_range: float) -> tuple[float, float]:
    """Returns the ground-state energy of two fermions and its uncertainty, in hbar omega.

    E = 1/2 + e, where 1/2 is the centre of mass and e the lowest odd level of
    -1/2 u'' + (r^2 / 2 + V0 / (sqrt(2 pi) sigma0) exp(-r^2 / sigma0^2)) u = e u,
    r = (x_1 - x_2) / sqrt(2). The number of functions is doubled until e does not change.

    Args:
        interaction_strength: V0 in hbar omega a_ho.
        interaction_range: sigma0 in a_ho, > 0.

    Returns:
        The energy, and its change by the last doubling plus rounding.

    Raises:
        ValueError: if an argument is not finite, or the range is not positive.
    """
    strength = finite_number("interaction_strength", interaction_strength)
    width = finite_number("interaction_range", interaction_range, 0)
    n_functions = _FIRST_N_FUNCTIONS
    level = _lowest_odd_level(strength, width, n_functions)
    while True:
        n_functions *= 2
        previous, level = level, _lowest_odd_level(strength, width, n_functions)
        change = abs(level - previous)
        if change < _WANTED_CHANGE or n_functions >= _LAST_N_FUNCTIONS:
            break
    # Rounding is relative to the largest term of the potential, which `level` is the remainder of.
    rounding = 1e-13 * (1.0 + abs(strength) / width)
    return 0.5 + level, change + rounding


def _lowest_odd_level(strength: float, width: float, n_functions: int) -> float:
    """Returns the lowest level of the half line r in [0, length], u = 0 at both ends.

    Galerkin with integrated Legendre polynomials (P_(k+1) - P_(k-1)) / sqrt(4k + 2): the kinetic
    matrix is the identity, and the functions resolve the region near r = 0, where a short-ranged
    interaction acts.

    Args:
        strength: V0 in hbar omega a_ho.
        width: sigma0 in a_ho.
        n_functions: size of the basis.

    Returns:
        The level in hbar omega: an upper bound up to quadrature and rounding.
    """
    height = strength / (np.sqrt(2.0 * np.pi) * width)
    # A repulsive core shifts the minimum of the potential outwards, and the tail with it.
    squared_minimum = width**2 * np.log(max(1.0, 2.0 * height / width**2))
    length = np.sqrt(squared_minimum) + _TAIL_LENGTH
    nodes, weights = legendre.leggauss(2 * n_functions + 2)
    r, weights = 0.5 * length * (nodes + 1.0), 0.5 * length * weights
    polynomials = legendre.legvander(nodes, n_functions + 1)
    norms = np.sqrt(4.0 * np.arange(1, n_functions + 1) + 2.0)
    functions = (polynomials[:, 2:] - polynomials[:, :-2]) / norms
    potential = 0.5 * r**2 + height * np.exp(-((r / width) ** 2))
    shift = max(0.0, -height)
    overlap = functions.T @ (weights[:, None] * functions)
    shifted = functions.T @ ((weights * (potential + shift))[:, None] * functions)
    shifted[np.diag_indices(n_functions)] += 1.0 / length
    # 1 / (e + shift) is the largest eigenvalue of a well-conditioned pair; e itself would be the
    # smallest one of a pair whose condition grows like n_functions^4.
    last = n_functions - 1
    largest = eigh(overlap, shifted, eigvals_only=True, subset_by_index=[last, last])[0]
    return float(1.0 / largest - shift)
