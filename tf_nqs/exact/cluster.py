"""A simple bound state: an upper bound on the ground-state energy of any number of particles."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.optimize import minimize_scalar

from tf_nqs.exact.free_fermions import oscillator_orbitals
from tf_nqs.whole_numbers import finite_number, whole_number

_SMALLEST, _LARGEST, _N_SIZES = 1e-4, 4.0, 120
"""Sizes tried, in a_ho, evenly spaced in their logarithm."""

_LARGEST_NARROW = 0.2
"""Maximum range and maximum size of the cluster, in a_ho, for which training starts in the cluster."""

_N_DISTANCES, _N_CENTRES = 500, 160
"""Number of points of the pair distribution; it varies on the scale of the A-th oscillator function."""

_N_QUADRATURE = 3000


class Cluster(NamedTuple):
    """Free fermions in an oscillator of variable size around their centre of mass, which moves freely in the trap.

    Attributes:
        energy: expectation value of the Hamiltonian in hbar*omega, an upper bound on the ground-state energy; without a
            trap, of the internal motion alone.
        size: length of the oscillator in a_ho that minimises the energy.
    """

    energy: float
    size: float


def gaussian_cluster(
    n_particles: int, interaction_strength: float, interaction_range: float, trap: bool = True
) -> Cluster:
    """Returns the best `Cluster` of fermions with the Gaussian interaction.

    Args:
        n_particles: number of fermions A, an integer >= 1.
        interaction_strength: V0 in hbar omega a_ho.
        interaction_range: sigma0 in a_ho, > 0.
        trap: whether the harmonic trap holds them.

    Raises:
        ValueError: if an argument is out of its range.
    """
    width = finite_number("interaction_range", interaction_range, 0)
    height = finite_number("interaction_strength", interaction_strength) / (np.sqrt(2.0 * np.pi) * width)
    return best_cluster(
        whole_number("n_particles", n_particles, 1), lambda r: height * np.exp(-0.5 * (r / width) ** 2), trap
    )


def best_cluster(
    n_particles: int, pair_energy: Callable[[NDArray[np.float64]], NDArray[np.float64]], trap: bool = True
) -> Cluster:
    """Returns the `Cluster` whose size s gives the lowest energy, up to quadrature.

    E(s) = (A^2 - 1)/4 (1/s^2 + s^2) + 1/2 + integral dr P(r) v(s r), with P the distribution of pairs over their
    distance for s = 1; without a trap the terms s^2 and 1/2 are absent. The state is a product of an internal state
    and the ground state of the centre of mass, so E(s) is never below the ground-state energy.

    Args:
        n_particles: number of fermions A.
        pair_energy: v, distances in a_ho -> energies in hbar*omega, NumPy arrays.
        trap: whether the harmonic trap holds them.
    """
    distances, pairs = pair_distribution(n_particles)
    kinetic = 0.25 * (n_particles**2 - 1)

    def energy(log_size: float) -> float:
        size = np.exp(log_size)
        interaction = np.sum(pairs * pair_energy(size * distances))
        return float(kinetic * (size**-2 + trap * size**2) + 0.5 * trap + interaction)

    log_sizes = np.linspace(np.log(_SMALLEST), np.log(_LARGEST), _N_SIZES)
    best = log_sizes[np.argmin([energy(one) for one in log_sizes])]
    step = log_sizes[1] - log_sizes[0]
    found = minimize_scalar(energy, bounds=(best - step, best + step), method="bounded", options={"xatol": 1e-6})
    return Cluster(float(found.fun), float(np.exp(found.x)))


def pair_distribution(n_particles: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns distances r > 0 and the number of pairs of free fermions in the trap at each of them.

    P(r) = integral dX [n(x_1) n(x_2) - n(x_1, x_2)^2], x_1 and x_2 = X +- r/2, with the one-body density matrix n. The
    distances are dense near 0, so that short-ranged functions are integrated accurately too.

    Args:
        n_particles: number of fermions A.

    Returns:
        Two arrays of the same length; the second sums up to A(A-1)/2.
    """
    reach = np.sqrt(2.0 * n_particles) + 5.0  # beyond the turning point, where exp(-x^2) is 1e-11
    r = np.linspace(1e-3, 2.0 * reach, _N_DISTANCES)
    centres, spacing = np.linspace(-reach, reach, _N_CENTRES, retstep=True)
    first, second = (oscillator_orbitals(n_particles, centres + sign * r[:, None]) for sign in (0.5, -0.5))
    densities = np.sum(first**2, axis=0) * np.sum(second**2, axis=0)
    density = spacing * np.sum(densities - np.sum(first * second, axis=0) ** 2, axis=1)
    smooth = CubicSpline(r, density / r**2)  # P rises as r^2
    t = (np.arange(_N_QUADRATURE) + 0.5) / _N_QUADRATURE  # the midpoint rule: all derivatives vanish at both ends
    distances = 2.0 * reach * t**3
    pairs = 6.0 * reach * t**2 / _N_QUADRATURE * distances**2 * smooth(np.maximum(distances, r[0]))
    return distances, pairs


def narrow_well(
    n_particles: int, interaction_strength: float, interaction_range: float, trap: bool = True
) -> Cluster | None:
    """Returns the `Cluster` of a well that walkers in the trap would hardly ever find, None if there is no such well.

    Free fermions come within a short range sigma0 of each other once in sigma0^-3 samples. For ranges above 0.2 a_ho, a
    few of some hundred walkers are always within the range.

    Args:
        n_particles: number of fermions A, an integer >= 1.
        interaction_strength: V0 in hbar omega a_ho.
        interaction_range: sigma0 in a_ho, > 0.
        trap: whether the harmonic trap holds them.
    """
    if n_particles == 1 or interaction_strength >= 0 or interaction_range >= _LARGEST_NARROW:
        return None
    cluster = gaussian_cluster(n_particles, interaction_strength, interaction_range, trap)
    return cluster if cluster.size < _LARGEST_NARROW else None
